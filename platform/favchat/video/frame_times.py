"""Sampling times of a clip, and the frames on display at them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ON_TIME = 1e-3
"""Seconds by which a frame may begin late and still count as on display: container clocks round to 1 ms or less."""


def uniform_times(start: float, end: float, count: int) -> NDArray[np.float64]:
    """The centres of `count` equal parts of [start, end): (count,) float64, seconds."""
    return start + (np.arange(count, dtype=np.float64) + 0.5) * (end - start) / count


def fps_times(start: float, end: float, fps: float) -> NDArray[np.float64]:
    """Times 1/fps seconds apart, the first at `start`, the last before `end`: (N,) float64, seconds, N >= 1."""
    count = max(1, math.ceil((end - start) * fps - ON_TIME))
    return start + np.arange(count, dtype=np.float64) / fps


def sample_times(start: float, end: float, *, fps: float, max_frames: int) -> NDArray[np.float64]:
    """Sampling times at `fps`, or `max_frames` uniform ones if `fps` would give more.

    Args:
        start: Start of the part, seconds.
        end: End of the part, exclusive, seconds.
        fps: Samples per second.
        max_frames: Maximum number of samples.

    Returns:
        (N,) float64 seconds, increasing, 1 <= N <= max_frames.

    Raises:
        ValueError: The part is empty, or a rate or count is not positive.
    """
    if not 0.0 <= start < end:
        raise ValueError(f"start = {start:g} s and end = {end:g} s: need 0 <= start < end")
    if not fps > 0 or max_frames < 1:
        raise ValueError(f"fps = {fps:g} and max_frames = {max_frames}: both must be positive")
    if (end - start) * fps > max_frames + ON_TIME:
        return uniform_times(start, end, max_frames)
    return fps_times(start, end, fps)


def frames_on_display(begins: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frames on display at given times, each at most once.

    Args:
        begins: (F,) presentation times of a video's frames, increasing, seconds.
        times: (N,) times, increasing, seconds.

    Returns:
        (M,) int64 indices into `begins`, increasing, M <= N: the last frame that begins at or before each time,
        or the first frame for times before it.
    """
    index = np.searchsorted(begins, times + ON_TIME, side="right") - 1
    return np.unique(np.maximum(index, 0)).astype(np.int64)
