"""The clip specification: how a video is processed into a model's input.

It is saved with a model's processor. Preparation, inference, serving and evaluation all use
:meth:`ClipSpecification.read`, so that a file gives the same input everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from favchat.config import ConfigError, DataConfig
from favchat.config.data import FACE_MARGIN, FPS
from favchat.video.clip import CutPolicy, ProcessedClip, process_tracks
from favchat.video.decoded import DecodedVideo
from favchat.video.detect import CenterFaceDetector, FaceDetector
from favchat.video.images import decode_images, encode_images
from favchat.video.landmark_refiner import LandmarkRefiner
from favchat.video.sparse_detect import SparseDetector

SEARCHED = 4
"""Every so manieth frame is searched for faces, which are followed through those between: docs/speed.md."""


@dataclass(frozen=True)
class ClipSpecification:
    """Settings of sampling, faces and image encoding; documented at the settings of ``data`` with the same names."""

    fps: float = FPS
    max_frames: int = 32
    decode_side: int = 640
    frame_side: int = 256
    detector: Literal["centerface"] = "centerface"
    min_score: float = 0.5
    min_share: float = 0.3
    face_size: int = 160
    face_margin: float = FACE_MARGIN
    cuts: CutPolicy = "keep_longest"
    jpeg_quality: int | None = 95
    """Quality of the JPEG images that a corpus keeps and every other reader therefore sees; None: raw pixels."""

    @classmethod
    def of(cls, data: DataConfig) -> ClipSpecification:
        """The specification in the ``data`` section."""
        frames, faces = data.frames, data.faces
        return cls(
            fps=frames.fps,
            max_frames=frames.max_frames,
            decode_side=frames.decode_side,
            frame_side=frames.side,
            min_score=faces.min_score,
            min_share=faces.min_share,
            face_size=faces.size,
            face_margin=faces.margin,
            cuts=data.cuts,
            jpeg_quality=data.jpeg_quality if data.encoding == "jpeg" else None,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipSpecification:
        """Inverse of :meth:`to_dict`.

        Raises:
            ConfigError: It has a setting that this version does not know.
        """
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError(f"clip specification: '{min(unknown)}' is unknown to this version of FaVChat; update it")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as saved with a processor."""
        return asdict(self)

    def difference(self, other: ClipSpecification) -> str:
        """Describe the settings in which two specifications differ; empty if they are equal."""
        mine, others = self.to_dict(), other.to_dict()
        return ", ".join(f"{name} {mine[name]} and {others[name]}" for name in mine if mine[name] != others[name])

    def make_detector(self, *, threads: int | None = None) -> FaceDetector:
        """The face detector.

        Args:
            threads: See :class:`favchat.video.detect.CenterFaceDetector`.

        Raises:
            AssetError: Its weights cannot be fetched.
        """
        detector = CenterFaceDetector(min_score=self.min_score, threads=threads)
        return SparseDetector(detector, SEARCHED, LandmarkRefiner(threads=threads))

    def tracks(
        self,
        path: str | Path | DecodedVideo,
        detector: FaceDetector,
        *,
        start: float = 0.0,
        end: float | None = None,
        box: Sequence[float] | None = None,
        max_tracks: int = 1,
    ) -> list[ProcessedClip]:
        """Decode, sample, and detect, track and align faces, with images as they were before encoding.

        Args:
            path: The video file, a folder of numbered images, or frames in memory.
            detector: From :meth:`make_detector`.
            start: Start of the clip in the file, seconds.
            end: End of the clip, exclusive, seconds; None is the end of the file.
            box: As for :func:`favchat.video.process_tracks`.
            max_tracks: Maximum number of faces to return.

        Returns:
            One clip per face, the main face first; they share the frames.

        Raises:
            VideoError: As :func:`favchat.video.process_tracks`.
        """
        return process_tracks(
            path,
            detector,
            start=start,
            end=end,
            fps=self.fps,
            max_frames=self.max_frames,
            decode_side=self.decode_side,
            frame_side=self.frame_side,
            face_size=self.face_size,
            face_margin=self.face_margin,
            min_share=self.min_share,
            box=box,
            max_tracks=max_tracks,
            cuts=self.cuts,
        )

    def read(self, path: str | Path | DecodedVideo, detector: FaceDetector, **settings: Any) -> list[ProcessedClip]:
        """As :meth:`tracks`, with images encoded and decoded as in a corpus: the input of a model."""
        tracks = self.tracks(path, detector, **settings)
        if self.jpeg_quality is None:
            return tracks
        frames = self._stored(tracks[0].frames)
        return [replace(track, frames=frames, faces=self._stored(track.faces)) for track in tracks]

    def _stored(self, images: np.ndarray) -> np.ndarray:
        """Images `(n, H, W, 3)` after encoding and decoding."""
        return decode_images(encode_images(images, quality=self.jpeg_quality or 95))
