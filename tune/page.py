"""A sweep's report as one HTML file that needs nothing else: Plotly's script lies in it."""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from favchat.data.report.html_page import cells, html
from tune.findings import Findings
from tune.results import swept_keys
from tune.space import short_names


def page(found: Findings, title: str) -> str:
    """The report.

    Args:
        found: What it shows.
        title: Of the page.
    """
    figures = [
        ("Quality against active parameters", _pareto(found), _FRONT),
        ("All trials", _parallel(found), "Drag along an axis to choose; the colour is the metric."),
        ("Learning curves", _curves(found), _CURVES if not found.goal.is_loss else ""),
        ("Differences to the best combination", _differences(found), ""),
        ("What each setting explains", _effects(found), _EFFECTS),
        ("How the experts were used", _usage(found), _USAGE),
    ]
    body = [f"<script>{get_plotlyjs()}</script>", _summary(found), _combination_table(found), _difference_table(found)]
    for heading, figure, words in figures:
        if figure is not None:
            figure.update_layout(template="plotly_white", margin={"l": 60, "r": 20, "t": 20, "b": 50})
            drawn = figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})
            body.append(f"<h2>{escape(heading)}</h2><p>{escape(words)}</p>{drawn}")
    body += [_trial_table(found), _perturbation_table(found)]
    return html("Sweep", title, "".join(body))


_FRONT = (
    "Means over the seeds with 95 % intervals of the mean (Student's t). The line joins combinations that none beats "
    "with as few active parameters, by their means alone: where intervals overlap, another draw may give another line."
)
_CURVES = "At reports the metric is measured on a few held-out clips, so that curves are no final numbers."
_EFFECTS = (
    "Share of the metric's variance over all finished trials that each setting explains by itself (fANOVA of Optuna). "
    "A seed that explains much says that the trials are too noisy to tell the rest."
)
_USAGE = "Share of the choices before the last report; rows are trials and streams, the most used expert comes first."


def _summary(found: Findings) -> str:
    counts = {status: sum(trial.status == status for trial in found.trials) for status in _STATUSES}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    text = f"{len(found.trials)} trials: {told}. Compared by {found.goal.metric}; {found.goal.better}."
    sure = sum(one.is_larger_than_spread for one in found.differences)
    if any(one.p is not None for one in found.differences):
        text += (
            f" Of {len(found.differences)} combinations {sure} differ from the best one by more than seeds make "
            "(5 %, adjusted for their number)."
        )
    elif found.differences:
        text += " With one seed a combination nothing is known of how much of the differences seeds make."
    if any(trial.perturbations for trial in found.trials):
        text += (
            " Settings changed while trials trained: names say what a trial began with, tables what it has in the end, "
            "and a curve is that of the weights it ended with, the past of others included."
        )
    return f"<p>{escape(text)}</p>"


_STATUSES = ("finished", "stopped", "failed")


def _combination_table(found: Findings) -> str:
    keys = swept_keys([trial for one in found.combinations for trial in one.trials])
    keys = [key for key in keys if any(key in one.point.settings for one in found.combinations)]
    lines = []
    for one in found.combinations:
        dead = [trial.dead_experts for trial in one.trials if trial.dead_experts is not None]
        lines.append(
            [
                *(str(one.point.settings.get(key, "-")) for key in keys),
                f"{one.active_parameters:,}",
                str(len(one.trials)),
                _interval(one.mean, one.low, one.high),
                _number(one.spread),
                _mean([trial.usage_entropy for trial in one.trials], ".2f"),
                f"{sum(dead) / len(dead):.1f}" if dead else "",
                _mean([trial.step_seconds for trial in one.trials], ".3f"),
                _mean([trial.memory_gb for trial in one.trials], ".2f"),
                "yes" if one in found.front else "",
            ]
        )
    headings = [*short_names(keys).values(), "active parameters", "seeds", found.goal.metric, "sd over seeds"]
    headings += ["usage entropy", "dead experts", "step (s)", "memory (GB)", "on the front"]
    return _table("Combinations, the best first", headings, lines)


def _difference_table(found: Findings) -> str:
    if not found.differences:
        return ""
    lines = [
        [
            one.point.label,
            _interval(one.value, one.low, one.high, "+.4f"),
            f"{one.pairs} pairs" if one.pairs > 1 else "no pairs",
            _number(one.p, ".3f"),
            "" if one.p is None else "yes" if one.is_larger_than_spread else "no",
        ]
        for one in found.differences
    ]
    headings = ["combination", "less the best one", "seeds", "p, adjusted", "larger than the seeds' spread"]
    return _table("Differences", headings, lines)


def _trial_table(found: Findings) -> str:
    lines = [
        [
            trial.point.name,
            trial.status,
            _number(trial.metric),
            str(trial.steps),
            f"{trial.seconds:.0f}",
            _number(trial.usage_entropy, ".2f"),
            "" if trial.dead_experts is None else str(trial.dead_experts),
            _number(trial.step_seconds, ".3f"),
            _number(trial.memory_gb, ".2f"),
        ]
        for trial in found.trials
    ]
    headings = ["trial", "status", found.goal.metric, "steps", "seconds", "usage entropy", "dead experts", "step (s)"]
    return _table("Trials", [*headings, "memory (GB)"], lines)


def _perturbation_table(found: Findings) -> str:
    """How the settings of a population's trials came about."""
    changed = [trial for trial in found.trials if trial.perturbations]
    if not changed:
        return ""
    lines = []
    for trial in changed:
        first = trial.perturbations[0].source
        lines.append([trial.point.name, "0", "", first])
        lines += [["", str(one.step), one.source, one.point.label] for one in trial.perturbations]
    headings = ["trial", "from step", "from the weights of", "with the settings"]
    return _table("What changed on the way to each trial's weights", headings, lines)


def _pareto(found: Findings) -> Any:
    if not found.combinations:
        return None
    figure = go.Figure()
    figure.add_scatter(
        x=[one.active_parameters for one in found.front],
        y=[one.mean for one in found.front],
        mode="lines",
        name="Pareto front",
    )
    figure.add_scatter(
        x=[one.active_parameters for one in found.combinations],
        y=[one.mean for one in found.combinations],
        text=[one.point.label for one in found.combinations],
        error_y={
            "array": [0 if one.high is None else one.high - one.mean for one in found.combinations],
            "arrayminus": [0 if one.low is None else one.mean - one.low for one in found.combinations],
        },
        mode="markers+text",
        textposition="top right",
        name="combinations",
    )
    figure.update_xaxes(title="active parameters of the adapter")
    figure.update_yaxes(title=f"{found.goal.metric} ({found.goal.better})")
    return figure


def _parallel(found: Findings) -> Any:
    trials = [trial for trial in found.trials if trial.metric is not None]
    keys = swept_keys(trials)
    if not keys:
        return None
    axes = [_axis(name, [trial.present.swept.get(key) for trial in trials]) for key, name in short_names(keys).items()]
    values = [trial.metric for trial in trials]
    axes.append({"label": found.goal.metric, "values": values})
    line = {"color": values, "colorscale": "Viridis", "reversescale": found.goal.mode == "min", "showscale": True}
    return go.Figure(go.Parcoords(dimensions=axes, line=line))


def _axis(name: str, values: list[Any]) -> dict[str, Any]:
    """An axis of numbers as they are where they are many, else of what there is, evenly spaced."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    there = sorted(set(values)) if numbers else sorted({str(value) for value in values})
    if numbers and len(there) > 8:
        return {"label": name, "values": values}
    places = {value: place for place, value in enumerate(there)}
    return {
        "label": name,
        "values": [places[value if numbers else str(value)] for value in values],
        "tickvals": list(places.values()),
        "ticktext": [str(value) for value in there],
    }


def _curves(found: Findings) -> Any:
    if not found.curves:
        return None
    figure = go.Figure()
    for curve in found.curves:
        figure.add_scatter(x=curve.steps, y=curve.values, mode="lines+markers", name=curve.name)
    figure.update_xaxes(title="optimiser steps of the whole curriculum")
    figure.update_yaxes(title=found.goal.metric)
    return figure


def _differences(found: Findings) -> Any:
    if not found.differences:
        return None
    figure = go.Figure(
        go.Scatter(
            x=[one.value for one in found.differences],
            y=[one.point.label for one in found.differences],
            error_x={
                "array": [0 if one.high is None else one.high - one.value for one in found.differences],
                "arrayminus": [0 if one.low is None else one.value - one.low for one in found.differences],
            },
            mode="markers",
        )
    )
    figure.add_vline(x=0, line_width=1)
    figure.update_xaxes(title=f"{found.goal.metric}, less that of {found.combinations[0].point.label}")
    figure.update_yaxes(autorange="reversed")
    return figure


def _effects(found: Findings) -> Any:
    if not found.effects:
        return None
    names = list(short_names(list(found.effects)).values())
    figure = go.Figure(go.Bar(x=list(found.effects.values()), y=names, orientation="h"))
    figure.update_xaxes(title="share of the variance", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    return figure


def _usage(found: Findings) -> Any:
    if not found.usages:
        return None
    width = max(len(one.shares) for one in found.usages)
    rows = [one.shares + [None] * (width - len(one.shares)) for one in found.usages]
    names = [one.name for one in found.usages]
    experts = [str(place + 1) for place in range(width)]
    heat = go.Heatmap(z=rows, x=experts, y=names, colorscale="Viridis", zmin=0, zmax=1, colorbar={"title": "share"})
    figure = go.Figure(heat)
    figure.update_yaxes(autorange="reversed", tickfont={"size": 9})
    figure.update_layout(height=max(350, 18 * len(rows) + 100))
    return figure


def _table(heading: str, headings: list[str], lines: list[list[str]]) -> str:
    rows = "".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
    return f"<h2>{escape(heading)}</h2><table><tr>{cells('th', headings)}</tr>{rows}</table>"


def _interval(value: float, low: float | None, high: float | None, form: str = ".4f") -> str:
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _number(value: float | None, form: str = ".4f") -> str:
    return "" if value is None else f"{value:{form}}"


def _mean(values: list[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):{form}}" if known else ""
