"""Confusion matrices and bars, as PNG files in memory."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from favchat.evaluation.scoring.choices import Metric, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOUR = "#7dd3fc"


def confusion_picture(result: Result) -> bytes:
    """Confusion matrix: rows truth, columns answers, the last one unparsed; fractions of each row, and counts.

    Args:
        result: One that has a confusion matrix.
    """
    from matplotlib.figure import Figure

    counts = result.confusion if result.confusion is not None else np.zeros((1, 2), int)
    columns = [*result.classes, "unparsed"] if counts[:, -1].any() else list(result.classes)
    counts = counts[:, : len(columns)]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.6 + 0.5 * len(columns)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.6 else "#1e293b"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(result.classes)), result.classes, fontsize=8)
    axes.set_xlabel("answer", fontsize=9)
    axes.set_ylabel("truth", fontsize=9)
    return _png(figure)


def attribute_bars(results: Sequence[Result], metric: str) -> bytes:
    """One bar per attribute with its interval, highest first, and the prior baseline as a line.

    Args:
        results: Of single attributes.
        metric: Which of their metrics, such as ``auc``.
    """
    from matplotlib.figure import Figure

    told = [(result.part, result.metrics[metric]) for result in results if metric in result.metrics]
    shown: list[tuple[str, Metric]] = sorted(
        [(part, value) for part, value in told if not np.isnan(value.value)], key=lambda pair: pair[1].value
    )
    figure = Figure(figsize=(7, 0.6 + 0.19 * max(1, len(shown))), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    values = np.array([value.value for _, value in shown])
    axes.barh(places, values, color=_COLOUR, height=0.7)
    for place, (_, value) in zip(places, shown, strict=True):
        if value.low is not None and value.high is not None:
            axes.plot([value.low, value.high], [place, place], color="#1e293b", linewidth=1)
        if value.prior is not None:
            axes.plot([value.prior] * 2, [place - 0.4, place + 0.4], color="#ea580c", linewidth=1.5)
    axes.set_yticks(places, [f"{part.replace('_', ' ')}" for part, _ in shown], fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, max(1, len(shown)) - 0.4)
    axes.set_xlabel(f"{metric} (orange: prior; line: 95 % interval)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
