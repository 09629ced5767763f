"""Has what workers need imported once for all of them, while a command starts."""

from __future__ import annotations

from favchat.config import RayConfig
from favchat.runtime import fork_server
from favchat.runtime.ray_address import address_of

MODEL_MODULES = ("favchat.hub.load", "pandas", "pyarrow.dataset", "fastapi")
"""Import torch, transformers and the model's classes, and what Ray Data, Ray Train and Ray Serve import."""
VIDEO_MODULES = ("pandas", "pyarrow.dataset", "onnxruntime", "favchat.video.clip")
"""What reads and stores clips."""


def preload_model(config: RayConfig) -> None:
    """Start the fork server for the local Ray that this command will start; where it joins a cluster do nothing.

    Commands call it as soon as they know that they will need it: it imports beside them. What is preloaded first stays.
    """
    _preload(config, MODEL_MODULES)


def preload_video(config: RayConfig) -> None:
    """As :func:`preload_model`, for workers without a model."""
    _preload(config, VIDEO_MODULES)


def _preload(config: RayConfig, modules: tuple[str, ...]) -> None:
    if address_of(config) is None:
        fork_server.start(*modules)
