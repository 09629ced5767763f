"""What a sweep found: its trials, how they are ranked, and the best configuration."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from ray.tune import Result
from rich.console import Console
from rich.table import Table

from favchat.config import Config, ConfigError
from favchat.io.files import write_text_whole
from favchat.tracking import Run
from favchat.training.stage.job import REPORTS
from favchat.training.stage.step_log import read_steps
from tune.goal import Goal
from tune.perturbation import Perturbation, decode_perturbations, perturbations, present_point
from tune.space import Point, chosen, decode, short_names
from tune.trial import COUNTER, FINISHED, trial_config

DEAD = 0.1
"""An expert is dead that gets less than this part of its even share of the tokens."""


@dataclass(frozen=True)
class Trial:
    """How one trial ended."""

    point: Point
    """Its combination."""
    active_parameters: int
    """Parameters of the adapter that one token passes through."""
    status: str
    """``finished``, ``stopped`` by the scheduler, or ``failed``."""
    steps: int
    """Optimiser steps of the whole curriculum that it took."""
    metric: float | None
    """The sweep's metric at its last report."""
    seconds: float
    """Seconds of training, those before an interruption included."""
    dead_experts: int | None
    """Experts of all layers that got next to nothing in the last stage's last steps; None: nothing was counted."""
    usage_entropy: float | None
    """How evenly the experts were used there: 1 for all alike, 0 where one got everything; mean over the layers."""
    step_seconds: float | None
    """Median of a step in the last stage."""
    memory_gb: float | None
    """The most memory that its worker took."""
    perturbations: tuple[Perturbation, ...] = ()
    """Of a population: what has changed on the way to its state, the trials that it took over from included."""

    @property
    def present(self) -> Point:
        """The settings that it has in the end."""
        return self.perturbations[-1].point if self.perturbations else self.point

    @property
    def history(self) -> str:
        """Its perturbations for people."""
        return "; ".join(f"step {one.step}: from {one.source}, {one.point.label}" for one in self.perturbations)


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended."""

    goal: Goal
    trials: list[Trial]
    """The best one first."""
    best: Path
    """A configuration that ``favchat train`` takes."""
    table: Path
    """The trials as CSV."""
    page: Path
    """The report, one HTML file."""
    run: Run

    def show(self, console: Console | None = None) -> None:
        """Show the trials as a table."""
        table = Table(title=f"{len(self.trials)} trials, best first", title_justify="left")
        swept = swept_keys(self.trials)
        headings = [*short_names(swept).values(), "active parameters", self.goal.metric, "steps", "seconds", "status"]
        for heading in headings:
            table.add_column(heading, justify="left" if heading == "status" else "right")
        for trial in self.trials:
            settings = trial.present.swept
            table.add_row(
                *(str(settings.get(key, "-")) for key in swept),
                f"{trial.active_parameters:,}",
                "-" if trial.metric is None else f"{trial.metric:.4f}",
                str(trial.steps),
                f"{trial.seconds:.0f}",
                trial.status,
            )
        (console or Console()).print(table)

    def summary(self) -> str:
        """One line for a person."""
        best = best_trials(self.trials, self.goal)
        point = best[0].present
        words = ", ".join(f"{key} = {value}" for key, value in point.settings.items()) or "as it is"
        metrics = [trial.metric for trial in best if trial.metric is not None]
        seeds = f" (mean of {len(metrics)} seeds)" if len(metrics) > 1 else ""
        return f"best: {words}, {self.goal.metric} {fmean(metrics):.4f}{seeds} -> {self.best}, {self.page}"


def best_trials(trials: list[Trial], goal: Goal) -> list[Trial]:
    """Those of the combination whose trials, all of them finished, have the best mean; seeds do not compete."""
    groups: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.point.label].append(trial)
    whole = [group for group in groups.values() if all(trial.status == "finished" for trial in group)]
    # Where no combination is whole, the best single trial.
    return min(whole or [trials[:1]], key=lambda group: goal.cost(fmean(trial.metric or 0.0 for trial in group)))


def best_config(config: Config, best: list[Trial], quality: str) -> str:
    """The sweep's configuration with the best settings and without its folders, as YAML."""
    first = best[0]
    point = first.present._replace(seed=None) if len(best) > 1 else first.present
    settings = point.apply(config).model_dump(mode="json", exclude={"tune": True, "training": {"out"}})
    lines = [f"The best of a sweep: {point.name if first.present == first.point else first.point.name}, {quality}."]
    if first.perturbations:
        lines.append("These are its settings at the end. What its weights learned with on the way:")
        lines.append(f"  at first as {first.perturbations[0].source} began")
        lines += [f"  from step {one.step} on {one.point.label}" for one in first.perturbations]
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(settings, sort_keys=False)


def write_table(trials: list[Trial], path: Path) -> None:
    """Write the trials as CSV: a column for each swept setting, then those of :class:`Trial`.

    Of a population the settings are those at the end, and one more column says how they came about.
    """
    changing = ["history"] if any(trial.perturbations for trial in trials) else []
    columns = [field.name for field in fields(Trial) if field.name not in ("point", "perturbations")]
    swept, rest = swept_keys(trials), columns + changing
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["trial", *swept, *rest])
        writer.writeheader()
        for trial in trials:
            settings = {key: value for key, value in trial.present.swept.items() if value is not None}
            writer.writerow({"trial": trial.point.name} | settings | {name: getattr(trial, name) for name in rest})


def swept_keys(trials: list[Trial]) -> list[str]:
    """The keys that were swept; a setting whose condition is not met is no part of a trial."""
    return list(dict.fromkeys(key for trial in trials for key in trial.point.swept))


def read_trials(results: list[Result], config: Config, goal: Goal) -> list[Trial]:
    """The trials; of a combination that was drawn again, the better one."""
    points = [chosen(result.config or {}) for result in results]
    configs = {
        point: trial_config(config, point, present_point(result.config or {}))
        for point, result in zip(points, results, strict=True)
    }
    count = _parameter_count(list(configs.values()))
    by_point: dict[Point, Trial] = {}
    for point, result in zip(points, results, strict=True):
        values = result.metrics or {}
        trial = Trial(
            point,
            active_parameters=count(configs[point]),
            status="failed" if result.error else "finished" if FINISHED in values else "stopped",
            steps=values.get(COUNTER, 0),
            metric=values.get(goal.metric),
            **_costs(configs[point]),
            perturbations=perturbations(result.config or {}),
        )
        by_point[point] = min(trial, by_point.get(point, trial), key=partial(rank, goal=goal))
    return list(by_point.values())


def _costs(config: Config) -> dict[str, Any]:
    """What a trial took, and how many of its experts are dead, from what its workers kept."""
    folders = [Path(config.training.out or "") / "stages" / stage.name for stage in config.training.stages]
    stages = [(lines, folder) for folder in folders if (lines := read_steps(folder / "steps.jsonl"))]
    if not stages:
        nothing = dict.fromkeys(("dead_experts", "usage_entropy", "step_seconds", "memory_gb"))
        return {"seconds": 0.0, **nothing}
    last, folder = stages[-1]
    seconds = sorted(line["seconds"] for line in last)
    choices = expert_choices(folder)
    return {
        "seconds": round(sum(lines[-1]["elapsed"] for lines, _ in stages), 1),
        "dead_experts": dead_experts(choices) if choices else None,
        "usage_entropy": _entropy(choices),
        "step_seconds": round(seconds[len(seconds) // 2], 3),
        "memory_gb": round(max(line["memory_gb"] for lines, _ in stages for line in lines), 2),
    }


def _entropy(choices: list[list[list[int]]] | None) -> float | None:
    if choices is None:
        return None
    # Takes seconds to import, which the start of a sweep need not wait for.
    import torch

    from favchat.training.stage.expert_usage import usage_entropy

    return round(usage_entropy(torch.tensor(choices)), 4)


def expert_choices(stage: Path) -> list[list[list[int]]] | None:
    """How often each expert was chosen before a stage's last report: `(layers, streams, experts)`; None: unknown."""
    counted: list[Any] = [line["expert_choices"] for line in read_steps(stage / REPORTS) if "expert_choices" in line]
    return counted[-1] if counted else None


def dead_experts(choices: list[list[list[int]]]) -> int:
    """How many experts got next to nothing.

    Args:
        choices: `(layers, streams, experts)`, how often each was chosen.
    """
    layers = [[sum(expert) for expert in zip(*layer, strict=True)] for layer in choices]
    return sum(chosen < DEAD * sum(layer) / len(layer) for layer in layers for chosen in layer)


def rank(trial: Trial, goal: Goal) -> tuple[int, float]:
    """Finished ones first, by their metric."""
    status = ("finished", "stopped", "failed").index(trial.status)
    return status, math.inf if trial.metric is None else goal.cost(trial.metric)


@dataclass(frozen=True)
class Kept:
    """What a sweep's report is drawn from."""

    trials: list[Trial]
    """The best first."""
    goal: Goal
    stages: list[str]
    """The curriculum's, in order."""

    def write(self, path: Path) -> None:
        """Write it to a file."""
        rows = [
            {
                **asdict(trial),
                "point": trial.point.encode(),
                "perturbations": [one.encode() for one in trial.perturbations],
            }
            for trial in self.trials
        ]
        content = {"metric": self.goal.metric, "stages": self.stages, "trials": rows}
        write_text_whole(path, json.dumps(content, indent=1))


def read_kept(path: Path) -> Kept:
    """Read such a file.

    Raises:
        ConfigError: There is none, or it is no such file.
    """
    try:
        content = json.loads(path.read_text())
        trials = [
            Trial(
                **row
                | {
                    "point": decode(row["point"]),
                    "perturbations": decode_perturbations(row.get("perturbations", [])),
                }
            )
            for row in content["trials"]
        ]
        return Kept(trials, Goal(content["metric"]), content["stages"])
    except FileNotFoundError:
        raise ConfigError(f"{path.parent}: no finished sweep lies here; {path.name} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not the trials of a sweep: {error!r}") from error


def _parameter_count(configs: list[Config]) -> Callable[[Config], int]:
    """Counts a trial's active parameters; what a trial without a saved model lacks comes from any that has one."""
    models = [path for config in configs for path in Path(config.training.out or "").glob("stages/*/*/config.json")]
    if not models:
        return lambda config: 0
    # Takes seconds to import, which the start of a sweep need not wait for.
    from favchat.model import FaVChatConfig
    from favchat.model.adapter import active_parameters
    from favchat.model.build import ADAPTER_NAMES

    def count(config: Config) -> int:
        own = sorted(Path(config.training.out or "").glob("stages/*/*/config.json"))
        adapter = FaVChatConfig.from_pretrained((own or models)[0].parent).adapter_config
        if not own:
            for name, value in config.model.adapter.model_dump(exclude={"face_levels", "mirror_faces"}).items():
                setattr(adapter, ADAPTER_NAMES.get(name, name), value)
        return active_parameters(adapter)

    return count
