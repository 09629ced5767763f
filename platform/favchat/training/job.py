"""What Ray Train is handed for one stage.

Ray Train's controller, which only looks after the workers, loads this module too: what trains is imported in the
workers alone, or every stage would start seconds later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from favchat.config import Config, StageConfig

if TYPE_CHECKING:
    from favchat.training.batches import BatchSource


@dataclass(frozen=True)
class StageJob:
    """All that a worker needs to know."""

    config: Config
    stage: StageConfig
    steps: int
    """Optimiser steps of the stage."""
    init: str | None
    """Where the stage starts: a model directory or hub name, or a checkpoint; without one the model is built from the
    ``model`` section."""
    source: BatchSource
    """Gives the batches."""
    folder: Path
    """The stage's own: ``model/``, ``checkpoints/`` and ``steps.jsonl``."""
    run: dict[str, str] | None
    """The fields of the stage's :class:`favchat.tracking.Run`, to which only rank 0 writes; None: nothing is
    tracked."""
    runs_at_once: int = 1
    """How many trainings share the machines."""

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.folder / "model"

    @property
    def step_file(self) -> Path:
        """The metrics of each step, see :class:`favchat.training.progress.StepFile`."""
        return self.folder / "steps.jsonl"


def run(settings: dict[str, StageJob]) -> dict[str, Any]:
    """Train one stage, from its last checkpoint where it has one, and leave the finished model in its folder.

    Every report to Ray Train has ``step``, ``language_loss`` (mean of the steps since the last report) and, where the
    corpus has clips for it, ``val_loss``.

    Args:
        settings: ``{"job": StageJob}``, as Ray Train hands a mapping over.

    Returns:
        ``{"metrics": the last report}``, or ``{"fault": message}`` for what a retry would only meet again: Ray Train
        starts workers anew after every exception.
    """
    from favchat.training.faults import TrainingFault
    from favchat.training.worker import train_stage

    try:
        return {"metrics": train_stage(settings["job"])}
    except TrainingFault as fault:
        return {"fault": f"stage '{settings['job'].stage.name}', {fault}"}
