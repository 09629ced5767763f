"""All that a sweep's report shows, computed once for its page and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from favchat.training.stage.expert_usage import STREAMS
from favchat.training.stage.job import REPORTS
from favchat.training.stage.step_log import read_steps
from tune.analysis import Combination, Difference, combinations, differences, main_effects, pareto_front
from tune.goal import Goal
from tune.results import Kept, Trial, expert_choices


@dataclass(frozen=True)
class Curve:
    """A trial's metric at its reports; a stage's own steps follow those of the stages before."""

    name: str
    steps: list[int]
    values: list[float]


@dataclass(frozen=True)
class Usage:
    """How one layer of a trial used its experts in one stream."""

    name: str
    shares: list[float]
    """Of the choices, the most used expert first; they sum to 1."""


@dataclass(frozen=True)
class Findings:
    """What a report shows."""

    goal: Goal
    trials: Sequence[Trial]
    combinations: Sequence[Combination]
    """The best first."""
    differences: Sequence[Difference]
    front: Sequence[Combination]
    effects: dict[str, float]
    curves: Sequence[Curve]
    usages: Sequence[Usage]


def findings(kept: Kept, folder: Path) -> Findings:
    """Compute them.

    Args:
        kept: The trials and what they are compared by.
        folder: ``tune.out``, whose ``trials`` hold the reports.
    """
    goal, found = kept.goal, combinations(kept.trials, kept.goal)
    stages = [
        (one, [folder / "trials" / one.point.name / "stages" / name for name in kept.stages]) for one in kept.trials
    ]
    return Findings(
        goal,
        kept.trials,
        found,
        differences(found),
        pareto_front(found, goal),
        main_effects(kept.trials),
        [curve for trial, own in stages if (curve := _curve(trial, own, goal)).steps],
        [usage for trial, own in stages for usage in _usages(trial, own)],
    )


def _curve(trial: Trial, stages: Sequence[Path], goal: Goal) -> Curve:
    steps: list[int] = []
    values: list[float] = []
    before = 0
    for stage in stages:
        lines = read_steps(stage / REPORTS)
        measured = [line for line in lines if goal.metric in line]
        steps += [before + int(line["step"]) for line in measured]
        values += [line[goal.metric] for line in measured]
        before += int(lines[-1]["step"]) if lines else 0
    return Curve(trial.point.name, steps, values)


def _usages(trial: Trial, stages: Sequence[Path]) -> list[Usage]:
    choices: list[Any] | None = expert_choices(stages[-1])
    found = []
    for number, layer in enumerate(choices or [], 1):
        for stream, counts in zip(STREAMS, layer, strict=True):
            if sum(counts):
                shares = sorted((count / sum(counts) for count in counts), reverse=True)
                where = f", layer {number}" if len(choices or []) > 1 else ""
                found.append(Usage(f"{trial.point.name}{where}, {stream}", shares))
    return found
