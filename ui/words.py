"""What the page calls things, and in which colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

EMOTIONS = {
    "happy": ("happy", "#e6a700"),
    "surprise": ("surprised", "#d9598c"),
    "neutral": ("neutral", "#98a4b0"),
    "sadness": ("sad", "#3b7dd8"),
    "fear": ("afraid", "#8457c8"),
    "anger": ("angry", "#cf3f33"),
    "disgust": ("disgusted", "#3f9650"),
    "contempt": ("contemptuous", "#94643f"),
}
"""By the API's names: the page's word and colour."""
OPPOSITES = {"male": "female"}
"""What the absence of an attribute means, where there is a word for it."""
POSE = {"yaw": ("turn", "#1f77b4"), "pitch": ("nod", "#d95f02"), "roll": ("tilt", "#1b9e77")}
"""By the API's names: the page's word and colour of a head's angle."""
MOTION = "#7a8794"


def emotion(name: str) -> str:
    """An emotion in the page's words."""
    return EMOTIONS.get(name, (name, ""))[0]


def colour(name: str) -> str:
    """An emotion's colour."""
    return EMOTIONS.get(name, ("", "#98a4b0"))[1]


def percent(share: float | None) -> str:
    """A share of 0 to 1, never rounded to all or nothing."""
    if share is None:
        return ""
    whole = round(share * 100)
    return "<1 %" if whole == 0 and share > 0 else ">99 %" if whole == 100 and share < 1 else f"{whole} %"


def likeliest(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    """Emotions and their shares, the likeliest first."""
    return sorted(shares.items(), key=lambda one: -one[1])


def told(row: Mapping[str, Any]) -> str:
    """What an attribute's row says of the face, in words."""
    if row["present"]:
        return str(row["label"])
    return OPPOSITES.get(row["name"]) or f"not {row['label']}"


def seconds(value: float) -> str:
    """A moment or a length."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60}:{int(value) % 60:02d}"


def listed(words: Sequence[str], most: int = 3) -> str:
    """Words in a row, the first few of them."""
    shown = ", ".join(words[:most])
    return f"{shown}, …" if len(words) > most else shown
