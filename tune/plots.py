"""The pictures of a sweep's report as PNGs, for documents and for MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tune.findings import Findings
from tune.results import swept_keys
from tune.space import short_names


def draw_all(found: Findings, folder: Path) -> list[Path]:
    """Write the pictures for which there is something to show; earlier ones of the same names are replaced."""
    from matplotlib.figure import Figure

    drawn = []
    for name, draw, wanted in _PICTURES:
        path = folder / name
        path.unlink(missing_ok=True)
        if not wanted(found):
            continue
        figure = Figure(figsize=(8, 5), layout="constrained")
        draw(found, figure)
        figure.savefig(path, dpi=150)
        drawn.append(path)
    return drawn


def pareto(found: Findings, figure: Any) -> None:
    """Mean quality against active parameters, with intervals over seeds; the front is a line."""
    axes = _axes(figure, "active parameters of the adapter", f"{found.goal.metric} ({found.goal.better})")
    for one in found.combinations:
        bar = None if one.low is None or one.high is None else [[one.mean - one.low], [one.high - one.mean]]
        axes.errorbar(one.active_parameters, one.mean, bar, fmt="o", color="C0", capsize=3, alpha=0.9)
        place = (one.active_parameters, one.mean)
        axes.annotate(one.point.label, place, xytext=(7, 4), textcoords="offset points", fontsize=7)
    stopped = [trial for trial in found.trials if trial.status == "stopped" and trial.metric is not None]
    if stopped:
        places = [(trial.active_parameters, trial.metric) for trial in stopped]
        axes.plot(*zip(*places, strict=True), "x", color="C7", label="stopped early")
    front = [(one.active_parameters, one.mean) for one in found.front]
    axes.plot(*zip(*front, strict=True), "-", color="C1", label="Pareto front", zorder=0)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.18, y=0.15)
    axes.legend(frameon=False)


def parallel(found: Findings, figure: Any) -> None:
    """A line a trial through its settings and its metric, coloured by the metric."""
    from matplotlib import colormaps

    trials = [trial for trial in found.trials if trial.metric is not None]
    keys = swept_keys(trials)
    columns = [[trial.present.swept.get(key) for trial in trials] for key in keys]
    columns.append([trial.metric for trial in trials])
    names = [*short_names(keys).values(), found.goal.metric.rpartition("/")[2]]
    axes = _axes(figure, "", "")
    placed = [_placed(column) for column in columns]
    best_first = np.argsort(np.argsort([found.goal.cost(trial.metric or 0.0) for trial in trials]))
    for row in reversed(range(len(trials))):
        colour = colormaps["viridis"](1 - best_first[row] / max(1, len(trials) - 1))
        axes.plot(range(len(placed)), [column[0][row] for column in placed], color=colour, alpha=0.8)
    for place, (_, ticks) in enumerate(placed):
        for height, text in ticks:
            axes.annotate(text, (place, height), xytext=(4, 2), textcoords="offset points", fontsize=8)
        axes.axvline(place, color="black", linewidth=0.6)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.margins(x=0.1)


def curves(found: Findings, figure: Any) -> None:
    """Each trial's metric over its steps."""
    axes = _axes(figure, "optimiser steps of the whole curriculum", found.goal.metric)
    for curve in found.curves:
        axes.plot(curve.steps, curve.values, marker=".", label=curve.name, linewidth=1)
    if len(found.curves) <= 24:
        axes.legend(frameon=False, fontsize=6, ncols=2)


def effects(found: Findings, figure: Any) -> None:
    """Differences to the best combination, with intervals; and what share of the variance each setting explains."""
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    names = [one.point.label for one in found.differences]
    for row, one in enumerate(found.differences):
        bar = None if one.low is None or one.high is None else [[one.value - one.low], [one.high - one.value]]
        colour = "C3" if one.is_larger_than_spread else "C7"
        left.errorbar(one.value, row, xerr=bar, fmt="o", color=colour, capsize=3)
    left.axvline(0, color="black", linewidth=0.6)
    left.set_yticks(range(len(names)), names, fontsize=7)
    left.invert_yaxis()
    left.set_title("less the best one; red: more than seeds make", fontsize=9)
    shares = dict(zip(short_names(list(found.effects)).values(), found.effects.values(), strict=True))
    right.barh(list(shares), list(shares.values()), color="C0")
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.set_title("share of the variance (fANOVA)", fontsize=9)


def usage(found: Findings, figure: Any) -> None:
    """Each expert's share of the choices; the most used one comes first."""
    width = max(len(one.shares) for one in found.usages)
    table = np.full((len(found.usages), width), np.nan)
    for row, one in enumerate(found.usages):
        table[row, : len(one.shares)] = one.shares
    figure.set_size_inches(8, max(3, 0.22 * len(table) + 1))
    axes = figure.add_subplot()
    image = axes.imshow(table, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(table)), [one.name for one in found.usages], fontsize=6)
    axes.set_xticks(range(width), [str(place + 1) for place in range(width)])
    axes.set_xlabel("expert, the most used first")
    figure.colorbar(image, ax=axes, label="share of the choices")


_PICTURES: list[tuple[str, Callable[[Findings, Any], None], Callable[[Findings], bool]]] = [
    ("quality.png", pareto, lambda found: bool(found.combinations)),
    ("parallel.png", parallel, lambda found: bool(swept_keys(list(found.trials)))),
    ("curves.png", curves, lambda found: bool(found.curves)),
    ("effects.png", effects, lambda found: bool(found.differences)),
    ("usage.png", usage, lambda found: bool(found.usages)),
]


def _axes(figure: Any, x: str, y: str) -> Any:
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _placed(column: list[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """A column's heights between 0 and 1, and where to write what."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in column)
    there: list[Any] = sorted(set(column)) if numbers else sorted({str(value) for value in column})
    if len(there) <= 8 or not numbers:
        heights = {value: place / max(1, len(there) - 1) for place, value in enumerate(there)}
        shown = [(height, f"{value:g}" if numbers else str(value)) for value, height in heights.items()]
        return [heights[value if numbers else str(value)] for value in column], shown
    low, high = there[0], there[-1]
    return [(value - low) / (high - low) for value in column], [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")]
