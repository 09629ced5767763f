"""Lets a scheduler remember what it was told before an interruption: Ray Tune keeps trials and searchers alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ray.tune import Callback
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler


class Remembering(TrialScheduler):
    """Keeps what trials report and how they end, in order, to hear it once more after an interruption.

    For schedulers whose judgement rests on nothing else. Without it, trials that a rung has seen would be forgotten,
    and the next ones would pass it unopposed.
    """

    _time_attr: str

    def __init__(self, **arguments: Any):
        """Take the scheduler's own arguments."""
        super().__init__(**arguments)
        self.heard: list[tuple[str, str, dict[str, Any]]] = []
        """Which method, the trial's id, and the numbers that count."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Hear a report."""
        self._note("on_trial_result", trial, result)
        return super().on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Hear that a trial has ended."""
        self._note("on_trial_complete", trial, result)
        super().on_trial_complete(tune_controller, trial, result)

    def hear_again(self, heard: list[tuple[str, str, dict[str, Any]]], trials: list[Any]) -> None:
        """Hear what an earlier scheduler of the sweep has heard; what it decides now has been done."""
        known = {trial.trial_id: trial for trial in trials}
        for method, name, result in heard:
            getattr(self, method)(_Nobody(), known[name], result)

    def _note(self, method: str, trial: Any, result: dict[str, Any]) -> None:
        kept = {key: result[key] for key in (self._time_attr, self._metric) if key in result}
        self.heard.append((method, trial.trial_id, kept))


class Asha(Remembering, ASHAScheduler):
    """ASHA that goes on where it was."""


class HyperBand(Remembering, ASHAScheduler):
    """Asynchronous HyperBand: brackets of ASHA, of which each begins to judge later than the one before.

    A trial's bracket depends on its place among the trials alone, so that it has the same one after an interruption.
    """

    def __init__(self, *, grace_period: int, max_t: int, reduction_factor: float, **arguments: Any):
        """Take the arguments of ASHA; there are as many brackets as it has rungs."""
        brackets = 1 + int(math.log(max_t / grace_period, reduction_factor))
        steps = {"grace_period": grace_period, "max_t": max_t, "reduction_factor": reduction_factor}
        super().__init__(brackets=brackets, **steps, **arguments)
        self._random = np.random.default_rng(0)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Give a trial its bracket, as Ray Tune draws it: e times as often one that has a rung more."""
        super().on_trial_add(tune_controller, trial)
        rungs = np.array([len(bracket._rungs) for bracket in self._brackets])
        shares = np.exp(rungs - rungs.max())
        drawn = self._random.choice(len(rungs), p=shares / shares.sum())
        self._trial_info[trial.trial_id] = self._brackets[drawn]


class Median(Remembering, MedianStoppingRule):
    """Median stopping that goes on where it was."""


class Memory(Callback):
    """Keeps what a scheduler has heard in the sweep's state, always together with that of the trials."""

    def __init__(self, scheduler: Remembering):
        """Take the sweep's scheduler; both come back from Ray Tune's files as one."""
        self._scheduler = scheduler
        self._before: list[tuple[str, str, dict[str, Any]]] | None = None

    def get_state(self) -> dict[str, Any]:
        """What is kept."""
        return {"heard": list(self._scheduler.heard)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take it up; the trials come later."""
        self._before = state["heard"]

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tell the scheduler, when its trials are there and nothing has happened yet."""
        if self._before is not None:
            before, self._before = self._before, None
            self._scheduler.hear_again(before, trials)


class _Nobody:
    """In place of Ray Tune's controller: no trial waits."""

    def get_live_trials(self) -> list[Any]:
        return []
