"""Chains of detections sorted by person: split where another takes the place, joined where the same one comes back.

Who a face is costs half as much to find out as where it is, so it is asked only where place leaves a doubt: where the
aligned face changes from one detection to the next as it does between two people, and between chains that never share a
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


def sort_by_person(chains: Sequence[Tracklet], images: NDArray[np.uint8], descriptor: FaceDescriptor) -> list[Tracklet]:
    """Split chains in which the person changes, and join those of one person.

    Args:
        chains: Of one clip, the most prominent first; the least prominent of many are left as they are.
        images: (T, H, W, 3) uint8 RGB, the frames.
        descriptor: Tells people apart.

    Returns:
        Chains, the most prominent first.
    """
    limit = max(DESCRIBED, len(images) // 4)
    pieces = _split(chains[:limit], images, limit)
    doubt = [any(_apart(piece, other) for other in pieces) for piece in pieces]
    people = [piece for piece, unsure in zip(pieces, doubt, strict=True) if not unsure]
    doubtful = [piece for piece, unsure in zip(pieces, doubt, strict=True) if unsure]
    if doubtful:
        best = [_clearest(piece) for piece in doubtful]
        frames = [piece.frames[index] for piece, index in zip(doubtful, best, strict=True)]
        landmarks = np.stack([piece.points[index][2:] for piece, index in zip(doubtful, best, strict=True)])
        people += _join(doubtful, descriptor.describe(images[frames], landmarks))
    return sorted([*people, *chains[limit:]], key=lambda chain: chain.prominence, reverse=True)


def _clearest(chain: Tracklet) -> int:
    """Which of the detections shows the face best: the one that does most for the chain's prominence."""
    shares = [score * size_of(points) for score, points in zip(chain.scores, chain.points, strict=True)]
    return int(np.argmax(shares))


def _apart(one: Tracklet, other: Tracklet) -> bool:
    """Whether two chains could be one person: nobody is at two places at once."""
    return set(one.frames).isdisjoint(other.frames)


def _split(chains: Sequence[Tracklet], images: NDArray[np.uint8], limit: int) -> list[Tracklet]:
    """The chains cut where successive faces are least alike, into at most `limit` pieces or as many as they are."""
    steps: list[tuple[float, int, int]] = []
    for number, chain in enumerate(chains):
        likeness = _likeness([_face(images[f], p) for f, p in zip(chain.frames, chain.points, strict=True)])
        steps += [(float(value), number, index + 1) for index, value in enumerate(likeness) if value < ALIKE]
    cuts = sorted(steps)[: limit - len(chains)]
    pieces: list[Tracklet] = []
    for number, chain in enumerate(chains):
        borders = [0, *sorted(index for _, owner, index in cuts if owner == number), len(chain.frames)]
        for left, right in zip(borders, borders[1:], strict=False):
            pieces.append(Tracklet(chain.frames[left:right], chain.points[left:right], chain.scores[left:right]))
    return pieces


def _face(image: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(SMALL, SMALL, 3) uint8 aligned face."""
    face = align_face(image, points[2:], size=2 * SMALL)
    return cv2.resize(face, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _likeness(faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """(N - 1,) correlation of successive faces, colours included and each colour's mean taken off.

    The same as in `favchat.video.shot_cuts`, of faces instead of pictures.
    """
    return 1.0 - differences(np.stack(faces)) if len(faces) > 1 else np.zeros(0)


def _join(pieces: Sequence[Tracklet], described: NDArray[np.float32]) -> list[Tracklet]:
    """Join the nearest two again and again that are of one person and never share a frame."""
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
    """Two chains without a common frame as one."""
    merged = Tracklet(breaks=one.breaks | other.breaks)
    places = sorted((frame, owner, index) for owner in (0, 1) for index, frame in enumerate((one, other)[owner].frames))
    for number, (frame, owner, index) in enumerate(places):
        source = (one, other)[owner]
        merged.add(frame, source.points[index], source.scores[index])
        if number and places[number - 1][1] != owner:
            merged.breaks.add(frame)
    return merged
