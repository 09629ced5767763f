"""A clip's windows: what one face does over time, each part a clip of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from favchat.video.clip import ProcessedClip
from favchat.video.detect import FaceDetector
from favchat.video.errors import VideoError
from favchat.video.frame_times import ON_TIME
from favchat.video.specification import ClipSpecification

WINDOW = 2.0
"""Seconds of a window where nobody says."""
DEFAULT_WINDOWS = 32
"""Windows at most where nobody says how long they are."""


def followed(clip: ProcessedClip) -> tuple[float, float]:
    """Begin and end of the part of a video in which a clip's face was followed, seconds: all of it, or one shot."""
    begin, end = clip.shot
    return begin, min(end, clip.info.duration)


def window_spans(begin: float, end: float, window: float, stride: float) -> list[tuple[float, float]]:
    """Begin and end of each window of a part of a video.

    What is left at the end is a window, too, where it is at least half as long as one; so is a part that is shorter
    than a window.

    Args:
        begin: Of the part, seconds.
        end: Of the part, seconds.
        window: Seconds of a window.
        stride: Seconds from the begin of one to the begin of the next.

    Raises:
        ValueError: A length is not positive.
    """
    if not (begin < end and window > 0 and stride > 0):
        raise ValueError(
            f"begin = {begin:g}, end = {end:g}, window = {window:g}, stride = {stride:g}: need begin < end"
        )
    count = max(0, math.floor((end - begin - window) / stride + 1e-6) + 1)
    spans = [(begin + number * stride, begin + number * stride + window) for number in range(count)]
    after = begin + count * stride
    rest = end - max(after, spans[-1][1]) if spans else window
    if rest >= window / 2 - ON_TIME:
        spans.append((after, end))
    return spans


def default_window(begin: float, end: float) -> float:
    """Seconds of a window where nobody says: `WINDOW`, or more where that would make too many."""
    return max(WINDOW, (end - begin) / DEFAULT_WINDOWS)


def window_clips(
    path: str | Path,
    detector: FaceDetector,
    specification: ClipSpecification,
    clip: ProcessedClip,
    spans: Sequence[tuple[float, float]],
) -> list[ProcessedClip | None]:
    """The clip of each window, of the same face.

    Where the clip holds every frame that its specification asks for, the windows are parts of it. Of a longer one,
    whose frames lie further apart, each window is read from the file as a clip of its own: the face is the one nearest
    to the place where the clip's face is at that time.

    Args:
        path: The video file.
        detector: What the specification's `make_detector` made.
        specification: How the clip was read.
        clip: The clip, from the begin of the file.
        spans: Begin and end of each window, seconds.

    Returns:
        For each window its clip, times counted from the window's begin; None where the face is not visible in enough
        frames, or no frame can be read.
    """
    begin, end = followed(clip)
    if (end - begin) * specification.fps <= specification.max_frames + ON_TIME:
        return [_part(clip, span, specification) for span in spans]
    found: list[ProcessedClip | None] = []
    for span in spans:
        try:
            found += specification.read(path, detector, start=span[0], end=span[1], box=_place(clip, span))
        except VideoError:
            found.append(None)
    return found


def _part(clip: ProcessedClip, span: tuple[float, float], specification: ClipSpecification) -> ProcessedClip | None:
    # The frame that is on display at a moment began a little before it.
    early = 0.5 / specification.fps
    chosen = (clip.timestamps >= span[0] - early) & (clip.timestamps < span[1] - early)
    if not chosen.any() or clip.visible[chosen].mean() < max(specification.min_share, 1e-9):
        return None
    return replace(
        clip,
        frames=clip.frames[chosen],
        faces=clip.faces[chosen],
        timestamps=np.maximum(clip.timestamps[chosen] - span[0], 0.0),
        boxes=clip.boxes[chosen],
        landmarks=clip.landmarks[chosen],
        scores=clip.scores[chosen],
        visible=clip.visible[chosen],
        shot=(0.0, span[1] - span[0]),
        cuts=(),
    )


def _place(clip: ProcessedClip, span: tuple[float, float]) -> list[float]:
    """x1 y1 x2 y2 of the clip's face in a window, 0..1: the median, or between the sightings before and after."""
    times, boxes = clip.timestamps[clip.visible], clip.boxes[clip.visible].astype(np.float64)
    inside = (times >= span[0]) & (times < span[1])
    if inside.any():
        box = np.median(boxes[inside], axis=0)
    else:
        box = np.array([np.interp(sum(span) / 2, times, boxes[:, side]) for side in range(4)])
    return [float(value) for value in np.clip(box, 0.0, 1.0)]
