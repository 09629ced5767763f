"""Which trials go on: Ray Tune's schedulers, counting optimiser steps of the whole curriculum."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler, MedianStoppingRule, TrialScheduler

from favchat.config import SchedulerConfig
from tune.goal import Goal
from tune.trial import COUNTER


def scheduler(config: SchedulerConfig | None, sought: Goal, steps: int) -> TrialScheduler | None:
    """The scheduler of the ``tune.scheduler`` section.

    Args:
        config: The section.
        sought: What is compared.
        steps: Optimiser steps of the longest trial.
    """
    if config is None:
        return None
    goal: dict[str, Any] = {"time_attr": COUNTER, "metric": sought.metric, "mode": sought.mode}
    grace = min(config.grace_steps or max(1, steps // 4), steps)
    # One more than there are: a trial's last report, which says that it has finished, is its own to make.
    if config.name == "hyperband":
        return HyperBandScheduler(max_t=steps + 1, reduction_factor=config.reduction_factor, **goal)
    if config.name == "median":
        return MedianStoppingRule(grace_period=grace, min_samples_required=2, **goal)
    return ASHAScheduler(max_t=steps + 1, grace_period=grace, reduction_factor=config.reduction_factor, **goal)
