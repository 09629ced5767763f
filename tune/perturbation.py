"""What changes in a trial of a population: settings near those of a better one, and where that one's weights lie."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from favchat.config import Config, ConfigError, DimensionConfig
from favchat.io.files import link_or_copy, write_text_whole
from favchat.training.stage.checkpoints import newest
from favchat.training.stage.job import REPORTS
from tune.space import Point, chosen, decode

FACTORS = (0.8, 1.2)
"""By which a number moves, as in Jaderberg et al. 2017 (https://arxiv.org/abs/1711.09846)."""
ATTEMPTS = 100
"""Draws of new settings; where the configuration refuses all of them, those of the better trial stay."""
SNAPSHOTS = "snapshots"
"""In a trial's folder: what others can go on from, a folder each step at which the trials are compared."""
RECORD = "perturbations.json"
"""In a trial's folder and in its snapshots: what has changed on the way there."""
STEP_FILES = ("steps.jsonl", REPORTS)
KEY = "perturbed"
"""Of a trial's parameters in Ray Tune: its perturbations."""


class Perturbation(NamedTuple):
    """A trial goes on from another one's weights, with other settings."""

    step: int
    """Of the whole curriculum."""
    source: str
    """The other trial's name."""
    point: Point
    """The settings from there on."""

    def encode(self) -> list[Any]:
        """As JSON."""
        return [self.step, self.source, self.point.encode()]


def decode_perturbations(content: Sequence[Sequence[Any]]) -> tuple[Perturbation, ...]:
    """Those that :meth:`Perturbation.encode` wrote."""
    return tuple(Perturbation(step, source, decode(text)) for step, source, text in content)


def perturbations(parameters: dict[str, Any]) -> tuple[Perturbation, ...]:
    """What has changed on the way to a trial's present state; those of the trials that it took over from included."""
    return decode_perturbations(parameters.get(KEY, []))


def present_point(parameters: dict[str, Any]) -> Point:
    """The settings that a trial has now."""
    changed = perturbations(parameters)
    return changed[-1].point if changed else chosen(parameters)


def explore(point: Point, config: Config, draw: random.Random) -> Point:
    """Settings near some others, within ``tune.space`` and possible by the configuration's own rules.

    Each one is drawn anew with the probability ``resample``, else moves: a number by one of `FACTORS`, a choice to one
    of its neighbours.
    """
    tune = config.tune
    resample = tune.scheduler.resample if tune.scheduler else 0.0
    before = point.settings
    for _ in range(ATTEMPTS):
        now = {
            key: _drawn(dimension, draw) if draw.random() < resample else _moved(before[key], dimension, draw)
            for key, dimension in tune.dimensions.items()
        }
        found = Point(tuple((key, json.dumps(value)) for key, value in now.items()))
        try:
            found.apply(config)
        except ConfigError:
            continue
        return found
    return point


def keep_snapshot(folder: Path, step: int) -> None:
    """Keep the state of a trial whose training stands at a step, for others and for itself after an interruption.

    Weights are hard links: training replaces such files and never writes into one.
    """
    place = folder / SNAPSHOTS / f"step-{step:06d}"
    if place.is_dir() and _record(place) == _record(folder):
        return
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for stage in sorted((folder / "stages").iterdir()):
        target = partial / "stages" / stage.name
        target.mkdir(parents=True)
        for name in (*STEP_FILES, "stage.json"):
            if (stage / name).is_file():
                shutil.copy2(stage / name, target)
        last = newest(stage / "checkpoints")
        whole = stage / "model" if (stage / "stage.json").is_file() else last
        if whole is not None:
            shutil.copytree(whole, target / whole.relative_to(stage), copy_function=_shared)
    write_text_whole(partial / RECORD, json.dumps(_record(folder)))
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)


def take_over(folder: Path, wanted: Sequence[Perturbation]) -> None:
    """Bring a trial's folder to the state that its perturbations lead to, unless it has come from there already.

    Args:
        folder: The trial's, beside those of the others.
        wanted: Its perturbations; the last one's snapshot is taken. Without any the trial begins anew.
    """
    record = [one.encode() for one in wanted]
    if _record(folder) == record:
        return
    for stage in sorted((folder / "stages").glob("*")):
        for item in stage.iterdir():
            if item.is_dir():
                shutil.rmtree(item)
            elif item.name != "run.json":  # the stage's run in MLflow goes on
                item.unlink()
    if wanted:
        last = wanted[-1]
        snapshot = folder.parent / last.source / SNAPSHOTS / f"step-{last.step:06d}"
        shutil.copytree(snapshot / "stages", folder / "stages", copy_function=_shared, dirs_exist_ok=True)
    # Written last: an interrupted call is repeated. The copies have no settings of their own: those are new.
    write_text_whole(folder / RECORD, json.dumps(record))


def drop_snapshots(out: Path) -> None:
    """Remove what only a sweep that goes on needs."""
    for place in out.glob(f"trials/*/{SNAPSHOTS}"):
        shutil.rmtree(place, ignore_errors=True)


def _record(folder: Path) -> list[Any]:
    place = folder / RECORD
    return json.loads(place.read_text()) if place.is_file() else []


def _shared(source: str, target: str) -> None:
    if source.endswith(".safetensors"):
        link_or_copy(source, target)
    else:
        shutil.copy2(source, target)


def _drawn(dimension: DimensionConfig, draw: random.Random) -> Any:
    if dimension.choices is not None:
        return draw.choice(dimension.choices)
    low, high = dimension.uniform or dimension.log_uniform or (0.0, 1.0)
    log = dimension.log_uniform is not None
    value = math.exp(draw.uniform(math.log(low), math.log(high))) if log else draw.uniform(low, high)
    return within(value, low, high, dimension.step)


def _moved(value: Any, dimension: DimensionConfig, draw: random.Random) -> Any:
    if dimension.choices is not None:
        place = dimension.choices.index(value) + draw.choice((-1, 1))
        return dimension.choices[min(max(place, 0), len(dimension.choices) - 1)]
    low, high = dimension.uniform or dimension.log_uniform or (0.0, 1.0)
    return within(value * draw.choice(FACTORS), low, high, dimension.step)


def within(value: float, low: float, high: float, step: float | None) -> float:
    """A value of four digits within bounds, or a multiple of the step."""
    value = min(max(float(f"{value:.4g}"), low), high)
    if step is None:
        return value
    value = min(max(round(value / step), -(-low // step)), high // step) * step
    return int(value) if all(float(number).is_integer() for number in (low, high, step)) else value
