"""One clip, from file to frames and aligned faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from favchat.video.align import DEFAULT_MARGIN, align_face
from favchat.video.decode import VideoInfo, fit_size, read_frames
from favchat.video.detect import FaceDetector
from favchat.video.errors import VideoError
from favchat.video.track import track_faces


@dataclass(frozen=True)
class ProcessedClip:
    """A clip with its main face. Where the face is not visible its crop is black, its box and landmarks are zero.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        faces: (T, size, size, 3) uint8 RGB, aligned crops.
        timestamps: (T,) float64, seconds after the clip's start.
        boxes: (T, 4) float32, x1 y1 x2 y2 as shares of width and height, 0..1.
        landmarks: (T, 5, 2) float32, x y as shares of width and height; may lie a little outside 0..1 where the
            face leaves the picture.
        scores: (T,) float32, 0 where the face was not detected.
        visible: (T,) bool, detected or bridged.
        info: The file they come from.
    """

    frames: NDArray[np.uint8]
    faces: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    visible: NDArray[np.bool_]
    info: VideoInfo


def process_clip(
    path: str | Path,
    detector: FaceDetector,
    *,
    start: float = 0.0,
    end: float | None = None,
    fps: float = 4.0,
    max_frames: int = 16,
    decode_side: int = 640,
    frame_side: int = 256,
    face_size: int = 160,
    face_margin: float = DEFAULT_MARGIN,
    min_share: float = 0.3,
) -> ProcessedClip:
    """Decode, detect, track the main face, align it.

    Args:
        path: The video file.
        detector: Finds the faces.
        start: Begin of the clip in the file, seconds.
        end: End of the clip, exclusive, seconds; None is the end of the file.
        fps: Frames a second to sample.
        max_frames: Where `fps` gives more, this many are spread uniformly over the clip.
        decode_side: Longest side in pixels at which faces are looked for and cut out.
        frame_side: Longest side in pixels of the returned frames.
        face_size: Side in pixels of the returned crops.
        face_margin: By what share the crops are wider than ArcFace's.
        min_share: The least share of frames, 0..1, in which the main face must be visible.

    Returns:
        The clip.

    Raises:
        ValueError: A setting is out of range.
        VideoError: The file gives no frames ("open", "decode"), or no face in enough of them ("track").
    """
    if not 0.0 <= min_share <= 1.0:
        raise ValueError(f"min_share = {min_share:g}: must lie between 0 and 1")
    read = read_frames(path, start=start, end=end, fps=fps, max_frames=max_frames, max_side=decode_side)
    images = read.images  # (T, H, W, 3)
    count, height, width = images.shape[:3]

    tracks = track_faces(detector.detect(images))
    if not tracks:
        which = "the only sampled frame" if count == 1 else f"any of the {count} sampled frames"
        raise VideoError(path, "track", f"no face found in {which}")
    face = tracks[0]
    share = float(face.visible.mean())
    if share < min_share:
        raise VideoError(
            path,
            "track",
            f"a face is visible in {share:.0%} of the frames, fewer than faces.min_share = {min_share:.0%}".replace(
                "%", " %"
            ),
        )

    faces = np.zeros((count, face_size, face_size, 3), dtype=np.uint8)
    for index in np.flatnonzero(face.visible):
        faces[index] = align_face(images[index], face.landmarks[index], size=face_size, margin=face_margin)
    extent = np.asarray([width, height], dtype=np.float32)
    return ProcessedClip(
        frames=_scale(images, frame_side),
        faces=faces,
        timestamps=read.timestamps,
        boxes=(face.boxes.reshape(count, 2, 2) / extent).reshape(count, 4),
        landmarks=face.landmarks / extent,
        scores=face.scores,
        visible=face.visible,
        info=read.info,
    )


def _scale(images: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 scaled down to a longest side of `max_side` pixels."""
    height, width = images.shape[1:3]
    size = fit_size(width, height, max_side)
    if size == (width, height):
        return images
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]).astype(np.uint8)
