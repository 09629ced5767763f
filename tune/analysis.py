"""What a sweep's numbers say: means and intervals over seeds, differences and their tests, fronts, main effects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from tune.goal import Goal
from tune.results import Trial, swept_keys
from tune.space import Point

FEWEST = 4
"""Trials below which no main effects are told."""


@dataclass(frozen=True)
class Combination:
    """One combination of settings over its seeds; finished trials alone."""

    point: Point
    """Without a seed; of a population, what the trial has in the end."""
    trials: list[Trial]
    mean: float
    low: float | None
    """Bounds of the 95 % interval of the mean over seeds (Student's t); None with one seed."""
    high: float | None
    spread: float | None
    """Standard deviation over the seeds."""

    @property
    def active_parameters(self) -> int:
        """Parameters of the adapter that one token passes through."""
        return self.trials[0].active_parameters


@dataclass(frozen=True)
class Difference:
    """How a combination differs from the best one."""

    point: Point
    value: float
    """Its mean less that of the best one."""
    low: float | None
    """Bounds of the 95 % interval; None with one seed."""
    high: float | None
    pairs: int
    """Seeds that both have; 0: the two were compared without pairs."""
    p: float | None
    """Of the test, adjusted for that there are several (Holm 1979); None with one seed."""

    @property
    def is_larger_than_spread(self) -> bool:
        """Whether the difference is more than what seeds make, at 5 %."""
        return self.p is not None and self.p < 0.05


def combinations(trials: Sequence[Trial], goal: Goal) -> list[Combination]:
    """The combinations with a finished trial, the best mean first."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.status == "finished" and trial.metric is not None:
            groups.setdefault(trial.point.label, []).append(trial)
    found = [_combination(sorted(group, key=lambda trial: trial.point.seed or 0)) for group in groups.values()]
    return sorted(found, key=lambda one: goal.cost(one.mean))


def differences(found: Sequence[Combination]) -> list[Difference]:
    """Every combination but the best against it, tested over the seeds.

    Where both have the same seeds, and so the same order of samples, by Student's t of the pairs' differences; else by
    Welch's test. People and clips that were not drawn are another matter: ``favchat compare`` tests over those.
    """
    raw = [_difference(found[0], other) for other in found[1:]]
    adjusted = _holm([one.p for one in raw])
    return [
        Difference(one.point, one.value, one.low, one.high, one.pairs, p) for one, p in zip(raw, adjusted, strict=True)
    ]


def pareto_front(found: Sequence[Combination], goal: Goal) -> list[Combination]:
    """The combinations that none beats with as few active parameters, by these; means alone decide."""
    front: list[Combination] = []
    for one in sorted(found, key=lambda one: (one.active_parameters, goal.cost(one.mean))):
        if not front or goal.cost(one.mean) < goal.cost(front[-1].mean):
            front.append(one)
    return front


def main_effects(trials: Sequence[Trial]) -> dict[str, float]:
    """How much of the metric's variance each swept setting explains by itself, largest first; they sum to 1.

    By Optuna's fANOVA (Hutter et al. 2014, https://proceedings.mlr.press/v32/hutter14.html): a forest is fitted to the
    finished trials. The seed counts as a setting where it was repeated. Settings that not all trials have are left out.
    Empty with fewer than `FEWEST` trials, where all reached the same, and where settings changed on the way.
    """
    done = [trial for trial in trials if trial.status == "finished" and trial.metric is not None]
    values = [trial.metric for trial in done if trial.metric is not None]
    if len(done) < FEWEST or len(set(values)) < 2 or any(trial.perturbations for trial in done):
        return {}
    # Takes a second to import.
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    rows = [{key: _comparable(value) for key, value in trial.point.swept.items()} for trial in done]
    keys = [key for key in swept_keys(done) if all(key in row for row in rows)]
    distributions: dict[str, BaseDistribution] = {}
    for key in keys:
        there: list[Any] = sorted({row[key] for row in rows}, key=str)
        if len(there) < 2:
            continue
        ranged = all(isinstance(value, float) for value in there)
        distributions[key] = FloatDistribution(min(there), max(there)) if ranged else CategoricalDistribution(there)
    if not distributions:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of every study
    study = optuna.create_study()
    for row, value in zip(rows, values, strict=True):
        parameters = {key: row[key] for key in distributions}
        study.add_trial(optuna.create_trial(params=parameters, distributions=distributions, value=value))
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def _combination(trials: list[Trial]) -> Combination:
    values = [trial.metric for trial in trials if trial.metric is not None]
    mean, spread = fmean(values), stdev(values) if len(values) > 1 else None
    half = None if spread is None else _t_quantile(len(values) - 1) * spread / len(values) ** 0.5
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return Combination(trials[0].present._replace(seed=None), trials, mean, low, high, spread)


def _difference(best: Combination, other: Combination) -> Difference:
    from scipy import stats

    by_seed = [{trial.point.seed: trial.metric or 0.0 for trial in one.trials} for one in (best, other)]
    shared = sorted(by_seed[0].keys() & by_seed[1].keys(), key=str)
    value = other.mean - best.mean
    if len(shared) > 1:
        first, second = ([own[seed] for seed in shared] for own in by_seed)
        value = fmean(second) - fmean(first)
        if len({round(b - a, 12) for a, b in zip(first, second, strict=True)}) == 1:  # no spread to test against
            return Difference(other.point, value, value, value, len(shared), 1.0 if value == 0 else 0.0)
        tested, pairs = stats.ttest_rel(second, first), len(shared)
    elif len(by_seed[0]) > 1 and len(by_seed[1]) > 1:
        tested, pairs = stats.ttest_ind(list(by_seed[1].values()), list(by_seed[0].values()), equal_var=False), 0
    else:
        return Difference(other.point, value, None, None, len(shared), None)
    bounds = tested.confidence_interval(0.95)
    return Difference(other.point, value, float(bounds.low), float(bounds.high), pairs, float(tested.pvalue))


def _holm(chances: Sequence[float | None]) -> list[float | None]:
    """Adjusted for that several were tested (Holm 1979, Scand. J. Statist. 6:65)."""
    known = sorted((p, place) for place, p in enumerate(chances) if p is not None)
    adjusted: list[float | None] = [None] * len(chances)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = largest
    return adjusted


def _t_quantile(freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, freedom))


def _comparable(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | dict) else value
