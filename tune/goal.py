"""What a sweep compares, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

from favchat.config import Config
from favchat.config.tune import LOSSES

SMALLER_IS_BETTER = {"ece", "unlabelled_attributes", "words"}
"""Metrics of an evaluation that are no gain where they grow."""


@dataclass(frozen=True)
class Goal:
    """The sweep's metric."""

    metric: str
    """A loss, or ``TASK/WAY/PART/METRIC`` of ``favchat evaluate``."""

    @property
    def is_loss(self) -> bool:
        """Whether training measures it by itself."""
        return self.metric in LOSSES

    @property
    def mode(self) -> str:
        """``min`` or ``max``, as Ray Tune says it."""
        last = self.metric.rpartition("/")[2]
        return "min" if self.is_loss or last in SMALLER_IS_BETTER else "max"

    @property
    def better(self) -> str:
        """For people: ``lower is better`` or ``higher is better``."""
        return "lower is better" if self.mode == "min" else "higher is better"

    def cost(self, value: float) -> float:
        """The value as something of which less is better."""
        return value if self.mode == "min" else -value

    def best(self, values: list[float]) -> float:
        """The best of some values."""
        return min(values, key=self.cost)


def evaluation_of(config: Config, metric: str, *, clips: int | None) -> Config:
    """The configuration with an evaluation that gives a metric, on the held-out split.

    Args:
        config: The trial's configuration.
        metric: ``TASK/WAY/PART/METRIC``.
        clips: How many clips it asks about; None: as ``evaluation.max_clips`` says.
    """
    task, way, *_ = metric.split("/")
    settings = config.evaluation
    changes = {
        "tasks": [task],
        "ways": [way],
        "split": config.training.val_split,
        "max_clips": clips or settings.max_clips,
        "use_gpu": config.training.use_gpu,
    }
    return config.model_copy(update={"evaluation": settings.model_copy(update=changes)})
