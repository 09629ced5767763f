"""Assigns tracklets to people: splits a tracklet if the person changes, joins tracklets of the same person.

An identity embedding costs half as much as a detection, so it is computed only where positions are ambiguous: where the
aligned face changes between successive detections as much as between two people, and for tracklets that never share a
frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.align import align_face
from favchat.video.descriptor import FaceDescriptor
from favchat.video.shot_cuts import differences
from favchat.video.tracklets import Tracklet, size_of

SAME_PERSON = 0.55
"""Distance of two descriptors up to which they are of one person; docs/choices.md has the measurement."""
ALIKE = 0.8
"""Correlation of two successive aligned faces from which on they are of one person without asking: no two faces of
different people came that near, and 93 of 100 pairs of successive faces of one person do."""
SMALL = 24
"""Side in pixels at which they are compared."""
DESCRIBED = 4
"""Faces of a clip that are described at most, or a quarter as many as it has frames where that is more."""


def sort_by_person(
    tracklets: Sequence[Tracklet], images: NDArray[np.uint8], descriptor: FaceDescriptor
) -> list[Tracklet]:
    """Split tracklets in which the person changes, and join those of one person.

    Args:
        tracklets: Of one clip, the most prominent first; if there are many, the least prominent are left unchanged.
        images: (T, H, W, 3) uint8 RGB, the frames.
        descriptor: Computes identity embeddings.

    Returns:
        Tracklets, the most prominent first.
    """
    limit = max(DESCRIBED, len(images) // 4)
    pieces = _split(tracklets[:limit], images, limit)
    doubt = [any(_apart(piece, other) for other in pieces) for piece in pieces]
    people = [piece for piece, unsure in zip(pieces, doubt, strict=True) if not unsure]
    doubtful = [piece for piece, unsure in zip(pieces, doubt, strict=True) if unsure]
    if doubtful:
        best = [_clearest(piece) for piece in doubtful]
        frames = [piece.frames[index] for piece, index in zip(doubtful, best, strict=True)]
        landmarks = np.stack([piece.points[index][2:] for piece, index in zip(doubtful, best, strict=True)])
        people += _join(doubtful, descriptor.describe(images[frames], landmarks))
    return sorted([*people, *tracklets[limit:]], key=lambda tracklet: tracklet.prominence, reverse=True)


def _clearest(tracklet: Tracklet) -> int:
    """Index of the detection that shows the face best: the one that adds most to the tracklet's prominence."""
    shares = [score * size_of(points) for score, points in zip(tracklet.scores, tracklet.points, strict=True)]
    return int(np.argmax(shares))


def _apart(one: Tracklet, other: Tracklet) -> bool:
    """Whether two tracklets share no frame, so that they could be one person."""
    return set(one.frames).isdisjoint(other.frames)


def _split(tracklets: Sequence[Tracklet], images: NDArray[np.uint8], limit: int) -> list[Tracklet]:
    """Split tracklets where successive faces are least similar, into at most `limit` pieces or as many as there are."""
    steps: list[tuple[float, int, int]] = []
    for number, tracklet in enumerate(tracklets):
        likeness = _likeness([_face(images[f], p) for f, p in zip(tracklet.frames, tracklet.points, strict=True)])
        steps += [(float(value), number, index + 1) for index, value in enumerate(likeness) if value < ALIKE]
    cuts = sorted(steps)[: limit - len(tracklets)]
    pieces: list[Tracklet] = []
    for number, tracklet in enumerate(tracklets):
        borders = [0, *sorted(index for _, owner, index in cuts if owner == number), len(tracklet.frames)]
        for left, right in zip(borders, borders[1:], strict=False):
            pieces.append(
                Tracklet(tracklet.frames[left:right], tracklet.points[left:right], tracklet.scores[left:right])
            )
    return pieces


def _face(image: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(SMALL, SMALL, 3) uint8 aligned face."""
    face = align_face(image, points[2:], size=2 * SMALL)
    return cv2.resize(face, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _likeness(faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """(N - 1,) correlation of successive faces over all colour channels, each channel centred.

    The measure of `favchat.video.shot_cuts`, on faces instead of frames.
    """
    return 1.0 - differences(np.stack(faces)) if len(faces) > 1 else np.zeros(0)


def _join(pieces: Sequence[Tracklet], described: NDArray[np.float32]) -> list[Tracklet]:
    """Repeatedly join the nearest two tracklets that are of one person and share no frame."""
    people = list(pieces)
    centres = [vector.astype(np.float64) for vector in described]
    while True:
        pairs = [
            (float(np.linalg.norm(centres[i] - centres[j])), i, j)
            for i, j in combinations(range(len(people)), 2)
            if _apart(people[i], people[j])
        ]
        distance, i, j = min(pairs, default=(np.inf, 0, 0))
        if distance > SAME_PERSON:
            return people
        counts = len(people[i].frames), len(people[j].frames)
        centres[i] = np.average([centres[i], centres[j]], axis=0, weights=counts)
        people[i] = _merged(people[i], people[j])
        del people[j], centres[j]


def _merged(one: Tracklet, other: Tracklet) -> Tracklet:
    """Merge two tracklets without a common frame."""
    merged = Tracklet(breaks=one.breaks | other.breaks)
    places = sorted((frame, owner, index) for owner in (0, 1) for index, frame in enumerate((one, other)[owner].frames))
    for number, (frame, owner, index) in enumerate(places):
        source = (one, other)[owner]
        merged.add(frame, source.points[index], source.scores[index])
        if number and places[number - 1][1] != owner:
            merged.breaks.add(frame)
    return merged
