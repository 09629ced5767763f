"""What a sweep found: a table, a picture, and the best configuration."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml
from ray.tune import Result, ResultGrid
from rich.console import Console
from rich.table import Table

from favchat.config import Config
from favchat.tracking import Run
from tune.space import Point, chosen
from tune.trial import trial_config


@dataclass(frozen=True)
class Trial:
    """How one trial ended."""

    num_experts: int
    top_k: int
    active_parameters: int
    """Parameters of the adapter that one token passes through."""
    status: str
    """``finished``, ``stopped`` by the scheduler, or ``failed``."""
    reports: int
    """Reports it made."""
    metric: float | None
    """The sweep's metric at its last report."""
    seconds: float
    """Wall time of the trial, the start of its processes included."""

    @property
    def point(self) -> Point:
        """Its combination."""
        return Point(self.num_experts, self.top_k)


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
        for heading in ("experts", "top-k", "active parameters", self.metric, "reports", "seconds", "status"):
            table.add_column(heading, justify="left" if heading == "status" else "right")
        for trial in self.trials:
            table.add_row(
                str(trial.num_experts),
                str(trial.top_k),
                f"{trial.active_parameters:,}",
                "-" if trial.metric is None else f"{trial.metric:.4f}",
                str(trial.reports),
                f"{trial.seconds:.0f}",
                trial.status,
            )
        (console or Console()).print(table)

    def summary(self) -> str:
        """One line for a person."""
        best = self.trials[0]
        return (
            f"best: {best.num_experts} experts, top-{best.top_k}, {self.metric} {best.metric:.4f} -> {self.best}, "
            f"{self.picture}"
        )


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
    result.best.write_text(best_config(config, trials[0].point, f"{metric} {trials[0].metric:.4f}"))
    with result.table.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Trial)])
        writer.writeheader()
        writer.writerows(asdict(trial) for trial in trials)
    draw(trials, metric, result.picture)
    for path in (result.best, result.table, result.picture):
        run.log_artifact(path)
    run.log_metrics({f"best_{metric}": trials[0].metric}, 0)
    return result


def best_config(config: Config, point: Point, quality: str) -> str:
    """The sweep's configuration with the best adapter and without its folders, as YAML."""
    settings = point.apply(config).model_dump(mode="json", exclude={"tune": True, "training": {"out"}})
    words = f"# The best of a sweep: {point.num_experts} experts, top-{point.top_k}, {quality}.\n"
    return words + yaml.safe_dump(settings, sort_keys=False)


def draw(trials: list[Trial], metric: str, path: Path) -> None:
    """Draw quality against active parameters: a dot for a finished trial, a cross for one that was stopped early."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    shown = [trial for trial in trials if trial.metric is not None]
    for index, top_k in enumerate(sorted({trial.top_k for trial in shown})):
        color = f"C{index}"
        group = sorted((t for t in shown if t.top_k == top_k), key=lambda trial: trial.num_experts)
        finished = [trial for trial in group if trial.status == "finished"]
        stopped = [trial for trial in group if trial.status == "stopped"]
        axes.plot(*_coordinates(finished), "o", color=color, label=f"top-{top_k}")
        axes.plot(*_coordinates(stopped), "x", color=color, label=f"top-{top_k}, stopped early" if stopped else None)
        for trial in group:
            place = (trial.active_parameters, trial.metric or 0.0)
            axes.annotate(f"{trial.num_experts} experts", place, xytext=(7, 3), textcoords="offset points", fontsize=8)
    axes.set_xlabel("active parameters of the adapter")
    axes.set_ylabel(f"{metric} (lower is better)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.18, y=0.15)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=150)


def _coordinates(trials: list[Trial]) -> tuple[list[int], list[float]]:
    return [trial.active_parameters for trial in trials], [trial.metric or 0.0 for trial in trials]


def _trials(results: list[Result], config: Config, metric: str) -> list[Trial]:
    """The trials; of a combination that was drawn again, the better one."""
    count = _parameter_count([trial_config(config, chosen(result.config or {})) for result in results])
    by_point: dict[Point, Trial] = {}
    for result in results:
        point, values = chosen(result.config or {}), result.metrics or {}
        trial = Trial(
            *point,
            active_parameters=count(point),
            status="failed" if result.error else "finished" if "train_seconds" in values else "stopped",
            reports=values.get("training_iteration", 0),
            metric=values.get(metric),
            seconds=values.get("time_total_s", 0.0),
        )
        by_point[point] = min(trial, by_point.get(point, trial), key=_rank)
    return list(by_point.values())


def _rank(trial: Trial) -> tuple[int, float]:
    """Finished ones first, by their metric."""
    status = ("finished", "stopped", "failed").index(trial.status)
    return status, math.inf if trial.metric is None else trial.metric


def _parameter_count(configs: list[Config]) -> Callable[[Point], int]:
    """Counts a combination's active parameters; the adapters' other sizes come from any trial's saved model."""
    models = [path for config in configs for path in Path(config.training.out or "").glob("stages/*/*/config.json")]
    if not models:
        return lambda point: 0
    # Takes seconds to import, which the start of a sweep need not wait for.
    from favchat.model import FaVChatConfig
    from favchat.model.adapter import active_parameters

    adapter = FaVChatConfig.from_pretrained(models[0].parent).adapter_config

    def count(point: Point) -> int:
        adapter.num_experts, adapter.num_experts_per_tok = point
        return active_parameters(adapter)

    return count
