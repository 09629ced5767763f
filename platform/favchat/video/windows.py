"""Splits a clip into windows of time, each a clip of the same face."""

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
"""Default length of a window, seconds."""
DEFAULT_WINDOWS = 32
"""Maximum number of windows of default length."""


def followed(clip: ProcessedClip) -> tuple[float, float]:
    """Start and end of the part of a video in which a clip's face was tracked, seconds: all of it, or one shot."""
    begin, end = clip.shot
    return begin, min(end, clip.info.duration)


def window_spans(begin: float, end: float, window: float, stride: float) -> list[tuple[float, float]]:
    """Start and end of each window of a part of a video.

    A remainder at the end is a window too if it is at least half as long as one; so is a part that is shorter than a
    window.

    Args:
        begin: Start of the part, seconds.
        end: End of the part, seconds.
        window: Length of a window, seconds.
        stride: Seconds between the starts of successive windows.

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
    """Default length of a window, seconds: `WINDOW`, or more if that would give more than `DEFAULT_WINDOWS`."""
    return max(WINDOW, (end - begin) / DEFAULT_WINDOWS)


def window_clips(
    path: str | Path,
    detector: FaceDetector,
    specification: ClipSpecification,
    clip: ProcessedClip,
    spans: Sequence[tuple[float, float]],
) -> list[ProcessedClip | None]:
    """Build the clip of each window, with the same face.

    If the clip was sampled at the specification's full rate, windows are slices of it. If it is longer, so that its
    frames are sparser, each window is read from the file as a clip of its own, with the face nearest to the position of
    the clip's face at that time.

    Args:
        path: The video file.
        detector: From the specification's `make_detector`.
        specification: The specification that the clip was read with.
        clip: The clip, from the start of the file.
        spans: Start and end of each window, seconds.

    Returns:
        For each window its clip, with times relative to the window's start; None if the face is not visible in enough
        frames or no frame can be read.
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
    # The frame on display at a time has begun before it.
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
    """x1 y1 x2 y2 of the clip's face in a window, 0..1: the median, or interpolated from the frames around it."""
    times, boxes = clip.timestamps[clip.visible], clip.boxes[clip.visible].astype(np.float64)
    inside = (times >= span[0]) & (times < span[1])
    if inside.any():
        box = np.median(boxes[inside], axis=0)
    else:
        box = np.array([np.interp(sum(span) / 2, times, boxes[:, side]) for side in range(4)])
    return [float(value) for value in np.clip(box, 0.0, 1.0)]
