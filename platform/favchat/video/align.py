"""Upright, centred face crops from five landmarks."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.config.data import FACE_MARGIN

TEMPLATE = np.asarray(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where the five landmarks lie in a 112x112 crop (ArcFace, Deng et al. 2019, arXiv 1801.07698), in pixels."""
TEMPLATE_SIDE = 112.0
_TARGET = TEMPLATE @ np.array([1, 1j])
FACE_CENTRE = np.asarray([56.0, 62.0])
"""Middle between hairline and chin in the template's pixels; ArcFace's own crop is centred higher and cuts the chin."""


def align_face(
    image: NDArray[np.uint8], landmarks: NDArray[np.floating], *, size: int = 160, margin: float = FACE_MARGIN
) -> NDArray[np.uint8]:
    """Cut out a face, upright and centred, from chin to hairline.

    The landmarks are mapped to ArcFace's template by the least-squares similarity (rotation, scale, translation).
    Pixels outside the image are black.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (5, 2) x y in pixels of `image`, in the order of `Detections`.
        size: Side of the crop in pixels.
        margin: By what fraction the crop is wider than ArcFace's.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: The landmarks coincide, or a setting is out of range.
    """
    if size < 1 or margin <= -1.0:
        raise ValueError(f"size = {size} and margin = {margin:g}: need at least 1 pixel and more than -1")
    turn, shift = to_crop(landmarks, size, margin)
    # Large faces are cropped larger than `size` by an integer factor and then averaged down: the bilinear warp samples
    # only four pixels and would alias.
    oversize = max(1, math.ceil(1 / abs(turn) - 0.5))
    turn, shift = turn * oversize, shift * oversize
    # Pixel centres are at half-integer positions.
    shift += (turn - 1) * complex(0.5, 0.5)
    matrix = np.asarray([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    crop = cv2.warpAffine(image, matrix, (size * oversize, size * oversize), flags=cv2.INTER_LINEAR)
    if oversize > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, dtype=np.uint8)


def to_crop(landmarks: NDArray[np.floating], size: int, margin: float) -> tuple[Any, Any]:
    """The map z -> turn * z + shift from image to aligned crop, points as x + iy; see :func:`align_face`.

    Args:
        landmarks: (..., 5, 2) x y in pixels of the image.
        size: Side of the crop in pixels.
        margin: By what fraction it is wider than ArcFace's.

    Returns:
        Turn and shift, both complex of shape (...).
    """
    turn, shift = _similarity(landmarks)
    side = TEMPLATE_SIDE * (1.0 + margin)
    return turn * (size / side), (shift - complex(*(FACE_CENTRE - side / 2))) * (size / side)


def template_landmarks(size: int, margin: float) -> NDArray[np.float64]:
    """(5, 2) pixels of an aligned crop: where the template has the landmarks."""
    side = TEMPLATE_SIDE * (1.0 + margin)
    return np.asarray((TEMPLATE - (FACE_CENTRE - side / 2)) * (size / side), dtype=np.float64)


def face_geometry(landmarks: NDArray[np.floating], width: int, height: int) -> NDArray[np.float32]:
    """Position, size and roll of a face in the frame, which alignment removes from the crop.

    Args:
        landmarks: (5, 2) x y in pixels, in the order of `Detections`.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.

    Returns:
        (4,) float32: x and y of the face's centre as fractions of width and height, side of ArcFace's crop
        (without margin) as a fraction of the frame's longer side, and roll in half turns, -1..1, positive clockwise.

    Raises:
        ValueError: The landmarks coincide.
    """
    turn, shift = _similarity(landmarks)
    centre = (complex(*FACE_CENTRE) - shift) / turn
    side = _length_in_image(turn, TEMPLATE_SIDE)
    roll = -math.atan2(turn.imag, turn.real) / math.pi
    return np.asarray([centre.real / width, centre.imag / height, side / max(width, height), roll], dtype=np.float32)


def _length_in_image(turn: complex, length: float) -> float:
    """Convert a length in the template to pixels of the image."""
    return length / abs(turn)


def _similarity(landmarks: NDArray[np.floating]) -> tuple[Any, Any]:
    """The similarity z -> turn * z + shift from image to template, points as x + iy, by least squares.

    In complex numbers Umeyama's problem (1991) in two dimensions is linear regression with a closed form. Of landmarks
    (..., 5, 2) both are complex of shape (...).
    """
    source = landmarks[..., 0].astype(np.float64) + 1j * landmarks[..., 1].astype(np.float64)
    mean = source.sum(axis=-1) / 5
    centred = source - mean[..., None]
    spread = (np.abs(centred) ** 2).sum(axis=-1)
    if (spread < 1e-6).any():
        raise ValueError("landmarks: all five lie on one point, no face can be aligned by them")
    turn = centred.conj() @ (_TARGET - _TARGET.mean()) / spread
    return turn, _TARGET.mean() - turn * mean
