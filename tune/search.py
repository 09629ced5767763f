"""How combinations are drawn where not all are tried."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from ray import tune as ray_tune
from ray.tune.search import SEARCH_ALG_IMPORT, Searcher
from ray.tune.search.optuna import OptunaSearch

from favchat.config import Config, ConfigError, DimensionConfig
from tune.goal import Goal
from tune.space import Point, make_point, seeds
from tune.trial import ACTIVE

ATTEMPTS = 200
"""Draws for one trial; where all are impossible the sweep has no more trials."""


def searcher(config: Config, goal: Goal) -> DrawnPoints:
    """The searcher that ``tune.search`` names.

    Raises:
        ConfigError: Ray Tune has none of that name, its package is missing, or it does not take the arguments.
    """
    tune = config.tune
    arguments = dict(tune.search_arguments)
    space = domains(tune.dimensions)
    try:
        if tune.search in ("random", "optuna"):
            samplers = {"random": optuna.samplers.RandomSampler, "optuna": optuna.samplers.TPESampler}
            sampler = samplers[tune.search](seed=config.seed, **arguments)
            if len(tune.objectives) > 1:
                both: dict[str, Any] = {"metric": [goal.metric, ACTIVE], "mode": [goal.mode, "min"]}
            else:
                both = {"metric": goal.metric, "mode": goal.mode}
            return DrawnPoints(OptunaSearch(space=space, sampler=sampler, **both), config)
        make = SEARCH_ALG_IMPORT.get(tune.search)
        if make is None:
            raise ConfigError(f"tune.search = {tune.search}: there are grid, {', '.join(sorted(SEARCH_ALG_IMPORT))}")
        inner = make()(**{"space": space, "metric": goal.metric, "mode": goal.mode, **arguments})
    except (ImportError, AssertionError, TypeError) as error:
        raise ConfigError(f"tune.search = {tune.search} cannot be used: {error}") from error
    return DrawnPoints(inner, config)


class DrawnPoints(Searcher):
    """Combinations that another searcher draws, those left out that the configuration refuses.

    Each is tried with every seed of the sweep; the searcher hears the mean.
    """

    def __init__(self, inner: Searcher, config: Config):
        super().__init__(metric=inner.metric, mode=inner.mode)
        self.inner = inner
        self.left_out = 0
        self._config = config
        self._waiting: list[tuple[str, Point]] = []
        self._drawn: dict[str, str] = {}
        self._ended: dict[str, list[dict[str, Any] | None]] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """The inner searcher has all that it needs."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next combination, or the next seed of the last one."""
        if not self._waiting and not self._draw(trial_id):
            return Searcher.FINISHED  # type: ignore[return-value] # as Ray's own searchers do
        self._drawn[trial_id], point = self._waiting.pop(0)
        return {"point": point.encode()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on what a trial has reached, where each has one seed alone."""
        if self._config.tune.seeds == 1:
            self.inner.on_trial_result(self._drawn[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass on how a combination has ended, when all of its seeds have."""
        name = self._drawn.get(trial_id)
        if name is None:
            return
        ended = self._ended.setdefault(name, [])
        ended.append(None if error else result)
        if len(ended) == self._config.tune.seeds:
            good = [one for one in ended if one]
            self.inner.on_trial_complete(name, mean_result(good) if good else None, error=not good)

    def save(self, checkpoint_path: str) -> None:
        """Keep the state of both searchers in a file."""
        self.inner.save(f"{checkpoint_path}.inner")
        own = {name: value for name, value in self.__dict__.items() if name not in ("inner", "_config")}
        Path(checkpoint_path).write_bytes(pickle.dumps(own))

    def restore(self, checkpoint_path: str) -> None:
        """Take up the state of such a file, which lies in the sweep's own folder."""
        self.inner.restore(f"{checkpoint_path}.inner")
        self.__dict__ |= pickle.loads(Path(checkpoint_path).read_bytes())  # noqa: S301 - written by `save`

    def _draw(self, trial_id: str) -> bool:
        dimensions = self._config.tune.dimensions
        for attempt in range(ATTEMPTS):
            name = f"{trial_id}.{attempt}"
            drawn = self.inner.suggest(name)
            if not isinstance(drawn, dict):
                return False
            point = make_point({key: _value(drawn[key], dimensions[key]) for key in dimensions}, dimensions)
            try:
                point.apply(self._config)
            except ConfigError:
                self.left_out += 1
                self.inner.on_trial_complete(name, None, error=True)
                continue
            self._waiting = [(name, point._replace(seed=seed)) for seed in seeds(self._config)]
            return True
        return False


def mean_result(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The last result, with the means of the numbers that all have."""
    numbers = {
        key: fmean(result[key] for result in results)
        for key, value in results[-1].items()
        if isinstance(value, float) and all(isinstance(result.get(key), float | int) for result in results)
    }
    return results[-1] | numbers


def domains(dimensions: dict[str, DimensionConfig]) -> dict[str, Any]:
    """The swept settings as Ray Tune's distributions; choices that are no scalars are JSON."""
    return {key: _domain(dimension) for key, dimension in dimensions.items()}


def _domain(dimension: DimensionConfig) -> Any:
    if dimension.choices is not None:
        return ray_tune.choice([_scalar(value) for value in dimension.choices])
    low, high = dimension.uniform or dimension.log_uniform or (0.0, 1.0)
    step = dimension.step
    log = dimension.log_uniform is not None
    if step is None:
        return ray_tune.loguniform(low, high) if log else ray_tune.uniform(low, high)
    if all(float(number).is_integer() for number in (low, high, step)):
        draw = ray_tune.qlograndint if log else ray_tune.qrandint
        return draw(int(low), int(high), int(step))
    return ray_tune.qloguniform(low, high, step) if log else ray_tune.quniform(low, high, step)


def _scalar(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def _value(drawn: Any, dimension: DimensionConfig) -> Any:
    """A drawn value as the configuration has it."""
    if dimension.choices is not None:
        return next(value for value in dimension.choices if _scalar(value) == drawn)
    return drawn.item() if hasattr(drawn, "item") else drawn
