"""Detection of shot cuts inside a clip.

The frames that are sampled anyway rule most intervals out: neighbours within a shot are similar. Only between
dissimilar neighbours all frames are decoded, at low resolution, and searched for an abrupt, lasting change. Dissolves
and fades are not detected. `docs/choices.md` compares this with PySceneDetect.
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

    The difference of two frames is one minus the correlation of their pixels at 32x32 over all colour channels, each
    centred, which is robust to flashes and to exposure changes. A cut is a pair of successive frames whose difference
    exceeds `CUT` and is `JUMP` times those beside it, after which the earlier picture does not return, as it does after
    a flash, and is not merely shifted, as by a jerk of the camera.

    Args:
        path: The video file.
        sampled: Output of `read_frames` for the part. Shots entirely between two samples are not searched for, since no
            sample is from them.
        start: Start of the part in the file, seconds.

    Returns:
        Time of the first frame of each new shot, seconds after the part's start, increasing.
    """
    small = np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in sampled.images])
    suspects = np.flatnonzero(differences(small) > SUSPECT)
    times = sampled.timestamps + start
    pieces = [
        piece for i in suspects for piece in _pieces(max(0.0, float(times[i]) - AROUND), float(times[i + 1]) + AROUND)
    ]
    spans = [(max(0.0, left - AROUND), right + AROUND) for left, right in pieces]
    found: set[float] = set()
    for (piece_begin, piece_end), (begins, images) in zip(pieces, read_spans(path, spans, SIDE), strict=True):
        inner = [begins[i] for i in steps(images) if piece_begin < begins[i] <= piece_end]
        found |= {round(float(begin) - start, 6) for begin in inner if times[0] < begin <= times[-1]}
    return sorted(found)


def _pieces(begin: float, end: float) -> list[tuple[float, float]]:
    """Split an interval into parts of at most `PIECE` seconds, since samples of a long video are minutes apart."""
    borders = np.linspace(begin, end, 1 + max(1, math.ceil((end - begin) / PIECE)))
    return list(zip(borders.tolist(), borders[1:].tolist(), strict=False))


def differences(images: NDArray[np.uint8], *, apart: int = 1) -> NDArray[np.float64]:
    """Difference of each frame from the one `apart` frames later.

    Args:
        images: (N, h, w, 3) uint8.
        apart: Distance in frames.

    Returns:
        (N - apart,) float64, 0 for identical frames, about 1 for unrelated ones, at most 2.
    """
    flat = images.reshape(len(images), -1, 3).astype(np.float64)
    centred = (flat - flat.mean(axis=1, keepdims=True)).reshape(len(images), -1)
    # A constant extra component makes two uniform frames similar regardless of noise, and a uniform one different from
    # all others.
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
        # The differences right beside a cut may be large too, since encoders and frame rate converters blend the shots.
        beside = [one[i] for i in (*range(index - 4, index - 1), *range(index + 2, index + 5)) if 0 <= i < len(one)]
        if one[index] < near.max() or one[index] <= JUMP * max(beside, default=0.0):
            continue
        # Compare up to three frames on either side: flashes and damaged frames are shorter.
        pairs = [
            (before, after)
            for before in range(max(0, index - 2), index + 1)
            for after in range(index + 1, min(len(images), index + 4))
        ]
        if all(differences(images[list(pair)])[0] > CUT and not moved(*images[list(pair)]) for pair in pairs):
            cuts.append(index + 1)
    # A single black frame between two shots gives two equal differences.
    return [cut for number, cut in enumerate(cuts) if not number or cut - cuts[number - 1] > 1]


def moved(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    """Whether two frames (h, w, 3) uint8 become similar when one is shifted by up to `SHIFT` pixels."""
    if min(before.std(), after.std()) < FLAT:
        return False  # a uniform frame correlates with everything
    inner = slice(SHIFT, -SHIFT)
    best = max(
        float(np.nan_to_num(cv2.matchTemplate(whole, part[inner, inner], cv2.TM_CCOEFF_NORMED), posinf=0.0).max())
        for whole, part in ((before, after), (after, before))
    )
    return 1.0 - best < MOVED


def shots(start: float, end: float, cuts: Sequence[float]) -> list[tuple[float, float]]:
    """The parts of [start, end) between the cuts, the longest first, the earlier first if equal; all in seconds.

    Raises:
        ValueError: The part is empty.
    """
    if not start < end:
        raise ValueError(f"start = {start:g} s and end = {end:g} s: need start < end")
    borders = [start, *sorted(cut for cut in cuts if start < cut < end), end]
    # Rounded, so that shots with equally many frames have equal length.
    return sorted(zip(borders, borders[1:], strict=False), key=lambda shot: -round(shot[1] - shot[0], 6))
