"""What a face's mesh says of a clip: the mean shape of face and eyes, and how far the eyes close for a moment."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from favchat.video.face_mesh import EYE_CORNERS, SIDE, WEIGHTS, eye_contours, face_mesh

SHAPE_FEATURES = 64
MESH_FEATURES = SHAPE_FEATURES + 2
BASIS: Path = WEIGHTS / "mesh_basis.safetensors"
SHOWN = 3
"""Frames, evenly spaced, whose meshes are averaged."""
CLOSER = 3
"""Further frames of which the eyes are looked at: those that differ most from the clip's median, as a blink does."""
UPPER_LID, LOWER_LID, OUTER, INNER = 12, 4, 0, 8
"""Points of an eye's contour."""
EYES = (slice(38, 70), slice(32, 128))
"""Rows and columns of both eyes in a crop of 160 pixels a side (favchat.video.align, the default margin)."""
CROP = 160
LIMIT = 6.0
"""Standard deviations at which a number of the shape is cut off."""
OPENNESS = 0.05
"""Least share of its width that an eye counts as open by, before a logarithm is taken."""


def mesh_features(faces: NDArray[np.uint8], visible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measure the shape of the face, and whether the eyes close for a moment, over the frames that show the face.

    The shape is the mean over :data:`SHOWN` frames of the mesh's points, with the middle of the eyes' outer corners at
    0 and the distance of these as unit, and of the eyes' contours; told by its first principal components over the
    training clips (`tools/fit_mesh_basis.py`), each of unit variance there. Two measures of blinking: the logarithm of
    the least openness of the eyes over the median, and the openness's standard deviation over the median.

    Args:
        faces: (T, size, size, 3) uint8 RGB, aligned crops.
        visible: (T,) whether the face is visible.

    Returns:
        (66,) float32; zeros, as of a mean face that does not blink, where no frame shows the face.
    """
    if not visible.any():
        return np.zeros(MESH_FEATURES, np.float32)
    shape, blink = measure(faces, visible)
    basis = _basis()
    places = np.clip((shape - basis["middle"]) / basis["deviation"], -LIMIT, LIMIT) - basis["mean"]
    return np.concatenate([places @ basis["components"], blink]).astype(np.float32)


def measure(faces: NDArray[np.uint8], visible: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean shape, (1708,), before its components are taken, and the (2,) measures of blinking."""
    seen = np.flatnonzero(visible)
    shown = seen[np.unique(((np.arange(SHOWN) + 0.5) * len(seen) / SHOWN).astype(int))]
    points = face_mesh(faces[shown])
    corners = points[:, np.array(EYE_CORNERS), :2]
    closer = _unlike(faces, np.setdiff1d(seen, shown), seen)
    # The crops are aligned by the eyes, so that these lie where they lie in the other frames.
    around = np.concatenate([corners, np.broadcast_to(corners.mean(axis=0), (len(closer), 2, 2, 2))])
    contours = eye_contours(faces[np.concatenate([shown, closer]).astype(int)], around)
    shape = np.concatenate(
        [_upright(points).reshape(len(shown), -1), contours[: len(shown)].reshape(len(shown), -1)], axis=1
    )
    return shape.mean(axis=0), _blink(contours)


def _upright(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Meshes (N, 468, 3) by the eyes' outer corners: their middle is 0, the way between them 1 to the right."""
    places = points[..., 0] + 1j * points[..., 1]
    first, last = places[:, [EYE_CORNERS[0][0]]], places[:, [EYE_CORNERS[1][1]]]
    across = np.where(np.abs(last - first) < 1, SIDE / 4, last - first)
    places = (places - (first + last) / 2) / across
    return np.stack([places.real, places.imag, points[..., 2] / np.abs(across)], axis=-1)


def _unlike(faces: NDArray[np.uint8], among: NDArray[np.intp], seen: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of some frames those whose eyes differ most from their median over all frames that show the face."""
    if not len(among):
        return among
    regions = np.stack([_eye_region(faces[index]) for index in seen])
    apart = np.abs(regions - np.median(regions, axis=0)).mean(axis=(1, 2))
    order = np.argsort(-apart, kind="stable")
    return np.asarray([seen[place] for place in order if seen[place] in among][:CLOSER])


def _eye_region(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    if gray.shape != (CROP, CROP):
        gray = cv2.resize(gray, (CROP, CROP), interpolation=cv2.INTER_AREA)
    region = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 2)[EYES]
    return np.asarray(region - region.mean())


def _blink(contours: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2,) from the eyes' contours (N, 2, 76, 2) of a clip."""
    heights = np.linalg.norm(contours[:, :, UPPER_LID] - contours[:, :, LOWER_LID], axis=-1)
    widths = np.linalg.norm(contours[:, :, OUTER] - contours[:, :, INNER], axis=-1)
    openness = (heights / np.maximum(widths, 1e-3)).mean(axis=1)
    usual = max(float(np.median(openness)), OPENNESS)
    return np.asarray([np.log(max(float(openness.min()), OPENNESS) / usual), openness.std() / usual])


@cache
def _basis() -> dict[str, NDArray[np.float64]]:
    """Of the training clips' shapes the medians, deviations and means (1708,), and components (1708, 64)."""
    return {name: value.astype(np.float64) for name, value in load_file(BASIS).items()}
