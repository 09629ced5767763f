"""The time line as a picture for papers and slides."""

from __future__ import annotations

import io
from typing import Any

from ui.timeline import SHOWN, stacked
from ui.words import MOTION, POSE, colour, emotion

SIZE = (8.0, 4.6)
"""Inches."""
DOTS = 150
"""A inch."""


def timeline_png(name: str, scores: dict[str, Any], end: float) -> bytes:
    """Emotion, head pose and motion below each other on one time axis: a PNG file.

    Args:
        name: The clip's name.
        scores: What ``POST /v1/videos/{id}/attributes`` answers.
        end: Length of the clip in seconds.
    """
    # Loaded here: it takes a second that a page which exports nothing does not need.
    from matplotlib.figure import Figure

    windows, track = scores["over_time"]["windows"], scores["track"]
    figure = Figure(figsize=SIZE, layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1.4, 1))
    _emotions(top, windows, end)
    top.set(ylim=(0, 1), ylabel="emotion, share", title=name)
    if track is not None:
        for name, (word, shade) in POSE.items():
            middle.plot(track["times"], _numbers(track[name]), color=shade, label=word, linewidth=1.4)
        middle.axhline(0, color="#999999", linewidth=0.6)
        middle.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        bottom.fill_between(track["times"], _numbers(track["motion"]), color=MOTION)
    middle.set_ylabel("head, degrees")
    bottom.set(ylabel="motion, faces/s", xlabel="seconds", xlim=(0, end))
    for axes in (top, middle, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DOTS)
    return target.getvalue()


def _emotions(axes: Any, windows: list[dict[str, Any]], end: float) -> None:
    named: set[str] = set()
    for times, bands in stacked(windows, end):
        for name, edges in bands:
            lower, upper = zip(*edges, strict=True)
            most = max(high - low for low, high in edges)
            label = emotion(name) if name not in named and most >= SHOWN else None
            named |= {name} if label else set()
            axes.fill_between(times, lower, upper, color=colour(name), label=label, linewidth=0)
    if named:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
