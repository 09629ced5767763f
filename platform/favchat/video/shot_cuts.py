"""Shot cuts inside a clip.

The frames that are sampled anyway tell where nothing can have happened: two neighbours of one shot are alike. Only
between neighbours that differ is every frame decoded, at a few pixels, and a cut is a single step from one picture to
another that stays. Dissolves and fades are not found. `docs/choices.md` compares this with PySceneDetect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.decode import Frames
from favchat.video.readers import read_spans

SIDE = 32
"""Frames are compared at this side in pixels, squeezed to a square."""
SHIFT = 6
"""Pixels of these by which the picture may have moved, to either side, between two frames of one shot."""
SUSPECT = 0.035
"""Difference of two sampled neighbours from which on the frames between them are looked at."""
CUT = 0.04
"""Least difference of two successive frames of two shots."""
JUMP = 6.0
"""How many times more than its neighbours the step of a cut differs: a fast motion takes several steps."""
MOVED = 0.075
"""Difference below which two pictures, shifted onto each other, are one that moved."""
FLAT = 2.0
"""Grey levels of contrast below which a picture counts as flat."""
AROUND = 0.35
"""Seconds before and after a suspect pair that are decoded too, to see what its pictures come from and become."""
PIECE = 20.0
"""Seconds of frames that are in memory at once."""


def find_cuts(path: str | Path, sampled: Frames, *, start: float = 0.0) -> list[float]:
    """Find the cuts between the sampled frames of a part of a video.

    Two pictures differ by one minus the correlation of their pixels at 32x32, colours included and each colour's mean
    taken off, which neither a flash nor an exposure that adapts changes much. A cut is a step between successive
    frames that differ by more than `CUT` and by `JUMP` times more than the steps beside it, and behind which the
    picture does not come back, as it does behind a flash, nor is the former one shifted, as after a jerk of the camera.

    Args:
        path: The video file.
        sampled: What `read_frames` gave for the part. Shots that lie wholly between two samples are not looked for:
            nothing of them is in the samples.
        start: Begin of the part in the file, seconds.

    Returns:
        When the first frame of each new shot is shown, seconds after the part's start, increasing.
    """
    small = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in sampled.images])
    suspects = np.flatnonzero(differences(small) > SUSPECT)
    times = sampled.timestamps + start
    pieces = [
        piece for i in suspects for piece in _pieces(max(0.0, float(times[i]) - AROUND), float(times[i + 1]) + AROUND)
    ]
    spans = [(max(0.0, left - AROUND), right + AROUND) for left, right in pieces]
    found: set[float] = set()
    for (left, right), (begins, images) in zip(pieces, read_spans(path, spans, SIDE), strict=True):
        inner = [begins[i] for i in steps(images) if left < begins[i] <= right]
        found |= {round(float(begin) - start, 6) for begin in inner if times[0] < begin <= times[-1]}
    return sorted(found)


def _pieces(left: float, right: float) -> list[tuple[float, float]]:
    """A stretch of seconds in parts of at most `PIECE`: samples of a long video lie minutes apart."""
    borders = np.linspace(left, right, 1 + max(1, math.ceil((right - left) / PIECE)))
    return list(zip(borders.tolist(), borders[1:].tolist(), strict=False))


def differences(images: NDArray[np.uint8], *, apart: int = 1) -> NDArray[np.float64]:
    """How much each picture differs from the one `apart` later.

    Args:
        images: (N, h, w, 3) uint8.
        apart: How many pictures later.

    Returns:
        (N - apart,) float64, 0 for the same picture, about 1 for unrelated ones, at most 2.
    """
    flat = images.reshape(len(images), -1, 3).astype(np.float64)
    centred = (flat - flat.mean(axis=1, keepdims=True)).reshape(len(images), -1)
    # One more component, the same for all: two flat pictures are alike whatever their noise, and a flat one differs
    # from all others.
    floor = np.full((len(centred), 1), FLAT * np.sqrt(centred.shape[1]))
    vectors = np.concatenate([centred, floor], axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(1.0 - (vectors[:-apart] * vectors[apart:]).sum(axis=1))


def steps(images: NDArray[np.uint8]) -> list[int]:
    """The first frame of each new shot among successive frames (N, h, w, 3) uint8, as indices."""
    if len(images) < 2:
        return []
    one = differences(images)
    cuts = []
    for index in np.flatnonzero(one > CUT).tolist():
        near = one[max(0, index - 4) : index + 5]
        # The steps right beside a cut may be large too: encoders and frame rate converters mix the two shots.
        beside = [one[i] for i in (*range(index - 4, index - 1), *range(index + 2, index + 5)) if 0 <= i < len(one)]
        if one[index] < near.max() or one[index] <= JUMP * max(beside, default=0.0):
            continue
        # Up to three frames on either side: a flash or a damaged frame is over by then.
        pairs = [
            (before, after)
            for before in range(max(0, index - 2), index + 1)
            for after in range(index + 1, min(len(images), index + 4))
        ]
        if all(differences(images[list(pair)])[0] > CUT and not moved(*images[list(pair)]) for pair in pairs):
            cuts.append(index + 1)
    # A single black frame between two shots makes two equal steps.
    return [cut for number, cut in enumerate(cuts) if not number or cut - cuts[number - 1] > 1]


def moved(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    """Whether two pictures (h, w, 3) uint8 become alike when one is shifted by up to `SHIFT` pixels."""
    if min(before.std(), after.std()) < FLAT:
        return False  # a flat picture correlates with everything
    inner = slice(SHIFT, -SHIFT)
    best = max(
        float(np.nan_to_num(cv2.matchTemplate(whole, part[inner, inner], cv2.TM_CCOEFF_NORMED), posinf=0.0).max())
        for whole, part in ((before, after), (after, before))
    )
    return 1.0 - best < MOVED


def shots(start: float, end: float, cuts: Sequence[float]) -> list[tuple[float, float]]:
    """The parts of [start, end) between the cuts, the longest first, the earlier of equals first; all in seconds.

    Raises:
        ValueError: The part is empty.
    """
    if not start < end:
        raise ValueError(f"start = {start:g} s and end = {end:g} s: need start < end")
    borders = [start, *sorted(cut for cut in cuts if start < cut < end), end]
    # Rounded, so that parts of as many frames are equally long.
    return sorted(zip(borders, borders[1:], strict=False), key=lambda shot: -round(shot[1] - shot[0], 6))
