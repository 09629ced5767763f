"""What a training asks of the cluster."""

from __future__ import annotations

from favchat.config import Config
from favchat.runtime.placement import Demand


def demands(config: Config, gpus_per_worker: float = 1) -> list[Demand]:
    """Resources that a stage needs at the same time. Workers without a GPU share the available CPUs."""
    training = config.training
    if not training.use_gpu:
        return []
    return [Demand("training.num_workers", training.num_workers, gpus=gpus_per_worker, gpu_setting="training.use_gpu")]
