"""Which frames an answer rests on: those without which it would be less likely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ui.words import percent, seconds

LEAST = 0.02
"""Weight, a difference of logarithms, below which a frame changes nothing worth telling: 2 % of the likelihood."""
NEAR = 0.5
"""Frames with at least this share of the heaviest one's weight are outlined with it."""


class Why(NamedTuple):
    """What was found."""

    times: tuple[float, ...]
    """Seconds of the frames that the answer rests on."""
    words: str


def explain(told: dict[str, Any]) -> Why:
    """Which frames mattered, and how much.

    Args:
        told: What ``POST /v1/videos/{id}/why`` answers.
    """
    frames: Sequence[dict[str, Any]] = [one for one in told["frames"] if one["weight"] is not None]
    if told["by"] == "rule":
        return Why((), "This answer is given by a rule; no frame changes it.")
    if not frames:
        return Why((), "The model saw one frame alone; there is no other to compare it with.")
    most = max(frame["weight"] for frame in frames)
    if most < LEAST:
        return Why((), "It rests on no single frame: whichever is hidden, the answer stays as likely.")
    heavy = [frame for frame in frames if frame["weight"] >= max(NEAR * most, LEAST)]
    parts = [f"{seconds(one['time'])} ({percent(math.exp(-one['weight']))} as likely without it)" for one in heavy]
    noun = "frame" if len(heavy) == 1 else "frames"
    return Why(tuple(one["time"] for one in heavy), f"It rests most on the {noun} at {', '.join(parts)}.")
