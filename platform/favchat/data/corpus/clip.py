"""A clip: its video and its labels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from favchat.labels.attributes import ACTION, APPEARANCE, EMOTION, EXTRA, UNKNOWN


@dataclass(frozen=True, slots=True)
class EmotionSegment:
    """An emotion shown from ``start`` to ``end``, in seconds from the start of the clip."""

    emotion: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A segment of a video with the labels of its source. An unknown label is None, never 0."""

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
    else pixels, see ``checked_box``. None: not annotated."""
    appearance: list[int | None] = field(default_factory=lambda: [None] * len(APPEARANCE))
    """40 labels 0, 1 or None, in the order of ``favchat.labels.attributes.APPEARANCE``."""
    action: list[int | None] = field(default_factory=lambda: [None] * len(ACTION))
    """35 labels 0, 1 or None, in the order of ``favchat.labels.attributes.ACTION``."""
    emotion: str | None = None
    """The emotion of the whole clip, a name of ``favchat.labels.attributes.EMOTION``; None where it is unknown or
    changes."""
    emotion_segments: list[EmotionSegment] = field(default_factory=list)
    """The emotions over time where the source tells them apart, ordered by start."""
    extra: list[int | None] = field(default_factory=lambda: [None] * len(EXTRA))
    """Labels 0, 1 or None, in the order of ``favchat.labels.attributes.EXTRA``."""


def face_id(clip_id: str, track: int) -> str:
    """The id of a clip's row: the main face (0) has the clip's own."""
    return f"{clip_id}__face{track}" if track else clip_id


def clip_of(row_id: str) -> str:
    """The id of the clip that a row belongs to, see ``face_id``."""
    return re.sub(r"__face[1-9]\d*$", "", row_id)


_SHARES_END = 2.0  # boxes may exceed the frame a little; a face of 2 pixels is not plausible
_SMALLEST = 2.0


def label_vector(clip: Clip, names: Sequence[str]) -> list[int]:
    """A clip's labels of some attributes: 1, 0 or ``UNKNOWN``.

    If the emotion is known, it is 1 and the other emotions are 0; if it changes within the clip, all are unknown.
    """
    known: dict[str, int | None] = {}
    for attributes, labels in ((APPEARANCE, clip.appearance), (ACTION, clip.action), (EXTRA, clip.extra)):
        known |= {attribute.name: label for attribute, label in zip(attributes, labels, strict=True)}
    if clip.emotion is not None:
        known |= {emotion.name: int(emotion.name == clip.emotion) for emotion in EMOTION}
    return [UNKNOWN if (label := known.get(name)) is None else label for name in names]


def checked_box(values: Sequence[Any]) -> tuple[float, float, float, float]:
    """Validate four numbers as a ``Clip.box``.

    If none exceeds 2 they are fractions of width and height, clipped to the frame; otherwise pixels.

    Raises:
        ValueError: They are not four numbers, the box has no area in the frame, or it is too small for pixels.
    """
    try:
        x0, y0, x1, y1 = (float(value) for value in values if not isinstance(value, bool))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the box {list(values)!r} must be four numbers x0, y0, x1, y1") from error
    box = f"the box {x0:g}, {y0:g}, {x1:g}, {y1:g}"
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or not (x0 < x1 and y0 < y1):
        raise ValueError(f"{box} must have x0 < x1 and y0 < y1")
    if min(x1, y1) <= 0:
        raise ValueError(f"{box} lies outside of the picture")
    if max(x1, y1) <= _SHARES_END:
        x0, y0, x1, y1 = (min(1.0, max(0.0, value)) for value in (x0, y0, x1, y1))
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"{box} lies outside of the picture")
    elif min(x1 - x0, y1 - y0) < _SMALLEST:
        raise ValueError(f"{box} is too small for pixels, and too large for shares of width and height")
    return x0, y0, x1, y1


def clip_from_row(row: dict[str, Any]) -> Clip:
    """Build the clip of a shard's row (plain Python values, ``Table.to_pylist``), with the labels of its frames.

    Emotion segments outside the shot that the frames come from are dropped.

    Args:
        row: The columns of ``favchat.data.corpus.schema.LABEL_COLUMNS``.
    """
    segments = [EmotionSegment(**segment) for segment in row["emotion_segments"]]
    return Clip(
        id=row["clip_id"],
        video=row["video"],
        start=row["start"],
        end=row["end"],
        identity=row["identity"],
        split=row["split"],
        box=None if row["box"] is None else tuple(row["box"]),
        appearance=row["appearance"],
        action=row["action"],
        emotion=row["emotion"],
        emotion_segments=[
            segment for segment in segments if segment.start < row["shot_end"] and segment.end > row["shot_start"]
        ],
        extra=_padded(row.get("extra") or []),
    )


def _padded(extra: list[int | None]) -> list[int | None]:
    """Labels of further attributes, unknown where a corpus is older than an attribute."""
    return [*extra, *[None] * (len(EXTRA) - len(extra))]
