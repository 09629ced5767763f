"""A sweep's progress, in a terminal or in a log."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback
from rich.console import Console

from tune.space import chosen


class Progress(Callback):
    """Prints a line for each report of a trial and for its end."""

    def __init__(self, metric: str):
        self._metric = metric

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Say how good a trial is by now."""
        self._say(trial, f"report {result['training_iteration']}, {self._metric} {result[self._metric]:.4f}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that a trial has ended."""
        self._say(trial, "finished" if "train_seconds" in (trial.last_result or {}) else "stopped early")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say where a trial's error lies."""
        self._say(trial, f"failed, see {trial.error_file}")

    def _say(self, trial: Any, words: str) -> None:
        Console(stderr=True, soft_wrap=True).print(f"tune {chosen(trial.config).name}: {words}", highlight=False)
