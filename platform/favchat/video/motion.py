"""Motion statistics of a face over a clip, invariant to its position and size and to the clip's length."""

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
    """Measure the motion of a tracked face over all sampled frames of the clip, not only those that the model sees.

    Six time series: horizontal and vertical position of the centre in face sizes, logarithm of the size, roll in
    radians, and relative position of the nose between the eyes and between eyes and mouth, which change with yaw and
    pitch. For each the standard deviation, range, mean speed and fraction of frames at which the direction reverses.
    Then the standard deviation of the mouth's width and the mean position of the nose between the eyes. All in units of
    :data:`UNIT`, compressed by asinh, so that large movements do not dominate.

    Args:
        landmarks: `(n, 5, 2)` as fractions of width and height.
        visible: `(n,)` whether the face is visible.
        timestamps: `(n,)` seconds.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.

    Returns:
        `(26,)` float32; zeros if the face is visible in fewer than two frames.
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
        speed[np.abs(speed) < UNIT] = 0  # jitter is no reversal of direction
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
