"""Population based training: the poorest trials go on from the weights of the best, with settings near those."""

from __future__ import annotations

import random
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from favchat.config import Config, ConfigError
from favchat.training.stage.job import report_steps
from tune.goal import Goal
from tune.perturbation import KEY, Perturbation, explore, perturbations, present_point
from tune.progress import say
from tune.search import searcher
from tune.space import Point, chosen, grid_points
from tune.trial import COUNTER

ATTEMPTS = 20
"""Draws for the next member of a population; where all are there already, it is as large as it can be."""


def first_points(config: Config, goal: Goal) -> list[Point]:
    """What the members of a population begin with: the grid, or as many draws as ``tune.num_samples`` says.

    Raises:
        ConfigError: There are fewer than two.
    """
    tune = config.tune
    if tune.search == "grid":
        points = grid_points(config).found
    else:
        drawing, points, repeated = searcher(config, goal), list[Point](), 0
        while len(points) < tune.num_samples and repeated < ATTEMPTS:
            drawn = drawing.suggest(f"{len(points)}.{repeated}")
            if not isinstance(drawn, dict):
                break
            point = chosen(drawn)
            repeated = repeated + 1 if point in points else 0
            points += [] if point in points else [point]
    if len(points) < 2:
        raise ConfigError("tune.scheduler: pbt needs a population of two at least; give tune.space more values")
    return points


def stops(config: Config, stages: dict[str, int]) -> tuple[int, ...]:
    """The steps of the whole curriculum at which a population is compared: some of its reports, the last one not.

    Args:
        config: The sweep's configuration.
        stages: Optimiser steps of each stage.
    """
    section = config.tune.scheduler
    if section is None or section.name != "pbt":
        return ()
    total = sum(stages.values())
    grace = min(section.grace_steps or max(1, total // 4), total)
    every = section.interval_steps or grace
    found, before = list[int](), 0
    for steps in stages.values():
        for step in sorted(before + one for one in report_steps(steps, config.tune.reports)):
            if grace <= step < total and (not found or step - found[-1] >= every):
                found.append(step)
        before += steps
    return tuple(found)


class Population(PopulationBasedTraining):
    """Ray Tune's, in which all trials wait for each other at the same steps.

    So they are always compared in the same stage, whichever of them the machines have room for first. What is drawn
    depends on the sweep's seed, the step and the trial alone: a sweep that was interrupted does what an undisturbed one
    would. Ray Tune does not keep a scheduler's state; this one finds it in what the trials have reported.
    """

    def __init__(self, config: Config, goal: Goal, stops: tuple[int, ...], at_once: int):
        """Take the sweep's configuration, what is compared, the steps where, and how many trials run at once."""
        super().__init__(
            time_attr=COUNTER,
            metric=goal.metric,
            mode=goal.mode,
            perturbation_interval=1,  # the stops decide
            custom_explore_fn=dict,  # wanted where no mutations are given; `_get_new_config` draws
            quantile_fraction=config.tune.scheduler.quantile if config.tune.scheduler else 0.25,
            log_config=False,
            synch=True,
        )
        self._config, self._stops, self._at_once = config, stops, at_once
        self._next_perturbation_sync = self._stop_after(0)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take in a trial: a new one, one of an interrupted sweep, or one whose process has died."""
        is_new = trial not in self._trial_state
        super().on_trial_add(tune_controller, trial)
        state, last = self._trial_state[trial], trial.last_result or {}
        reached = last.get(COUNTER, 0)
        state.last_train_time = max((stop for stop in self._stops if stop <= reached), default=0)
        state.last_perturbation_time = state.last_train_time
        if reached and reached == state.last_train_time:
            self._save_trial_state(state, reached, last, trial)
        going_on = [one for one in self._trial_state if not one.is_finished()]
        if going_on:
            # Who has come to a stop waits there while another has not.
            self._next_perturbation_sync = min(
                self._stop_after(self._trial_state[one].last_train_time) for one in going_on
            )
        if is_new and not trial.is_finished():
            # Ray Tune starts all that are pending, as many as they are; `choose_trial_to_run` starts those that pause.
            trial.set_status(Trial.PAUSED)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Have a trial wait at a stop; the last one to come there has all of them compared and go on."""
        step = result[COUNTER]
        if step not in self._stops or step < self._next_perturbation_sync:
            return TrialScheduler.CONTINUE
        for other in self._trial_state:
            if other.is_finished():  # has failed: nobody waits for it
                self._trial_state[other].last_train_time = step
        before = random.getstate()
        random.seed(f"{self._config.seed} {step}")  # by which Ray Tune chooses from whom to take over
        try:
            decision = super().on_trial_result(tune_controller, trial, result)
        finally:
            random.setstate(before)
        if self._trial_state[trial].last_perturbation_time == step:
            self._next_perturbation_sync = self._stop_after(step)
        return decision

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that is furthest behind, where there is room for one more; None: none for now."""
        trials = tune_controller.get_trials()
        for trial in trials:
            if trial.status == Trial.PENDING:
                return trial
        waiting = [trial for trial in trials if trial.status == Trial.PAUSED]
        running = sum(trial.status == Trial.RUNNING for trial in trials)
        if not waiting or running >= self._at_once:
            return None
        reached = {trial: self._trial_state[trial].last_train_time for trial in waiting}
        if not running and min(reached.values()) >= self._next_perturbation_sync:
            # Those that they wait for have failed for good: they go on as they are.
            self._next_perturbation_sync = self._stop_after(max(reached.values()))
        ready = [trial for trial in waiting if reached[trial] < self._next_perturbation_sync]
        return min(ready, key=lambda trial: reached[trial], default=None)

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The trial's parameters after it has taken over from another: its own name, that one's past, new settings."""
        own, source = chosen(trial.config).name, chosen(trial_to_clone.config).name
        step = self._trial_state[trial_to_clone].last_train_time
        draw = random.Random(f"{self._config.seed} {step} {own}")
        found = Perturbation(step, source, explore(present_point(trial_to_clone.config), self._config, draw))
        say(f"{own}: step {step}, goes on from {source} with {found.point.label}")
        changed = [*perturbations(trial_to_clone.config), found]
        return {**trial.config, KEY: [one.encode() for one in changed]}, {}

    def _stop_after(self, step: int) -> float:
        return min((stop for stop in self._stops if stop > step), default=float("inf"))
