"""Which trials go on, and how: Ray Tune's schedulers, counting optimiser steps of the whole curriculum."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import TrialScheduler

from favchat.config import Config
from tune.goal import Goal
from tune.memory import Asha, HyperBand, Median
from tune.population import Population, stops
from tune.trial import COUNTER


def scheduler(whole: Config, sought: Goal, stages: dict[str, int], at_once: int) -> TrialScheduler | None:
    """The scheduler of the ``tune.scheduler`` section.

    Args:
        whole: The sweep's configuration.
        sought: What is compared.
        stages: Optimiser steps of each stage.
        at_once: Trials that run at once.
    """
    config, steps = whole.tune.scheduler, sum(stages.values())
    if config is None:
        return None
    if config.name == "pbt":
        return Population(whole, sought, stops(whole, stages), at_once)
    goal: dict[str, Any] = {"time_attr": COUNTER, "metric": sought.metric, "mode": sought.mode}
    grace = min(config.grace_steps or max(1, steps // 4), steps)
    # One more than there are: a trial's last report, which says that it has finished, is its own to make.
    if config.name == "median":
        return Median(grace_period=grace, min_samples_required=2, **goal)
    kind = HyperBand if config.name == "hyperband" else Asha
    return kind(max_t=steps + 1, grace_period=grace, reduction_factor=config.reduction_factor, **goal)
