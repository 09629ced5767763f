"""Tracking of faces through the sampled frames of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from favchat.video.descriptor import FaceDescriptor
from favchat.video.detect import Detections
from favchat.video.person_tracks import sort_by_person
from favchat.video.tracklets import Tracklet, link, size_of

JITTER = 0.006
"""How far detections of a face at rest scatter, in face sizes: CenterFace's landmarks by 0.1 to 0.2 %, its boxes by
0.2 to 0.6 % (root mean square over neighbouring frames of real videos). Movements beyond this stay."""


@dataclass(frozen=True)
class Track:
    """One face in T frames; zeros where it is not visible.

    Attributes:
        boxes: (T, 4) float32, x1 y1 x2 y2 in pixels.
        landmarks: (T, 5, 2) float32, x y in pixels, in the order of `Detections`.
        scores: (T,) float32, 0 where the face was not detected.
        visible: (T,) bool, detected or interpolated.
    """

    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    visible: NDArray[np.bool_]


def choose_tracks(
    tracks: Sequence[Track], *, min_share: float, max_tracks: int = 1, box: Sequence[float] | None = None
) -> list[Track]:
    """Select the tracks to keep.

    Args:
        tracks: Of one clip, the main face first, from `track_faces`.
        min_share: Minimum fraction of frames, 0..1, in which a further face must be visible. The first one is always
            returned, so that the caller can report what is wrong with it.
        max_tracks: Maximum number of faces to keep.
        box: x1 y1 x2 y2 in pixels of an annotated face, which alone is kept: the track that overlaps the box most, by
            intersection over union summed over the frames. An annotated box often contains head and shoulders;
            if it contains several faces, the largest is meant.

    Returns:
        At most `max_tracks` tracks; empty if there are none or none overlaps the box.
    """
    if box is not None:
        best = max(tracks, key=lambda track: _overlap(track, box), default=None)
        return [best] if best is not None and _overlap(best, box) > 0 else []
    further = [track for track in tracks[1:] if track.visible.mean() >= min_share]
    return [*tracks[:1], *further[: max_tracks - 1]]


def _overlap(track: Track, box: Sequence[float]) -> float:
    """Intersection over union with one box, summed over the frames."""
    frame = np.asarray(box, dtype=np.float64).reshape(2, 2)
    boxes = track.boxes[track.visible].reshape(-1, 2, 2).astype(np.float64)
    common = np.minimum(boxes[:, 1], frame[1]) - np.maximum(boxes[:, 0], frame[0])
    shared = np.prod(np.maximum(0.0, common), axis=1)
    areas = np.prod(boxes[:, 1] - boxes[:, 0], axis=1) + np.prod(frame[1] - frame[0])
    return float((shared / np.maximum(areas - shared, 1e-9)).sum())


def track_faces(
    detections: Sequence[Detections],
    *,
    max_gap: int = 2,
    images: NDArray[np.uint8] | None = None,
    descriptor: FaceDescriptor | None = None,
) -> list[Track]:
    """Link the detections of T frames into tracks.

    Detections are linked by position and size (`favchat.video.tracklets`), then, where that is ambiguous, assigned to
    people (`favchat.video.person_tracks`): a track ends where another person takes the position, and continues where
    the same person reappears. A gap is filled by linear interpolation if it is at most `max_gap` frames long and the
    face did not reappear elsewhere, and is left empty otherwise.

    Boxes and landmarks are then smoothed against the detector's jitter: a coordinate moves towards the mean of its two
    neighbours in time, halfway if it differs by far less than `JITTER`, not at all if by far more. The filter is
    symmetric in time, so it does not lag, and it preserves the amplitude of nods, which exceed the jitter between
    sampled frames by far; a fixed kernel would flatten them.

    Args:
        detections: One entry per frame, in temporal order.
        max_gap: Longest gap to fill, in frames.
        images: (T, H, W, 3) uint8 RGB, the frames.
        descriptor: Distinguishes people; without it or without `images`, only position and size are used.

    Returns:
        Tracks, the main face first: ordered by the sum over frames of score times face size.

    Raises:
        ValueError: `max_gap` is negative.
    """
    if max_gap < 0:
        raise ValueError(f"max_gap = {max_gap}: must not be negative")
    tracklets = link(detections)
    if images is not None and descriptor is not None:
        tracklets = sort_by_person(tracklets, images, descriptor)
    return [_track(tracklet, len(detections), max_gap) for tracklet in tracklets]


def _track(tracklet: Tracklet, length: int, max_gap: int) -> Track:
    frames = np.asarray(tracklet.frames)
    detected = np.zeros(length, dtype=bool)
    detected[frames] = True
    visible = detected.copy()
    for left, right in zip(frames, frames[1:], strict=False):
        visible[left:right] |= right - left - 1 <= max_gap and right not in tracklet.breaks

    times = np.arange(length)
    flat = np.stack(tracklet.points).reshape(len(frames), 14).astype(np.float64)
    points = np.stack([np.interp(times, frames, flat[:, axis]) for axis in range(14)], axis=1)
    size = np.interp(times, frames, [size_of(p) for p in tracklet.points])
    shown = np.where(visible[:, None], _smooth(points, size, visible), 0.0).astype(np.float32)

    scores = np.zeros(length, dtype=np.float32)
    scores[frames] = tracklet.scores
    return Track(shown[:, :4], shown[:, 4:].reshape(length, 5, 2), scores, visible)


def _smooth(points: NDArray[np.float64], size: NDArray[np.float64], visible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T, K) coordinates without jitter; `size` (T,) is the face's size in the same unit."""
    inner = visible[:-2] & visible[1:-1] & visible[2:]
    difference = points[1:-1] - (points[:-2] + points[2:]) / 2
    weight = 0.5 * np.exp(-((difference / (JITTER * size[1:-1, None])) ** 2))
    calm = points.copy()
    calm[1:-1] -= np.where(inner[:, None], weight * difference, 0.0)
    return calm
