"""Input of one stage's Ray Train workers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from favchat.config import Config, StageConfig

if TYPE_CHECKING:
    from favchat.training.batches.batch import BatchSource


Measure = Callable[[Any, Any], dict[str, float]]
"""Names and values from a model in evaluation mode and its processor; travels to the workers."""

REPORTS = "reports.jsonl"
"""In a stage's folder: its reports."""


@dataclass(frozen=True)
class StageJob:
    """Everything that a worker needs to train a stage."""

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
    measure: Measure | None = None
    """What else each report says of the model."""
    until: int | None = None
    """The step after which the workers write a checkpoint and end, for the stage to be gone on with; None: its last."""

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
        """The metrics of each step, see :class:`favchat.training.stage.step_log.StepFile`."""
        return self.folder / "steps.jsonl"

    @property
    def report_file(self) -> Path:
        """The reports, a line each as in the step file, with how often each expert was chosen since the one before."""
        return self.folder / REPORTS


def report_steps(steps: int, reports: int, every: int | None = None) -> set[int]:
    """Steps after which a stage validates and reports: the last one, and every `every`-th or `reports` in total."""
    if every is not None:
        return {*range(every, steps, every), steps}
    return {math.ceil(steps * number / reports) for number in range(1, reports + 1)}
