"""Has what workers need imported once for all of them, while a command starts."""

from __future__ import annotations

from pathlib import Path

from favchat.config import RayConfig
from favchat.runtime import fork_server
from favchat.runtime.environment import quiet_environment
from favchat.runtime.ray_address import address_of

RAY_NEEDS = (
    "pandas",
    "pyarrow.dataset",
    "pydantic.v1",
    "requests",
    "jsonschema",
    "click",
    "wcwidth",
    "google.protobuf.descriptor_pb2",
)
"""What Ray and Ray Data import in every worker."""
MODEL_MODULES = ("favchat.hub.load", *RAY_NEEDS, "fastapi")
"""Import torch, transformers and the model's classes, and what Ray Train and Ray Serve import."""
TRAINING_MODULES = (
    "favchat.model.build",
    "favchat.model.generation",
    "deepspeed",
    "deepspeed.runtime.zero.muon.muon_optimizer",  # each engine imports it, and with it torch's compiler
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.figure",
)
"""What Ray Train's workers import as well, to train, to log and to draw how the experts are used."""
NVIDIA = "/dev/nvidiactl"
"""There where a GPU's driver is: DeepSpeed asks it for GPUs when it is imported, before Ray has chosen a worker's."""
VIDEO_MODULES = (*RAY_NEEDS, "onnxruntime", "favchat.video.clip")
"""What reads and stores clips."""


def preload_model(config: RayConfig) -> None:
    """Start the fork server for the local Ray that this command will start; where it joins a cluster do nothing.

    Commands call it as soon as they know that they will need it: it imports beside them. What is preloaded first stays.
    """
    _preload(config, MODEL_MODULES)


def preload_training(config: RayConfig) -> None:
    """As :func:`preload_model`, for workers that train, too."""
    _preload(config, MODEL_MODULES, () if Path(NVIDIA).exists() else TRAINING_MODULES)


def preload_video(config: RayConfig) -> None:
    """As :func:`preload_model`, for workers without a model."""
    _preload(config, VIDEO_MODULES)


def _preload(config: RayConfig, modules: tuple[str, ...], later: tuple[str, ...] = ()) -> None:
    if address_of(config) is None:
        quiet_environment()  # it is that of what is imported there, too
        fork_server.start(*modules, later=later)
