"""Links detections of successive frames by position and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from favchat.video.detect import Detections

REACH = 0.8
"""How far a face's centre may move from one frame to the next, in face sizes; frames lie up to half a second apart."""
REACH_GROWTH = 0.3
"""What each frame without the face adds to the reach, in face sizes."""
REACH_LIMIT = 1.6
SIZE_RATIO = 2.0
"""The most a face may grow or shrink between two frames."""


@dataclass(eq=False)
class Tracklet:
    """The detections of one face.

    Attributes:
        frames: Their frame numbers, increasing.
        points: For each the seven points (box corners, landmarks), (7, 2) float32 pixels.
        scores: Detector scores.
        breaks: Frames at which the face reappeared elsewhere, so that the gap before must not be interpolated.
    """

    frames: list[int] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    breaks: set[int] = field(default_factory=set)

    def add(self, frame: int, points: NDArray[np.float32], score: float) -> None:
        """Append a detection."""
        self.frames.append(frame)
        self.points.append(points)
        self.scores.append(score)

    @property
    def prominence(self) -> float:
        """Sum over the detections of score times face size."""
        return sum(score * size_of(points) for score, points in zip(self.scores, self.points, strict=True))


def link(detections: Sequence[Detections]) -> list[Tracklet]:
    """Assign each frame's detections greedily to tracklets, by overlap and by distance of the centres in face sizes.

    A lost tracklet may be continued later at about the same position.

    Args:
        detections: One entry per frame, in temporal order.

    Returns:
        Tracklets, the most prominent first.
    """
    tracklets: list[Tracklet] = []
    for frame, found in enumerate(detections):
        points = np.concatenate([found.boxes.reshape(-1, 2, 2), found.landmarks.reshape(-1, 5, 2)], axis=1)
        taken = _match(tracklets, points, frame)
        for index in range(len(points)):
            if index not in taken:
                taken[index] = Tracklet()
                tracklets.append(taken[index])
            taken[index].add(frame, points[index], float(found.scores[index]))
    return sorted(tracklets, key=lambda tracklet: tracklet.prominence, reverse=True)


def size_of(points: NDArray[np.float32]) -> float:
    """Geometric mean of a box's sides, pixels; `points` begin with the box's two corners."""
    width, height = points[1] - points[0]
    return max(1.0, float(np.sqrt(max(0.0, width) * max(0.0, height))))


def _match(tracklets: Sequence[Tracklet], points: NDArray[np.float32], frame: int) -> dict[int, Tracklet]:
    """Index of a detection -> the tracklet that it continues."""
    pairs = sorted(
        (
            (affinity, number, index)
            for number, tracklet in enumerate(tracklets)
            for index in range(len(points))
            if (affinity := _affinity(tracklet.points[-1], points[index], frame - tracklet.frames[-1])) > 0
        ),
        reverse=True,
    )
    taken: dict[int, Tracklet] = {}
    used: set[int] = set()
    for _, number, index in pairs:
        if number not in used and index not in taken:
            used.add(number)
            taken[index] = tracklets[number]
    return taken


def _affinity(before: NDArray[np.float32], now: NDArray[np.float32], steps: int) -> float:
    """Overlap plus proximity, 0..2; 0 or less if the two cannot be one face `steps` frames apart."""
    sizes = size_of(before), size_of(now)
    if max(sizes) > SIZE_RATIO * min(sizes):
        return 0.0
    reach = min(REACH_LIMIT, REACH + REACH_GROWTH * (steps - 1)) * max(sizes)
    distance = float(np.linalg.norm(before[:2].mean(axis=0) - now[:2].mean(axis=0)))
    if distance >= reach:
        return 0.0
    common = np.minimum(before[1], now[1]) - np.maximum(before[0], now[0])
    shared = float(np.prod(np.maximum(0.0, common)))
    overlap = shared / (sizes[0] ** 2 + sizes[1] ** 2 - shared)
    # Of two equally good candidates, the most recently seen one is preferred.
    return (overlap + 1.0 - distance / reach) / steps
