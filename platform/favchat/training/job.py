"""What Ray Train is handed for one stage.

Ray Train's controller, which only looks after the workers, loads this module too: what trains is imported in the
workers alone, or every stage would start seconds later.
"""

from __future__ import annotations

from dataclasses import dataclass

from ray.util.queue import Queue

from favchat.config import Config, StageConfig


@dataclass(frozen=True)
class StageJob:
    """All that a worker needs to know."""

    config: Config
    stage: StageConfig
    init: str | None
    """Model directory to start from; without one the model is built from the ``model`` section."""
    run: dict[str, str]
    """The fields of the stage's :class:`favchat.tracking.Run`, to which only rank 0 writes."""
    progress: Queue
    """Where rank 0 puts the metrics of each step for the driver."""


def run(settings: dict[str, StageJob]) -> None:
    """Train one stage; rank 0 reports the finished model as a Ray Train checkpoint.

    Every report, ``training.reports`` of them, has ``step``, ``language_loss`` (mean of the steps since the last
    report, over all workers) and, where the corpus has clips for it, ``val_loss``.

    Args:
        settings: ``{"job": StageJob}``, as Ray Train hands a mapping over.

    Raises:
        FloatingPointError: The loss is no longer a finite number.
    """
    from favchat.training.worker import train_stage

    train_stage(settings["job"])
