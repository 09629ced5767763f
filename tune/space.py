"""Which combinations of settings a sweep tries."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from pydantic import ValidationError
from ray import tune as ray_tune

from favchat.config import Config, ConfigError, DimensionConfig, validate
from favchat.config.overrides import escaped

LONGEST_NAME = 100
"""Characters of a trial's name; folders take 255."""


class Point(NamedTuple):
    """One combination: swept settings and their values as JSON, and the seed where seeds are repeated."""

    values: tuple[tuple[str, str], ...]
    seed: int | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value, without the seed."""
        return {key: json.loads(text) for key, text in self.values}

    @property
    def swept(self) -> dict[str, Any]:
        """Dotted key -> value, with the seed where seeds are repeated."""
        return self.settings | ({} if self.seed is None else {"seed": self.seed})

    @property
    def label(self) -> str:
        """Names the combination, its seed left out."""
        short = short_names([key for key, _ in self.values])
        words = "-".join(f"{short[key]}{re.sub(r'[^A-Za-z0-9_.]+', '_', text).strip('_')}" for key, text in self.values)
        if len(words) <= LONGEST_NAME:
            return words or "as_it_is"
        return f"{words[: LONGEST_NAME - 9]}-{hashlib.sha256(repr(self.values).encode()).hexdigest()[:8]}"

    @property
    def name(self) -> str:
        """Names the trial's folder and its MLflow run."""
        return self.label if self.seed is None else f"{self.label}-seed{self.seed}"

    def apply(self, config: Config) -> Config:
        """The configuration with this combination's settings.

        Raises:
            ConfigError: It cannot be: the message is that of the configuration's own rules.
        """
        # What a sweep looks like is no part of what is trained.
        settings = config.model_dump(mode="json", exclude={"tune"})
        for key, value in self.settings.items():
            _put(settings, key.split("."), value, key)
        if self.seed is not None:
            settings["seed"] = self.seed
        try:
            found = Config.model_validate(settings)
        except ValidationError:
            found = validate(OmegaConf.create(escaped(settings)), self.name)  # says what is wrong
        return found.model_copy(update={"tune": config.tune})

    def encode(self) -> str:
        """As text that Ray Tune carries to the trial."""
        return json.dumps([self.values, self.seed])


def decode(text: str) -> Point:
    """The combination that :meth:`Point.encode` wrote."""
    values, seed = json.loads(text)
    return Point(tuple((key, value) for key, value in values), seed)


def chosen(parameters: dict[str, Any]) -> Point:
    """The combination of a trial's parameters."""
    return decode(parameters["point"])


def make_point(settings: dict[str, Any], dimensions: dict[str, DimensionConfig], seed: int | None = None) -> Point:
    """The combination of some values; settings whose condition is not met are left out."""
    counted = [
        (key, json.dumps(settings[key]))
        for key, dimension in dimensions.items()
        if all(settings[other] in values for other, values in dimension.when.items())
    ]
    return Point(tuple(counted), seed)


class Points(NamedTuple):
    """The combinations of a grid."""

    found: list[Point]
    """Those that the configuration can have, without seeds."""
    left_out: dict[str, str]
    """Names of those that it cannot have, and why."""


def grid_points(config: Config) -> Points:
    """Every combination of the choices, each once, in the order of the choices.

    Raises:
        ConfigError: None of them is possible.
    """
    dimensions = config.tune.dimensions
    values = [dimension.choices or [] for dimension in dimensions.values()]
    drawn = (make_point(dict(zip(dimensions, one, strict=True)), dimensions) for one in itertools.product(*values))
    points, left_out = [], {}
    for point in dict.fromkeys(drawn):
        try:
            point.apply(config)
            points.append(point)
        except ConfigError as error:
            left_out[point.name] = " ".join(str(error).split("\n")[1:]).strip() or str(error)
    if not points:
        raise ConfigError("\n  ".join(["tune: no combination can be trained", *sorted(set(left_out.values()))]))
    return Points(points, left_out)


def check_space(config: Config) -> None:
    """See that each swept setting exists.

    Raises:
        ConfigError: One does not; the message names the nearest that does.
    """
    for key, dimension in config.tune.dimensions.items():
        value = (dimension.choices or dimension.uniform or dimension.log_uniform or [None])[0]
        try:
            Point(((key, json.dumps(value)),)).apply(config)
        except ConfigError as error:
            # What does not fit beside the present values of other settings may fit beside others.
            if "no such setting" in str(error) or "cannot be reached" in str(error):
                raise ConfigError(f"tune.space.{key} cannot be swept:\n{str(error).partition(chr(10))[2]}") from error


def seeds(config: Config) -> list[int | None]:
    """The seeds of each combination; None: the configuration's own, which names do not say."""
    count = config.tune.seeds
    return [config.seed + index for index in range(count)] if count > 1 else [None]


def grid(config: Config) -> dict[str, Any]:
    """The parameter space of a grid: a trial for each combination and seed.

    All combinations come with the first seed before any with the second: a sweep that is ended early tells of all.
    """
    points = grid_points(config).found
    every = [point._replace(seed=seed) for seed in seeds(config) for point in points]
    return choices(every)


def choices(points: list[Point]) -> dict[str, Any]:
    """The parameter space of some combinations: a trial each."""
    return {"point": ray_tune.grid_search([point.encode() for point in points])}


def short_names(keys: list[str]) -> dict[str, str]:
    """Each key's last word, or more of it where keys share that."""
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: word if last.count(word) == 1 else key.replace("*", "all").replace(".", "_")
        for key, word in zip(keys, last, strict=True)
    }


def _put(settings: Any, parts: list[str], value: Any, key: str) -> None:
    """Set a dotted key in nested mappings and lists; ``*`` is every item of a list."""
    head, *rest = parts
    if isinstance(settings, list):
        chosen_ones = range(len(settings)) if head == "*" else [int(head)] if head.isdigit() else []
        if not chosen_ones or max(chosen_ones) >= len(settings):
            raise ConfigError(
                f"tune.space\n  {key} cannot be reached: a list has {len(settings)} items, none is {head}"
            )
        for index in chosen_ones:
            if rest:
                _put(settings[index], rest, value, key)
            else:
                settings[index] = value
    elif not isinstance(settings, dict):
        raise ConfigError(f"tune.space\n  {key} cannot be reached: what stands before {head} is no section")
    elif rest:
        _put(settings.setdefault(head, {}), rest, value, key)
    else:
        settings[head] = value
