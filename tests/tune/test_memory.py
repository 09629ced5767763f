"""Schedulers over an interruption, driven as Ray Tune drives them but without trainings."""

import copy
from dataclasses import dataclass

import pytest

from favchat.config import Config, SchedulerConfig, TuneConfig
from tune.goal import Goal
from tune.memory import Memory
from tune.schedule import scheduler
from tune.trial import COUNTER

STEPS = 8
LEVELS = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 4.0, "e": 1.5}
"""Each trial's loss at all of its reports."""


@dataclass(eq=False)
class Member:
    """What schedulers look at in a trial."""

    trial_id: str
    status: str = "TERMINATED"


class Sweep:
    """The trials come one after the other, and each reports at every step."""

    def __init__(self, name):
        section = SchedulerConfig(name=name, grace_steps=2, reduction_factor=2)
        config = Config(tune=TuneConfig(scheduler=section))
        self.judge = scheduler(config, Goal("val_loss"), {"questions": STEPS}, 1)
        self.memory = Memory(self.judge)
        self.trials = [Member(one) for one in LEVELS]
        self.reached = {}

    def begin(self):
        """Ray Tune adds the trials, also those that have ended, and then takes its first step."""
        for trial in self.trials:
            self.judge.on_trial_add(self, trial)
        self.memory.on_step_begin(iteration=0, trials=self.trials)
        return self

    def run(self, *names, begin=1, end=STEPS):
        for trial in self.trials:
            for step in range(begin, end + 1) if trial.trial_id in names else ():
                result = {COUNTER: step, "val_loss": LEVELS[trial.trial_id], "training_iteration": step}
                decision = self.judge.on_trial_result(self, trial, result)
                self.reached[trial.trial_id] = step
                if decision == "STOP" or step == STEPS:
                    self.judge.on_trial_complete(self, trial, result)
                    break

    def get_live_trials(self):
        return []


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_after_an_interruption_trials_are_judged_as_if_there_had_been_none(name):
    whole = Sweep(name).begin()
    whole.run(*LEVELS)
    assert min(whole.reached.values()) < STEPS == max(whole.reached.values())

    killed = Sweep(name).begin()
    killed.run("a", "b")
    killed.run("c", end=1)
    state = copy.deepcopy(killed.memory.get_state())
    again = Sweep(name)
    again.memory.set_state(state)
    again.begin()
    again.run("c", begin=2)
    again.run("d", "e")
    assert killed.reached | again.reached == whole.reached

    # A second interruption loses nothing of what was before the first.
    last = Sweep(name)
    last.memory.set_state(again.memory.get_state())
    last.begin()
    assert last.judge.heard == again.judge.heard
