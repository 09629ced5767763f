"""What a sweep found: a table, a picture, and the best configuration."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from ray.tune import Result, ResultGrid
from rich.console import Console
from rich.table import Table

from favchat.config import Config
from favchat.tracking import Run
from favchat.training.stage.job import REPORTS
from favchat.training.stage.step_log import read_steps
from tune.space import Point, chosen, short_names
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
    step_seconds: float | None
    """Median of a step in the last stage."""
    memory_gb: float | None
    """The most memory that its worker took."""


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended."""

    metric: str
    trials: list[Trial]
    """The best one first."""
    best: Path
    """A configuration that ``favchat train`` takes."""
    table: Path
    """The trials as CSV."""
    picture: Path
    """Quality against active parameters, a PNG."""
    run: Run

    def show(self, console: Console | None = None) -> None:
        """Show the trials as a table."""
        table = Table(title=f"{len(self.trials)} trials, best first", title_justify="left")
        swept = _swept(self.trials)
        headings = [*short_names(swept).values(), "active parameters", self.metric, "steps", "seconds", "status"]
        for heading in headings:
            table.add_column(heading, justify="left" if heading == "status" else "right")
        for trial in self.trials:
            settings = trial.point.swept
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
        point = best_point(self.trials)
        words = ", ".join(f"{key} = {value}" for key, value in point.settings.items()) or "as it is"
        metrics = [trial.metric for trial in self.trials if trial.point.label == point.label and trial.metric]
        seeds = f" (mean of {len(metrics)} seeds)" if len(metrics) > 1 else ""
        return f"best: {words}, {self.metric} {fmean(metrics):.4f}{seeds} -> {self.best}, {self.picture}"


def write_report(results: ResultGrid, config: Config, metric: str, run: Run, out: Path) -> SweepResult:
    """Write ``results.csv``, ``quality.png`` and ``best.yaml`` into `out`, and log them to the sweep's run.

    Raises:
        RuntimeError: No trial finished.
    """
    trials = sorted(_trials([results[index] for index in range(len(results))], config, metric), key=_rank)
    if not trials or trials[0].metric is None or trials[0].status != "finished":
        errors = "; ".join(str(error) for error in results.errors) or "none was started"
        raise RuntimeError(f"no trial of the sweep in {out} finished: {errors}")
    result = SweepResult(metric, trials, out / "best.yaml", out / "results.csv", out / "quality.png", run)
    point = best_point(trials)
    reached = fmean(trial.metric for trial in trials if trial.point.label == point.label and trial.metric is not None)
    result.best.write_text(best_config(config, point, f"{metric} {reached:.4f}"))
    write_table(trials, result.table)
    draw(trials, metric, result.picture)
    for path in (result.best, result.table, result.picture):
        run.log_artifact(path)
    run.log_metrics({f"best_{metric}": reached}, 0)
    return result


def best_point(trials: list[Trial]) -> Point:
    """The combination whose trials, all of them finished, have the smallest mean; seeds do not compete."""
    groups: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.point.label].append(trial)
    whole = [group for group in groups.values() if all(trial.status == "finished" for trial in group)]
    # Where no combination is whole, the best single trial.
    found = min(whole or [trials[:1]], key=lambda group: fmean(trial.metric or 0.0 for trial in group))
    return found[0].point._replace(seed=None) if len(found) > 1 else found[0].point


def best_config(config: Config, point: Point, quality: str) -> str:
    """The sweep's configuration with the best settings and without its folders, as YAML."""
    settings = point.apply(config).model_dump(mode="json", exclude={"tune": True, "training": {"out"}})
    return f"# The best of a sweep: {point.name}, {quality}.\n" + yaml.safe_dump(settings, sort_keys=False)


def write_table(trials: list[Trial], path: Path) -> None:
    """Write the trials as CSV: a column for each swept setting, then those of :class:`Trial`."""
    swept, rest = _swept(trials), [field.name for field in fields(Trial) if field.name != "point"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["trial", *swept, *rest])
        writer.writeheader()
        for trial in trials:
            settings = {key: value for key, value in trial.point.swept.items() if value is not None}
            writer.writerow({"trial": trial.point.name} | settings | {name: getattr(trial, name) for name in rest})


def draw(trials: list[Trial], metric: str, path: Path) -> None:
    """Draw quality against active parameters: a dot for a finished trial, a cross for one that was stopped early."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for status, mark in (("finished", "o"), ("stopped", "x")):
        group = [trial for trial in trials if trial.status == status and trial.metric is not None]
        places = [(trial.active_parameters, trial.metric or 0.0) for trial in group]
        if places:
            axes.plot(*zip(*places, strict=True), mark, color="C0", label=status)
        for trial, place in zip(group, places, strict=True):
            axes.annotate(trial.point.name, place, xytext=(7, 3), textcoords="offset points", fontsize=7)
    axes.set_xlabel("active parameters of the adapter")
    axes.set_ylabel(f"{metric} (lower is better)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.18, y=0.15)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=150)


def _swept(trials: list[Trial]) -> list[str]:
    """The keys that the trials differ in; a setting whose condition is not met is no part of a trial."""
    return list(dict.fromkeys(key for trial in trials for key in trial.point.swept))


def _trials(results: list[Result], config: Config, metric: str) -> list[Trial]:
    """The trials; of a combination that was drawn again, the better one."""
    points = [chosen(result.config or {}) for result in results]
    configs = {point: trial_config(config, point) for point in points}
    count = _parameter_count(list(configs.values()))
    by_point: dict[Point, Trial] = {}
    for point, result in zip(points, results, strict=True):
        values = result.metrics or {}
        trial = Trial(
            point,
            active_parameters=count(configs[point]),
            status="failed" if result.error else "finished" if FINISHED in values else "stopped",
            steps=values.get(COUNTER, 0),
            metric=values.get(metric),
            **_costs(configs[point]),
        )
        by_point[point] = min(trial, by_point.get(point, trial), key=_rank)
    return list(by_point.values())


def _costs(config: Config) -> dict[str, Any]:
    """What a trial took, and how many of its experts are dead, from what its workers kept."""
    folders = [Path(config.training.out or "") / "stages" / stage.name for stage in config.training.stages]
    stages = [(lines, folder) for folder in folders if (lines := read_steps(folder / "steps.jsonl"))]
    if not stages:
        return {"seconds": 0.0, "dead_experts": None, "step_seconds": None, "memory_gb": None}
    last, folder = stages[-1]
    seconds = sorted(line["seconds"] for line in last)
    counted: list[dict[str, Any]] = [line for line in read_steps(folder / REPORTS) if "expert_choices" in line]
    return {
        "seconds": round(sum(lines[-1]["elapsed"] for lines, _ in stages), 1),
        "dead_experts": dead_experts(counted[-1]["expert_choices"]) if counted else None,
        "step_seconds": round(seconds[len(seconds) // 2], 3),
        "memory_gb": round(max(line["memory_gb"] for lines, _ in stages for line in lines), 2),
    }


def dead_experts(choices: list[list[list[int]]]) -> int:
    """How many experts got next to nothing.

    Args:
        choices: `(layers, streams, experts)`, how often each was chosen.
    """
    layers = [[sum(expert) for expert in zip(*layer, strict=True)] for layer in choices]
    return sum(chosen < DEAD * sum(layer) / len(layer) for layer in layers for chosen in layer)


def _rank(trial: Trial) -> tuple[int, float]:
    """Finished ones first, by their metric."""
    status = ("finished", "stopped", "failed").index(trial.status)
    return status, math.inf if trial.metric is None else trial.metric


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
