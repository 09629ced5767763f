"""A clip: where it lies and what is known of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from favchat.attributes import ACTION, APPEARANCE, EMOTION, EXTRA, UNKNOWN


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
    """Absolute path or fsspec address of the video, or of a folder of numbered images."""
    start: float = 0.0
    """Where the clip starts in the video, in seconds."""
    end: float | None = None
    """Where it ends, in seconds; None: the end of the video."""
    identity: str | None = None
    """Who is seen, as the source names them."""
    split: str = ""
    """The split it belongs to; empty in a source that names none, until ``data.splits`` decides."""
    box: tuple[float, float, float, float] | None = None
    """The annotated face, x0, y0, x1, y1 of the upright video: four shares of width and height where none is above 1,
    else pixels, as the source gives them. None: not annotated."""
    appearance: list[int | None] = field(default_factory=lambda: [None] * len(APPEARANCE))
    """40 labels 0, 1 or None, in the order of ``favchat.attributes.APPEARANCE``."""
    action: list[int | None] = field(default_factory=lambda: [None] * len(ACTION))
    """35 labels 0, 1 or None, in the order of ``favchat.attributes.ACTION``."""
    emotion: str | None = None
    """The emotion of the whole clip, a name of ``favchat.attributes.EMOTION``; None where it is unknown or changes."""
    emotion_segments: list[EmotionSegment] = field(default_factory=list)
    """The emotions over time where the source tells them apart, ordered by start."""
    extra: list[int | None] = field(default_factory=lambda: [None] * len(EXTRA))
    """Labels 0, 1 or None, in the order of ``favchat.attributes.EXTRA``."""


def face_id(clip_id: str, track: int) -> str:
    """The id of a clip's row: the main face (0) has the clip's own."""
    return f"{clip_id}__face{track}" if track else clip_id


def clip_of(row_id: str) -> str:
    """The id of the clip that a row belongs to, see ``face_id``."""
    return re.sub(r"__face[1-9]\d*$", "", row_id)


def label_vector(clip: Clip, names: Sequence[str]) -> list[int]:
    """A clip's labels of some attributes: 1, 0 or ``UNKNOWN``.

    Of the emotions, where they are known, one is 1 and the others are 0; where they change, they are unknown.
    """
    known: dict[str, int | None] = {}
    for attributes, labels in ((APPEARANCE, clip.appearance), (ACTION, clip.action), (EXTRA, clip.extra)):
        known |= {attribute.name: label for attribute, label in zip(attributes, labels, strict=True)}
    if clip.emotion is not None:
        known |= {emotion.name: int(emotion.name == clip.emotion) for emotion in EMOTION}
    return [UNKNOWN if (label := known.get(name)) is None else label for name in names]


def checked_box(values: Sequence[Any]) -> tuple[float, float, float, float]:
    """Four numbers as a ``Clip.box``.

    Raises:
        ValueError: They are not four numbers, or the box has no area.
    """
    try:
        x0, y0, x1, y1 = (float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the box {list(values)!r} must be four numbers x0, y0, x1, y1") from error
    if not (x0 < x1 < math.inf and y0 < y1 < math.inf):
        raise ValueError(f"the box {x0:g}, {y0:g}, {x1:g}, {y1:g} must have x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def clip_from_row(row: dict[str, Any]) -> Clip:
    """The clip of a shard's row with what its frames show, read as plain Python values (``Table.to_pylist``).

    An emotion that was labelled outside of the shot that the frames come from is left out.

    Args:
        row: The columns of ``favchat.data.schema.LABEL_COLUMNS``.
    """
    segments = [EmotionSegment(**segment) for segment in row["emotion_segments"]]
    return Clip(
        id=row["clip_id"],
        video=row["video"],
        start=row["start"],
        end=row["end"],
        identity=row["identity"],
        split=row["split"],
        box=None if row["box"] is None else checked_box(row["box"]),
        appearance=row["appearance"],
        action=row["action"],
        emotion=row["emotion"],
        emotion_segments=[
            segment for segment in segments if segment.start < row["shot_end"] and segment.end > row["shot_start"]
        ],
        extra=row.get("extra") or [None] * len(EXTRA),
    )
