"""Which experts counts a sweep tries."""

from __future__ import annotations

from typing import Any, NamedTuple

import optuna
from ray import tune as ray_tune
from ray.tune.search.optuna import OptunaSearch

from favchat.config import Config, TuneConfig


class Point(NamedTuple):
    """One combination."""

    num_experts: int
    top_k: int

    @property
    def name(self) -> str:
        """Names the trial's folder and its MLflow run."""
        return f"experts{self.num_experts}-top{self.top_k}"

    def apply(self, config: Config) -> Config:
        """The configuration with this combination's adapter."""
        adapter = config.model.adapter.model_copy(update=self._asdict())
        return config.model_copy(update={"model": config.model.model_copy(update={"adapter": adapter})})


def points(config: TuneConfig) -> list[Point]:
    """Every combination of the choices that an adapter can have, each once, in the order of the choices."""
    pairs = (Point(experts, k) for experts in config.num_experts for k in config.top_k if k <= experts)
    return list(dict.fromkeys(pairs))


def grid(config: TuneConfig) -> dict[str, Any]:
    """The parameter space of a grid: a trial for each combination."""
    return {"point": ray_tune.grid_search([tuple(point) for point in points(config)])}


def optuna_search(config: TuneConfig, metric: str, seed: int) -> OptunaSearch:
    """Optuna's TPE sampler over the same combinations.

    It chooses the number of experts first, then among the ``top_k`` that fit it, each number having its own.
    """
    choices: dict[int, list[int]] = {}
    for point in points(config):
        choices.setdefault(point.num_experts, []).append(point.top_k)

    def define(trial: optuna.Trial) -> None:
        experts = trial.suggest_categorical("num_experts", list(choices))
        trial.suggest_categorical(f"top_k_of_{experts}", choices[experts])

    return OptunaSearch(space=define, metric=metric, mode="min", sampler=optuna.samplers.TPESampler(seed=seed))


def chosen(parameters: dict[str, Any]) -> Point:
    """The combination that a trial's parameters stand for, of either search."""
    if "point" in parameters:
        return Point(*parameters["point"])
    experts = parameters["num_experts"]
    return Point(experts, parameters[f"top_k_of_{experts}"])
