"""A clip: where it lies and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from favchat.attributes import ACTION, APPEARANCE


@dataclass(frozen=True, slots=True)
class EmotionSegment:
    """An emotion shown from ``start`` to ``end``, in seconds from the start of the clip."""

    emotion: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Clip:
    """One stretch of one video, with the labels it came with. A label that nobody gave is None, never 0."""

    id: str
    """Unique in the corpus, and safe as a file name."""
    video: str
    """Absolute path of the video."""
    start: float = 0.0
    """Where the clip starts in the video, in seconds."""
    end: float | None = None
    """Where it ends, in seconds; None: the end of the video."""
    identity: str | None = None
    """Who is seen, as the source names them."""
    split: str = "train"
    """The split it belongs to."""
    appearance: list[int | None] = field(default_factory=lambda: [None] * len(APPEARANCE))
    """40 labels 0, 1 or None, in the order of ``favchat.attributes.APPEARANCE``."""
    action: list[int | None] = field(default_factory=lambda: [None] * len(ACTION))
    """35 labels 0, 1 or None, in the order of ``favchat.attributes.ACTION``."""
    emotion: str | None = None
    """The emotion of the whole clip, a name of ``favchat.attributes.EMOTION``; None where it is unknown or changes."""
    emotion_segments: list[EmotionSegment] = field(default_factory=list)
    """The emotions over time where the source tells them apart, ordered by start."""


def clip_from_row(row: dict[str, Any]) -> Clip:
    """The clip of a shard's row, read as plain Python values (``Table.to_pylist``)."""
    return Clip(
        id=row["clip_id"],
        video=row["video"],
        start=row["start"],
        end=row["end"],
        identity=row["identity"],
        split=row["split"],
        appearance=row["appearance"],
        action=row["action"],
        emotion=row["emotion"],
        emotion_segments=[EmotionSegment(**segment) for segment in row["emotion_segments"]],
    )
