"""One time axis for all: emotion, head pose, motion, and the faces that were seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

from ui.player import jpeg, track_data
from ui.words import MOTION, POSE, colour, emotion, likeliest, seconds

WIDE, HIGH = 1000, 100
"""Units of a row's drawing, which is stretched to the row's size."""
FACES = 12
"""Places of the strip."""
LEAST_ANGLE = 15.0
"""Degrees that the pose's scale has at least to both sides."""
SHOWN = 0.04
"""Emotions that never reach this share have no entry in the legend."""

Span = tuple[float, float]


def timeline(video: dict[str, Any], scores: dict[str, Any] | None, mattered: Collection[float] = ()) -> str:
    """The time axis of a clip.

    Args:
        video: What ``GET /v1/videos/{id}`` answers.
        scores: What ``POST /v1/videos/{id}/attributes`` answers; None: not yet.
        mattered: Times, in seconds, of frames that an answer rested on.

    Returns:
        HTML; ``page.js`` moves the playhead and seeks the player.
    """
    end = max(float(video["duration"]), 0.01)
    windows = scores["over_time"]["windows"] if scores else []
    track = scores.get("track") if scores else None
    rows = "".join(
        (
            _row("Emotion", "fc-band", _band(windows, end), _legend(windows)),
            _row("Head", "fc-lines", *_pose(track, end)),
            _row("Motion", "fc-area", *_motion(track, end)),
            f'<div class="fc-row fc-faces"><span class="fc-name">Face</span>{_strip(video, end, mattered)}</div>',
        )
    )
    seen = sum(video["track"]["visible"])
    return (
        f'<section class="fc-card fc-timeline" aria-labelledby="fc-time-title" '
        f'data-track="{track_data(video)}">'
        f'<header><h2 id="fc-time-title">Over time</h2><p>{escape(summary(windows))}</p></header>'
        f'<div class="fc-axis" role="slider" tabindex="0" aria-label="Moment of the clip" aria-valuemin="0" '
        f'aria-valuemax="{end:.2f}" aria-valuenow="0" aria-valuetext="0.0 s of {seconds(end)}">'
        f'{rows}<div class="fc-row fc-ticks"><span class="fc-name"></span>{_ticks(end)}</div>'
        '<div class="fc-head" aria-hidden="true"></div></div>'
        f'<p class="fc-key">The face was seen in {seen} of {len(video["track"]["visible"])} moments. '
        '<span class="fc-key-used"></span>frames that the model looked at'
        + ('<span class="fc-key-why"></span>frames that the answer rested on' if mattered else "")
        + "</p></section>"
    )


def summary(windows: Sequence[dict[str, Any]]) -> str:
    """The course of the emotion in words, such as "neutral to 1.5 s, then happy"."""
    parts: list[tuple[str, float]] = []
    for window in windows:
        word = emotion(likeliest(window["emotion"])[0][0]) if window["emotion"] else "no face"
        if not parts or parts[-1][0] != word:
            parts.append((word, float(window["start"])))
    if not parts:
        return ""
    first, *later = parts
    if not later:
        return f"{first[0]} throughout"
    return f"first {first[0]}, " + ", ".join(f"from {seconds(start)} {word}" for word, start in later[:4])


class Stretch(NamedTuple):
    """The emotions' shares one upon the other, over a stretch without a gap."""

    times: list[float]
    """Seconds: its begin, the centre of each window, its end."""
    bands: list[tuple[str, list[Span]]]
    """For each emotion its lower and upper edge, 0 to 1, at each of the times."""


def stacked(windows: Sequence[dict[str, Any]], end: float) -> list[Stretch]:
    """The emotions over time.

    Args:
        windows: Of ``over_time``.
        end: Length of the clip in seconds.
    """
    stretches = []
    for group in _groups(windows):
        names = list(group[0]["emotion"])
        edges: dict[str, list[Span]] = {name: [] for name in names}
        for window in [group[0], *group, group[-1]]:
            low = 0.0
            for name in names:
                high = low + float(window["emotion"][name])
                edges[name].append((low, high))
                low = high
        first, last = float(group[0]["start"]), min(float(group[-1]["end"]), end)
        if group[-1] is windows[-1] and end - last < group[-1]["end"] - group[-1]["start"]:
            last = end  # what is left is too short for a window of its own
        centres = [min((float(one["start"]) + float(one["end"])) / 2, last) for one in group]
        stretches.append(Stretch([first, *centres, last], list(edges.items())))
    return stretches


def places(count: int, end: float, times: Sequence[float], wanted: Iterable[float]) -> list[int]:
    """Which of the sampled frames stand in the strip: one a place, preferably one that the model looked at.

    Args:
        count: Places.
        end: Length of the clip in seconds.
        times: Of the sampled frames.
        wanted: Times that the model looked at.

    Returns:
        For each place the index of a frame, or -1.
    """
    used = {_nearest(times, time) for time in wanted}
    chosen = []
    for place in range(count):
        begin, stop = place * end / count, (place + 1) * end / count
        last = place == count - 1
        inside = [index for index, time in enumerate(times) if begin <= time < stop or (last and time >= stop)]
        preferred = [index for index in inside if index in used] or inside
        middle = (begin + stop) / 2
        chosen.append(min(preferred, key=lambda index: abs(times[index] - middle)) if preferred else -1)
    return chosen


def _groups(windows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    groups: list[list[dict[str, Any]]] = [[]]
    for window in windows:
        if window["emotion"]:
            groups[-1].append(window)
        elif groups[-1]:
            groups.append([])
    return [group for group in groups if group]


def _row(name: str, kind: str, drawing: str, legend: str) -> str:
    return (
        f'<div class="fc-row {kind}"><span class="fc-name">{name}</span>'
        f'<svg viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" aria-hidden="true">{drawing}</svg>'
        f'<span class="fc-legend">{legend}</span></div>'
    )


def _band(windows: Sequence[dict[str, Any]], end: float) -> str:
    drawn = []
    for times, bands in stacked(windows, end):
        xs = [time / end * WIDE for time in times]
        for name, edges in bands:
            lower = [f"{x:.1f},{HIGH * (1 - low):.1f}" for x, (low, _) in zip(xs, edges, strict=True)]
            upper = [f"{x:.1f},{HIGH * (1 - high):.1f}" for x, (_, high) in zip(xs, edges, strict=True)]
            drawn.append(f'<polygon fill="{colour(name)}" points="{" ".join(upper + lower[::-1])}"/>')
    return "".join(drawn)


def _legend(windows: Sequence[dict[str, Any]]) -> str:
    most: dict[str, float] = {}
    for window in windows:
        for name, share in (window["emotion"] or {}).items():
            most[name] = max(most.get(name, 0.0), float(share))
    shown = [name for name, share in likeliest(most) if share >= SHOWN][:5]
    return "".join(_entry(emotion(name), colour(name)) for name in shown)


def _entry(word: str, shade: str) -> str:
    return f'<span><i style="background:{shade}"></i>{escape(word)}</span>'


def _pose(track: dict[str, Any] | None, end: float) -> tuple[str, str]:
    if track is None:
        return "", ""
    angles = [abs(value) for name in POSE for value in track[name] if value is not None]
    top = max([LEAST_ANGLE, *angles])
    drawn = f'<line class="fc-zero" x1="0" x2="{WIDE}" y1="{HIGH / 2}" y2="{HIGH / 2}"/>'
    for name, (_, shade) in POSE.items():
        for run in _runs(track["times"], track[name]):
            points = " ".join(f"{x / end * WIDE:.1f},{HIGH / 2 * (1 - y / top):.1f}" for x, y in run)
            drawn += f'<polyline stroke="{shade}" points="{points}"/>'
    scale = f"<span>±{top:.0f}°</span>"
    return drawn, "".join(_entry(word, shade) for word, shade in POSE.values()) + scale


def _motion(track: dict[str, Any] | None, end: float) -> tuple[str, str]:
    if track is None:
        return "", ""
    speeds = [value for value in track["motion"] if value is not None]
    top = max([0.5, *speeds])
    drawn = ""
    for run in _runs(track["times"], track["motion"]):
        points = [f"{x / end * WIDE:.1f},{HIGH * (1 - y / top):.1f}" for x, y in run]
        first, last = run[0][0] / end * WIDE, run[-1][0] / end * WIDE
        drawn += f'<polygon fill="{MOTION}" points="{first:.1f},{HIGH} {" ".join(points)} {last:.1f},{HIGH}"/>'
    return drawn, f"<span>up to {top:.1f} faces/s</span>"


def _runs(times: Sequence[float], values: Sequence[float | None]) -> list[list[Span]]:
    """Points without a gap between them."""
    runs: list[list[Span]] = [[]]
    for time, value in zip(times, values, strict=True):
        if value is not None:
            runs[-1].append((time, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _strip(video: dict[str, Any], end: float, mattered: Collection[float]) -> str:
    track, looked = video["track"], video["experts"]["timestamps"]
    times = track["timestamps"]
    used, why = ({_nearest(times, time) for time in some} for some in (looked, mattered))
    figures = []
    for index in places(FACES, end, times, [*mattered, *looked]):
        if index < 0:
            figures.append("<span></span>")
            continue
        kinds = [
            name
            for name, holds in (
                ("fc-lost", not track["visible"][index]),
                ("fc-used", index in used),
                ("fc-why", index in why),
            )
            if holds
        ]
        state = "" if track["visible"][index] else ", face not seen"
        figures.append(
            f'<img class="{" ".join(kinds)}" src="{jpeg(track["crops"][index])}" alt="" '
            f'title="{times[index]:.2f} s{state}">'
        )
    return f'<div class="fc-strip">{"".join(figures)}</div>'


def _nearest(times: Sequence[float], time: float) -> int:
    return min(range(len(times)), key=lambda index: abs(times[index] - time)) if times else -1


def _ticks(end: float) -> str:
    step = next((one for one in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300) if end / one <= 8), 600)
    marks = [number * step for number in range(int(end / step + 1e-6) + 1)]
    shown = "".join(
        f'<span style="left:{mark / end:.2%}">{seconds(mark) if step < 1 or mark >= 60 else f"{mark:g} s"}</span>'
        for mark in marks
    )
    return f'<div class="fc-marks">{shown}</div>'
