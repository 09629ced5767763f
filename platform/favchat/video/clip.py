"""One clip, from file to frames and aligned faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.config.data import FACE_MARGIN, FPS
from favchat.runtime.threads import available_threads
from favchat.video.align import align_face
from favchat.video.decode import Frames, fit_size, read_frames
from favchat.video.decoded import DecodedVideo
from favchat.video.descriptor import FaceDescriptor, IdentityDescriptor
from favchat.video.detect import FaceDetector
from favchat.video.errors import VideoError
from favchat.video.file_info import VideoInfo
from favchat.video.shot_cuts import find_cuts, shots
from favchat.video.track import Track, choose_tracks, track_faces

CutPolicy = Literal["keep_longest", "reject", "ignore"]
"""What becomes of a clip with a shot cut inside."""

DESCRIPTOR = IdentityDescriptor()
"""What tells people apart unless a caller brings another; its network is loaded when it is first asked."""

SHOTS_TRIED = 8
"""Shots of one clip in which a face is looked for: a faceless film of a thousand shots must come to an end."""


@dataclass(frozen=True)
class ProcessedClip:
    """A clip with one face. In frames without the face its crop is black, and its box and landmarks are zero.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        faces: (T, size, size, 3) uint8 RGB, aligned crops.
        timestamps: (T,) float64, seconds after the clip's start.
        boxes: (T, 4) float32, x1 y1 x2 y2 as fractions of width and height, 0..1.
        landmarks: (T, 5, 2) float32, x y as fractions of width and height; may be slightly outside 0..1 if the
            face is partly out of the frame.
        scores: (T,) float32, 0 where the face was not found; interpolated where it was followed.
        visible: (T,) bool, detected or interpolated.
        info: The file they come from.
        cuts: Starts of new shots inside the clip, seconds after its start; empty if cuts were not searched for.
        shot: Start and end of the part that the frames were sampled from, seconds after the clip's start: the clip,
            or one shot of it.
        readable: Fraction of the sampling times, 0..1, at which a frame could be read: less than 1 if the file is
            damaged or truncated.
        face_measures: See :func:`favchat.video.face_measures.face_measures`; only of a clip of which some pictures were
            left out since it was measured, None otherwise.
    """

    frames: NDArray[np.uint8]
    faces: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    visible: NDArray[np.bool_]
    info: VideoInfo
    cuts: tuple[float, ...] = ()
    shot: tuple[float, float] = (0.0, float("inf"))
    readable: float = 1.0
    face_measures: NDArray[np.float32] | None = None


def process_clip(
    path: str | Path | DecodedVideo,
    detector: FaceDetector,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float = FPS,
    max_frames: int = 16,
    decode_side: int = 640,
    frame_side: int = 256,
    face_size: int = 160,
    face_margin: float = FACE_MARGIN,
    min_share: float = 0.3,
    box: Sequence[float] | None = None,
    cuts: CutPolicy = "ignore",
    descriptor: FaceDescriptor | None = DESCRIPTOR,
) -> ProcessedClip:
    """Decode, detect, track one face, align it: `process_tracks` for one face."""
    return process_tracks(
        path,
        detector,
        start=start,
        end=end,
        fps=fps,
        max_frames=max_frames,
        decode_side=decode_side,
        frame_side=frame_side,
        face_size=face_size,
        face_margin=face_margin,
        min_share=min_share,
        box=box,
        cuts=cuts,
        descriptor=descriptor,
    )[0]


def process_tracks(
    path: str | Path | DecodedVideo,
    detector: FaceDetector,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float = FPS,
    max_frames: int = 16,
    decode_side: int = 640,
    frame_side: int = 256,
    face_size: int = 160,
    face_margin: float = FACE_MARGIN,
    min_share: float = 0.3,
    box: Sequence[float] | None = None,
    max_tracks: int = 1,
    cuts: CutPolicy = "ignore",
    descriptor: FaceDescriptor | None = DESCRIPTOR,
) -> list[ProcessedClip]:
    """Decode, keep one shot, detect, track and align the faces.

    Args:
        path: The video file, a folder of numbered images, or frames in memory.
        detector: The face detector.
        start: Start of the clip in the file, seconds.
        end: End of the clip, exclusive, seconds; None is the end of the file.
        fps: Sampling rate, frames per second.
        max_frames: If `fps` gives more frames, this many are sampled uniformly.
        decode_side: Longest side in pixels at which faces are detected and cropped.
        frame_side: Longest side in pixels of the returned frames.
        face_size: Side in pixels of the returned crops.
        face_margin: By what fraction the crops are wider than ArcFace's.
        min_share: Minimum fraction of frames, 0..1, in which a face must be visible.
        box: x1 y1 x2 y2 of an annotated face in the upright video: only the face that overlaps it most is tracked.
            Fractions of width and height if no value is above 1, else pixels.
        max_tracks: Maximum number of faces to return.
        cuts: "keep_longest": of a clip with shot cuts only the longest shot with an acceptable face is kept and
            resampled; the `SHOTS_TRIED` longest are tried, if not shorter than 1 / `fps`. "reject": shot cuts raise
            VideoError. "ignore": cuts are not searched for.
        descriptor: Distinguishes people, so that a track is one person; None: tracking by position and size only.

    Returns:
        One clip per face, at least one, the main face first; they share the frames.

    Raises:
        ValueError: A setting is out of range.
        VideoError: No frames can be read ("open", "decode"), the clip has shot cuts ("cut"), or no face is visible in
            enough frames or overlaps the box ("track"); if no shot is acceptable, the error of the longest.
    """
    if not 0.0 <= min_share <= 1.0:
        raise ValueError(f"min_share = {min_share:g}: must lie between 0 and 1")
    if max_tracks < 1:
        raise ValueError(f"max_tracks = {max_tracks}: need at least 1")
    if box is not None and not (len(box) == 4 and box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"box = {tuple(box)}: need x1 y1 x2 y2 with x1 < x2 and y1 < y2")
    cv2.setNumThreads(available_threads())
    read = read_frames(path, start=start, end=end, fps=fps, max_frames=max_frames, max_side=decode_side)
    stop = read.info.duration if end is None else min(end, read.info.duration)
    # A folder of images, and frames in memory, are taken as one shot.
    if cuts == "ignore" or isinstance(path, DecodedVideo) or Path(path).is_dir():
        found = []
    else:
        found = find_cuts(path, read, start=start)
    if found and cuts == "reject":
        raise VideoError(path, "cut", f"{len(found)} shot cuts, the first {found[0]:.2f} s after the clip's start")

    longest, *others = shots(0.0, stop - start, found)
    faults: list[VideoError] = []
    for left, right in [longest, *(shot for shot in others if shot[1] - shot[0] >= 1 / fps)][:SHOTS_TRIED]:
        try:
            if found:
                part = read_frames(
                    path, start=start + left, end=start + right, fps=fps, max_frames=max_frames, max_side=decode_side
                )
                read = replace(part, timestamps=part.timestamps + left)
            tracks = _tracks(
                path, read, detector, min_share=min_share, box=box, max_tracks=max_tracks, descriptor=descriptor
            )
        except VideoError as error:
            faults.append(error)
        else:
            frames = _scale(read.images, frame_side)
            return [
                _clip(read, track, frames, face_size, face_margin, cuts=found, shot=(left, right)) for track in tracks
            ]
    raise faults[0]


def _tracks(
    path: str | Path | DecodedVideo,
    read: Frames,
    detector: FaceDetector,
    *,
    min_share: float,
    box: Sequence[float] | None,
    max_tracks: int,
    descriptor: FaceDescriptor | None,
) -> list[Track]:
    """The faces to keep, at least one; VideoError if there is none."""
    count, height, width = read.images.shape[:3]
    tracks = track_faces(detector.detect(read.images), images=read.images, descriptor=descriptor)
    if not tracks:
        which = "the only sampled frame" if count == 1 else f"any of the {count} sampled frames"
        raise VideoError(path, "track", f"no face found in {which}")
    pixels = None if box is None else (_shares(box, read.info) * (width, height, width, height)).tolist()
    tracks = choose_tracks(tracks, min_share=min_share, max_tracks=max_tracks, box=pixels)
    if not tracks:
        raise VideoError(
            path, "track", f"no face found in any of the {count} sampled frames overlaps the annotated box"
        )
    share = float(tracks[0].visible.mean())
    if share < min_share:
        raise VideoError(
            path,
            "track",
            f"a face is visible in {share:.0%} of the frames, fewer than faces.min_share = {min_share:.0%}".replace(
                "%", " %"
            ),
        )
    return tracks


def _clip(
    read: Frames,
    track: Track,
    frames: NDArray[np.uint8],
    face_size: int,
    face_margin: float,
    *,
    cuts: Sequence[float],
    shot: tuple[float, float],
) -> ProcessedClip:
    count, height, width = read.images.shape[:3]
    extent = np.asarray([width, height], dtype=np.float32)
    return ProcessedClip(
        frames=frames,
        faces=_crops(read.images, track, face_size, face_margin),
        timestamps=read.timestamps,
        boxes=(track.boxes.reshape(count, 2, 2) / extent).reshape(count, 4),
        landmarks=track.landmarks / extent,
        scores=track.scores,
        visible=track.visible,
        info=read.info,
        cuts=tuple(cuts),
        shot=shot,
        readable=read.readable,
    )


def _shares(box: Sequence[float], info: VideoInfo) -> NDArray[np.float64]:
    """A box (4,) as fractions of width and height, clipped to the frame."""
    extent = (1, 1) if max(box) <= 1 else (info.width, info.height)
    return np.clip(np.asarray(box, dtype=np.float64) / (extent * 2), 0, 1)


def _crops(images: NDArray[np.uint8], face: Track, size: int, margin: float) -> NDArray[np.uint8]:
    """(T, size, size, 3) uint8 aligned crops of one face, black where it is not visible."""
    faces = np.zeros((len(images), size, size, 3), dtype=np.uint8)
    for index in np.flatnonzero(face.visible):
        faces[index] = align_face(images[index], face.landmarks[index], size=size, margin=margin)
    return faces


def _scale(images: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 scaled down to a longest side of `max_side` pixels."""
    height, width = images.shape[1:3]
    size = fit_size(width, height, max_side)
    if size == (width, height):
        return images
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]).astype(np.uint8)
