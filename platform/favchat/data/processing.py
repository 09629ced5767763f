"""One clip to one row of a shard or of the rejects; what a detector actor of the pipeline runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from ray.actor import ActorHandle

from favchat.config import DataConfig
from favchat.data import addresses
from favchat.data.images import encode_images
from favchat.data.schema import SHARD_SCHEMA
from favchat.video import FaceDetector, ProcessedClip, VideoError, process_clip

FATE_SCHEMA = pa.schema(
    [
        *[field.with_nullable(True) for field in SHARD_SCHEMA],
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""A shard's row, or a clip's row with the ``stage`` and ``reason`` of its failure and no media."""


def ready(detector: Callable[[], FaceDetector]) -> FaceDetector:
    """Make a detector and use it once: weights that cannot be had are an error here, and not one of every clip."""
    made = detector()
    made.detect(np.zeros((1, 64, 64, 3), np.uint8))
    return made


class ClipProcessor:
    """Holds a detector and turns batches of clips into batches of rows; no clip's failure is an exception."""

    def __init__(self, settings: DataConfig, detector: Callable[[], FaceDetector], progress: ActorHandle) -> None:
        """Build the detector.

        Args:
            settings: The ``data`` section.
            detector: Makes the face detector, once an actor.
            progress: The actor that counts finished clips for the driver.
        """
        self._settings = settings
        self._detector = ready(detector)
        self._progress = progress

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Process clips one after the other.

        Args:
            batch: Rows of ``CLIP_SCHEMA``.

        Returns:
            As many rows of ``FATE_SCHEMA``, in the same order.
        """
        rows = []
        for clip in batch.to_pylist():
            rows.append(self._row(clip))
            self._progress.finished.remote(clip["clip_id"], rows[-1]["stage"] is not None)
        return pa.Table.from_pylist(rows, schema=FATE_SCHEMA)

    def _row(self, clip: dict[str, Any]) -> dict[str, Any]:
        frames, faces = self._settings.frames, self._settings.faces
        try:
            if not addresses.exists(clip["video"]):
                return {**clip, "stage": "open", "reason": "file not found"}
            with addresses.local_copy(clip["video"]) as path:
                media = process_clip(
                    path,
                    self._detector,
                    start=clip["start"],
                    end=clip["end"],
                    fps=frames.fps,
                    max_frames=frames.max_frames,
                    decode_side=frames.decode_side,
                    frame_side=frames.side,
                    face_size=faces.size,
                    face_margin=faces.margin,
                    min_share=faces.min_share,
                )
            return {**clip, **_columns(media, self._settings.jpeg_quality), "stage": None, "reason": None}
        except VideoError as error:
            return {**clip, "stage": error.stage, "reason": error.reason}
        except Exception as error:  # whatever a video provokes is recorded, and the job goes on
            return {**clip, "stage": "internal", "reason": f"{type(error).__name__}: {error}"}


def _columns(media: ProcessedClip, quality: int) -> dict[str, Any]:
    count = len(media.timestamps)
    return {
        "width": media.info.width,
        "height": media.info.height,
        "fps": media.info.fps,
        "duration": media.info.duration,
        "timestamps": media.timestamps.tolist(),
        "frames": encode_images(media.frames, quality=quality),
        "faces": encode_images(media.faces, quality=quality),
        "boxes": media.boxes.reshape(count, 4).tolist(),
        "landmarks": media.landmarks.reshape(count, 10).tolist(),
        "scores": media.scores.tolist(),
        "visible": media.visible.tolist(),
    }
