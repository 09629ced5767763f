"""How much a mouth moves in the aligned crops of a face: talking changes it from frame to frame, a smile once."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

MOUTH_FEATURES = 3
SIDE = 160
"""Side in pixels that crops are compared at."""
MOUTH = (slice(88, 128), slice(54, 106))
"""Rows and columns of the mouth in a crop of that side (favchat.video.align, the default margin)."""
NOSE = (slice(58, 90), slice(50, 110))
"""Those of nose and cheeks, which move with the head but not with speech."""
SHIFT = 4
"""Pixels by which two crops may be shifted against each other: landmarks are that exact."""
NOTICEABLE = 0.01
"""A change of a hundredth of the face's contrast, the unit of the measures."""


def mouth_features(faces: NDArray[np.uint8], visible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measure how the mouth changes between the sampled frames in which the face is visible.

    The change of a region is the root mean square difference of its brightness between neighbouring frames after the
    best shift, as a share of the face's contrast. How open the mouth is, is told by how much darker its darkest
    twentieth is than its median. Three measures, each a logarithm of one plus so many :data:`NOTICEABLE` changes: the
    mouth's change less that of nose and cheeks, the mean step of the openness, and its standard deviation.

    Args:
        faces: `(n, size, size, 3)` uint8 RGB, aligned crops.
        visible: `(n,)` whether the face is visible.

    Returns:
        `(3,)` float32; zeros, as of a mouth that does not move, where the face is visible in fewer than three frames.
    """
    seen = np.flatnonzero(visible)
    if len(seen) < 3:
        return np.zeros(MOUTH_FEATURES, np.float32)
    gray = np.stack([_gray(faces[index]) for index in seen])
    contrast = gray.std(axis=(1, 2)).mean() + 1e-3
    mouths, noses = gray[:, *MOUTH], gray[:, *NOSE]
    change, around = (np.mean([_change(*pair) for pair in pairwise(part)]) for part in (mouths, noses))
    flat = mouths.reshape(len(mouths), -1)
    openness = (np.median(flat, axis=1) - np.percentile(flat, 5, axis=1)) / contrast
    steps = np.abs(np.diff(openness)).mean()
    moved, still, stepped, spread = np.log1p(
        np.asarray([change / contrast, around / contrast, steps, openness.std()]) / NOTICEABLE
    )
    return np.asarray([moved - still, stepped, spread], np.float32)


def _gray(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    if gray.shape != (SIDE, SIDE):
        gray = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 2), np.float32)


def _change(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Root mean square difference of a region's middle from the other region where it fits best."""
    middle = one[SHIFT:-SHIFT, SHIFT:-SHIFT]
    _, _, (x, y), _ = cv2.minMaxLoc(cv2.matchTemplate(other, middle, cv2.TM_SQDIFF))
    height, width = middle.shape
    # The sums of matchTemplate are too coarse for a change of nearly nothing.
    return float(np.sqrt(np.mean((middle - other[y : y + height, x : x + width]) ** 2)))
