"""Ends a sweep whose trials have had the GPU-hours that they were given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Stopper

from favchat.config import Config
from favchat.training.stage.step_log import read_steps

LOOK_S = 10.0
"""Seconds between two looks at what was spent."""


class GpuHours(Stopper):
    """Stops all trials when they have trained for so many hours, times the GPUs of each.

    What was spent stands in the trials' own folders, so that an interruption forgets nothing.
    """

    def __init__(self, out: Path, hours: float, config: Config):
        """Take ``tune.out``, the budget, and what says how many GPUs a trial takes."""
        self._out, self._hours = out, hours
        self._gpus = config.training.num_workers * config.tune.gpus_per_worker
        self._looked, self._over = float("-inf"), False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether the budget is spent."""
        now = time.monotonic()
        if not self._over and now - self._looked > LOOK_S:
            self._looked, self._over = now, trained_hours(self._out) * self._gpus >= self._hours
        return self._over


def trained_hours(out: Path) -> float:
    """Hours that all trials of a sweep have trained."""
    files = [read_steps(file) for file in out.glob("trials/*/stages/*/steps.jsonl")]
    return sum(lines[-1]["elapsed"] for lines in files if lines) / 3600
