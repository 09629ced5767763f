"""Points on a face: MediaPipe's mesh of 468 points and, closer, the contours of both eyes with their irises."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.onnx_session import onnx_session

WEIGHTS = Path(__file__).parent.parent / "weights"
SIDE = 192
"""Pixels a side of the crop that the mesh's network sees, the unit of its points."""
EYE_SIDE = 64
"""Pixels a side of the crop that the eyes' network sees."""
EYE_WIDER = 2.3
"""How much wider that crop is than the eye."""
POINTS = 468
EYE_POINTS = 76
"""71 of an eye's contour and brow, 5 of the iris."""
EYE_CORNERS = ((33, 133), (362, 263))
"""The mesh's points at the corners of the eye at the left of the image and of the other, each from the left."""
BATCH = 16


def face_mesh(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Points on N aligned crops of `favchat.video.align`, (N, size, size, 3) uint8 RGB.

    Returns:
        (N, 468, 3) float32: x, y and depth in pixels of a crop of :data:`SIDE`; which is which is MediaPipe's order.
    """
    images = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for crop in crops]
    return _run("face_mesh.onnx", images).reshape(-1, POINTS, 3)


def eye_contours(crops: NDArray[np.uint8], corners: NDArray[np.floating]) -> NDArray[np.float32]:
    """Contours of both eyes on N aligned crops (N, size, size, 3) uint8 RGB.

    Args:
        crops: The crops.
        corners: (N, 2, 2, 2) x, y in pixels of a crop of :data:`SIDE`: of each eye the two corners, the left one first.

    Returns:
        (N, 2, 76, 2) float32: x, y in an eye's own frame, whose middle is 0 and whose half side is 1; the eye at the
        right of the image is mirrored, so that both are like the left one.
    """
    images = []
    for crop, eyes in zip(crops, corners * (crops.shape[1] / SIDE), strict=True):
        for mirrored, (first, second) in enumerate(eyes):
            eye = _eye(crop, first, second)
            images.append(eye[:, ::-1] if mirrored else eye)
    points = _run("eye_contours.onnx", images).reshape(-1, 2, EYE_POINTS, 3)[..., :2]
    return np.asarray(points / (EYE_SIDE / 2) - 1, np.float32)


def _eye(crop: NDArray[np.uint8], first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The upright square around an eye."""
    across = second - first
    width = max(float(np.hypot(*across)), 1.0)
    turned = np.array([[across[0], across[1]], [-across[1], across[0]]]) / width * (EYE_SIDE / (EYE_WIDER * width))
    shift = EYE_SIDE / 2 - turned @ ((first + second) / 2)
    return np.asarray(cv2.warpAffine(crop, np.c_[turned, shift], (EYE_SIDE, EYE_SIDE)), np.uint8)


def _run(file: str, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, values) of a network for images of its size."""
    session, found = _session(file), []
    for begin in range(0, len(images), BATCH):
        batch = np.stack(images[begin : begin + BATCH]).transpose(0, 3, 1, 2).astype(np.float32) / 255
        found.append(session.run(None, {"crops": batch})[0])
    return np.concatenate(found)


@cache
def _session(file: str) -> Any:
    return onnx_session(str(WEIGHTS / file), None)
