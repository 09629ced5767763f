"""A sweep's progress, in a terminal or in a log."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console

from tune.space import chosen
from tune.trial import COUNTER, FINISHED

QUIET_S = 60.0
"""After so many seconds without a report it is said what the sweep waits for, and again after twice as many."""


class Progress(Callback):
    """Prints a line for each report of a trial and for its end, and what is going on while there are none."""

    def __init__(self, metric: str):
        """Take the name of what is compared."""
        self._metric = metric

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Begin to wait: what lies in the state of an interrupted sweep may come from a machine with another clock."""
        self._heard, self._patience = time.monotonic(), QUIET_S

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Say how many trials run and wait, and what they could have, where nothing has happened for long."""
        silent = time.monotonic() - self._heard
        if silent < self._patience:
            return
        self._patience *= 2
        running, waiting = (
            sum(trial.status == status for trial in trials) for status in (Trial.RUNNING, Trial.PENDING)
        )
        free, there = ray.available_resources(), ray.cluster_resources()
        resources = [f"{free.get(name, 0):g} of {there[name]:g} {name}s" for name in ("CPU", "GPU") if there.get(name)]
        say(
            f"no report for {silent:.0f} s: {running} trials run, {waiting} wait; {', '.join(resources) or 'none'} free"
        )

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Say how good a trial is by now; its last report repeats the one before."""
        if FINISHED in result:
            return
        self._say(trial, f"step {result[COUNTER]}, {self._metric} {result[self._metric]:.4f}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that a trial has ended."""
        last = trial.last_result or {}
        self._say(trial, f"finished, {self._metric} {last[self._metric]:.4f}" if FINISHED in last else "stopped early")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say where a trial's error lies."""
        self._say(trial, f"failed, see {trial.error_file}")

    def _say(self, trial: Any, words: str) -> None:
        self._heard, self._patience = time.monotonic(), QUIET_S
        say(f"{chosen(trial.config).name}: {words}")


def say(words: str) -> None:
    """Print a line about the sweep."""
    Console(stderr=True, soft_wrap=True).print(f"tune {words}", highlight=False)
