"""Detection in some of a clip's frames; through those between, faces are followed by their landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.align import to_crop
from favchat.video.detect import Detections, FaceDetector
from favchat.video.landmark_refiner import MARGIN, SIDE, LandmarkRefiner, moved, offsets
from favchat.video.shot_cuts import SIDE as SHOT_SIDE
from favchat.video.shot_cuts import differences
from favchat.video.tracklets import link

ROUNDS = 2
"""Looks at a frame: the first crop is aligned by landmarks between those of two detections, which may be far off."""
LAST_STEP = 0.36
"""Pixels of the refiner's crop by which the last look may still move a landmark."""
SURE = 0.0
"""Least logarithm of the odds that there is a face."""
ALIKE = 0.6
"""Least correlation of a followed face with one of the two detections that it lies between."""
COMPARED = 20
"""Pixels a side at which they are compared."""
CHANGE = 0.2
"""Most that successive frames may differ: where more happens, a face may come and go between two searched frames."""
MOST_FACES = 6
"""More faces take more time to follow than a frame takes to search."""
ROLL = np.pi / 4
"""Radians that a head may roll between two searched frames."""
THINNED = 4
"""Every so manieth pixel of a row and a column is looked at for that."""
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True)
class _Gap:
    """A face that was detected in two frames, and the frames between that were not searched.

    Attributes:
        ends: The two frames.
        points: (2, 7, 2) float64 pixels: two corners of the box and five landmarks.
        scores: (2,) float64.
    """

    ends: tuple[int, int]
    points: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def frames(self) -> range:
        """The frames between."""
        return range(self.ends[0] + 1, self.ends[1])

    def at(self, frame: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(...) by linear interpolation of (2, ...), those of the two frames."""
        share = (frame - self.ends[0]) / (self.ends[1] - self.ends[0])
        return np.asarray(values[0] * (1 - share) + values[1] * share)


class SparseDetector:
    """Finds the faces of successive frames by searching some of them.

    Every so manieth frame and the last one are searched. Where two neighbours of these show the same faces, each face
    is followed through the frames between: its landmarks are interpolated, then moved by :class:`LandmarkRefiner`, less
    what the refiner would move at the two detections themselves, so that its bias on this face drops out. A frame is
    searched after all if one of its faces is not proven there: if the refiner sees none, still moves the landmarks
    much, or the aligned face looks different from both detections; and so is each frame of a stretch in which one of
    the pictures changes as a whole.

    Args:
        detector: Searches whole frames.
        every: Every so manieth frame is searched; 1 is all.
        refiner: Moves the landmarks.
    """

    def __init__(self, detector: FaceDetector, every: int, refiner: LandmarkRefiner | None = None) -> None:
        if every < 1:
            raise ValueError(f"every = {every}: need at least 1")
        self.detector = detector
        self.every = every
        self.refiner = refiner or LandmarkRefiner()

    def detect(self, images: NDArray[np.uint8]) -> list[Detections]:
        """The faces in T successive frames (T, H, W, 3) uint8 RGB: T results, coordinates in pixels of `images`.

        Raises:
            ValueError: As the detector.
        """
        searched = sorted({*range(0, len(images), self.every), *range(len(images))[-1:]})
        if len(searched) == len(images):
            return self.detector.detect(images)
        found = dict(zip(searched, self.detector.detect(images[searched]), strict=True))
        changes = _changes(images)
        calm = [(first, last) for first, last in pairwise(searched) if changes[first:last].max() < CHANGE]
        gaps = [gap for ends in calm for gap in _gaps(ends, found)]
        if gaps:
            found |= self._follow(images, gaps)
        rest = [frame for frame in range(len(images)) if frame not in found]
        if rest:
            found |= zip(rest, self.detector.detect(images[rest]), strict=True)
        return [found[frame] for frame in range(len(images))]

    def _follow(self, images: NDArray[np.uint8], gaps: list[_Gap]) -> dict[int, Detections]:
        """The frames between in which all faces are proven, with these faces."""
        known = np.concatenate([gap.points[:, 2:] for gap in gaps])
        seen = self.refiner.look([images[frame] for gap in gaps for frame in gap.ends], known)
        biases = (seen.shifts - offsets(known)).reshape(len(gaps), 2, 5, 2)
        looks = seen.crops.reshape(len(gaps), 2, *seen.crops.shape[1:])

        places = [(number, frame) for number, gap in enumerate(gaps) for frame in gap.frames]
        landmarks = np.stack([gaps[number].at(frame, gaps[number].points[:, 2:]) for number, frame in places])
        bias = np.stack([gaps[number].at(frame, biases[number]) for number, frame in places])
        for _ in range(ROUNDS):
            seen = self.refiner.look([images[frame] for _, frame in places], landmarks)
            shifts = seen.shifts - bias
            steps = np.abs(shifts - offsets(landmarks)).max(axis=(1, 2))
            landmarks = moved(landmarks, shifts)

        proven: dict[int, list[tuple[NDArray[np.float64], float]]] = {}
        doubtful = set()
        for place, (number, frame) in enumerate(places):
            if seen.faces[place] > SURE and steps[place] < LAST_STEP and _alike(seen.crops[place], looks[number]):
                proven.setdefault(frame, []).append(_detection(gaps[number], frame, landmarks[place]))
            else:
                doubtful.add(frame)
        height, width = images.shape[1:3]
        return {frame: _best_first(rows, width, height) for frame, rows in proven.items() if frame not in doubtful}


def _changes(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(T - 1,) by how much each frame differs from the next one; see `favchat.video.shot_cuts`."""
    thinned = images[:, ::THINNED, ::THINNED]
    small = [cv2.resize(image, (SHOT_SIDE, SHOT_SIDE), interpolation=cv2.INTER_AREA) for image in thinned]
    return differences(np.stack(small).astype(np.uint8))


def _gaps(ends: tuple[int, int], found: Mapping[int, Detections]) -> list[_Gap]:
    """The faces to follow between two searched frames; none if they cannot all be followed."""
    first, last = ends
    if last - first < 2 or not 0 < len(found[first]) == len(found[last]) <= MOST_FACES:
        return []
    tracklets = link([found[first], *[NOTHING] * (last - first - 1), found[last]])
    if any(len(tracklet.frames) < 2 for tracklet in tracklets):
        return []
    gaps = [
        _Gap(ends, np.stack(tracklet.points).astype(np.float64), np.asarray(tracklet.scores)) for tracklet in tracklets
    ]
    try:
        turns, _ = to_crop(np.stack([gap.points[:, 2:] for gap in gaps]), SIDE, MARGIN)
    except ValueError:  # a detection whose landmarks coincide
        return []
    return gaps if np.abs(np.angle(turns[:, 1] / turns[:, 0])).max() < ROLL else []


def _alike(crop: NDArray[np.uint8], others: NDArray[np.uint8]) -> bool:
    """Whether a crop (SIDE, SIDE, 3) looks like one of two others."""
    small = [
        cv2.resize(one, (COMPARED, COMPARED), interpolation=cv2.INTER_AREA) for one in (others[0], crop, others[1])
    ]
    return bool(1.0 - differences(np.stack(small)).min() > ALIKE)


def _detection(gap: _Gap, frame: int, landmarks: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(7, 2) box and landmarks, and the score, of a followed face: its box lies to the landmarks as at the two ends."""
    turns, origins = to_crop(gap.points[:, 2:], SIDE, MARGIN)
    turn, origin = to_crop(landmarks, SIDE, MARGIN)
    low, high = gap.points[:, 0], gap.points[:, 1]
    centre = (gap.at(frame, turns * ((low + high) @ np.array([0.5, 0.5j])) + origins) - origin) / turn
    half = gap.at(frame, (high - low) / 2 * np.abs(turns)[:, None]) / abs(turn)
    middle = np.array([centre.real, centre.imag])
    return np.concatenate([[middle - half, middle + half], landmarks]), float(gap.at(frame, gap.scores))


def _best_first(rows: list[tuple[NDArray[np.float64], float]], width: int, height: int) -> Detections:
    """The detections of one frame, boxes clipped to it."""
    rows = sorted(rows, key=lambda row: -row[1])
    points = np.stack([points for points, _ in rows]).astype(np.float32)
    boxes = np.clip(points[:, :2].reshape(-1, 4), 0, np.asarray([width, height, width, height]))
    scores = np.asarray([score for _, score in rows], dtype=np.float32)
    return Detections(boxes.astype(np.float32), points[:, 2:], scores)
