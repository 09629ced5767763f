"""How a face moves over a clip, as a few numbers that depend on neither its place, its size nor the clip's length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from favchat.video.align import face_geometry

MOTION_FEATURES = 26
UNIT = 0.05
"""A small movement: a twentieth of the face's size, of the eyes' distance, or a roll of three degrees."""


def motion_features(
    landmarks: NDArray[np.floating],
    visible: NDArray[np.bool_],
    timestamps: NDArray[np.floating],
    width: int,
    height: int,
) -> NDArray[np.float32]:
    """Measure the movement of a tracked face, in all frames of the clip and not only those that a model looks at.

    Six courses over time: the centre sideways and up and down in face sizes, the logarithm of the size, the roll in
    radians, and where the nose lies between the eyes and between eyes and mouth, which turns and nods change. Of each
    the standard deviation, the range, the mean speed and the share of frames at which it turns back. Then the standard
    deviation of the mouth's width and the mean place of the nose between the eyes. All in units of :data:`UNIT`, as
    inverse hyperbolic sines, so that large movements do not drown small ones.

    Args:
        landmarks: `(n, 5, 2)` as shares of width and height.
        visible: `(n,)` whether the face is there.
        timestamps: `(n,)` seconds.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.

    Returns:
        `(26,)` float32; zeros where the face is visible in fewer than two frames.
    """
    seen = np.flatnonzero(visible)
    if len(seen) < 2:
        return np.zeros(MOTION_FEATURES, np.float32)
    points = landmarks[seen].astype(np.float64) * (width, height)
    geometry = np.stack([face_geometry(point, width, height) for point in points]).astype(np.float64)
    size = max(geometry[:, 2].mean() * max(width, height), 1e-6)
    eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
    distance = np.linalg.norm(points[:, 1] - points[:, 0], axis=1) + 1e-6
    across = (points[:, 1] - points[:, 0]) / distance[:, None]
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)
    nose = points[:, 2] - eyes
    sideways = (nose * across).sum(axis=1) / distance
    upright = (nose * down).sum(axis=1) / (np.abs(((mouth - eyes) * down).sum(axis=1)) + 1e-6)
    courses = (
        geometry[:, 0] * width / size,
        geometry[:, 1] * height / size,
        np.log(np.maximum(geometry[:, 2], 1e-4)),
        np.unwrap(geometry[:, 3] * np.pi),
        sideways,
        upright,
    )
    steps = np.maximum(np.diff(np.asarray(timestamps, np.float64)[seen]), 1e-3)
    measures: list[float] = []
    for course in courses:
        speed = np.diff(course) / steps
        speed[np.abs(speed) < UNIT] = 0  # what trembles does not turn back
        turns = float(np.mean(speed[1:] * speed[:-1] < 0)) if len(speed) > 1 else 0.0
        measures += [
            course.std() / UNIT,
            np.ptp(course) / (3 * UNIT),
            np.abs(speed).mean() / (8 * UNIT),
            turns,
        ]
    width_of_mouth = np.linalg.norm(points[:, 4] - points[:, 3], axis=1) / distance
    measures += [width_of_mouth.std() / UNIT, sideways.mean() / (2 * UNIT)]
    return np.arcsinh(np.asarray(measures)).astype(np.float32)
