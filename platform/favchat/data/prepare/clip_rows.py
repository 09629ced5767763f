"""Processes one clip into its rows of a shard or of the rejects; runs in the pipeline's detector actors."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from ray.actor import ActorHandle

from favchat.config import DataConfig
from favchat.data.corpus.clip import face_id
from favchat.data.corpus.schema import SHARD_SCHEMA
from favchat.data.prepare.quality_filter import first_violation
from favchat.io import paths
from favchat.labels.attributes import ACTION, APPEARANCE
from favchat.video import FaceDetector, ProcessedClip, Quality, VideoError, duplicate_hash, measure
from favchat.video.face_measures import face_measures
from favchat.video.images import encode_images
from favchat.video.specification import ClipSpecification

OUTCOME_SCHEMA = pa.schema(
    [
        *[field.with_nullable(True) for field in SHARD_SCHEMA],
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""A shard's row, or a clip's row with the ``stage`` and ``reason`` of its failure and no media."""

_UNKNOWN: dict[str, Any] = {
    "identity": None,
    "appearance": [None] * len(APPEARANCE),
    "action": [None] * len(ACTION),
    "emotion": None,
    "emotion_segments": [],
    "extra": None,
}
"""What is known of a further face: a source's labels speak of one person, who is taken to be the main face."""


def ready(detector: Callable[[], FaceDetector]) -> FaceDetector:
    """Build a detector and run it once, so that missing weights raise one error here instead of failing every clip."""
    made = detector()
    made.detect(np.zeros((1, 64, 64, 3), np.uint8))
    return made


class ClipProcessor:
    """Processes batches of clips into batches of rows with a detector; a clip's failure never raises."""

    def __init__(self, settings: DataConfig, detector: Callable[[], FaceDetector], progress: ActorHandle) -> None:
        """Build the detector.

        Args:
            settings: The ``data`` section.
            detector: Builds the face detector, once per actor.
            progress: The actor that counts finished clips for the driver.
        """
        self._settings = settings
        self._detector = ready(detector)
        self._progress = progress

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Process clips sequentially.

        Args:
            batch: Rows of ``CLIP_SCHEMA``.

        Returns:
            Rows of ``OUTCOME_SCHEMA``, in the same order: one per clip, and one for each further face.
        """
        rows = []
        for clip in batch.to_pylist():
            with time_limit(self._settings.seconds_per_clip):
                fates = clip_rows(clip, self._detector, self._settings)
            rows += fates
            self._progress.finished.remote(clip["clip_id"], fates[0]["stage"] is not None)
        return pa.Table.from_pylist(rows, schema=OUTCOME_SCHEMA)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Kill this process if the context takes longer.

    There is no other way to stop a decoder that hangs in C code. Ray restarts the process, and the pipeline retries
    the clip before it rejects it.
    """
    with open(os.devnull, "w") as nowhere:  # sink for the stack traces of faulthandler's watchdog thread
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def clip_rows(clip: dict[str, Any], detector: FaceDetector, settings: DataConfig) -> list[dict[str, Any]]:
    """Process a clip into rows of ``OUTCOME_SCHEMA``; a failure becomes a row too, never an exception.

    Args:
        clip: A row of ``CLIP_SCHEMA``; with a ``box``, only the face that overlaps it most is used.
        detector: The face detector.
        settings: The ``data`` section.

    Returns:
        The main face's row under the clip's own id, then further faces, up to ``faces.max_tracks`` in all, under
        ``ID__face1`` etc., without identity and labels.
    """
    try:
        if not paths.exists(clip["video"]):
            return [_failure(clip, "open", "file not found")]
        with paths.local_copy(clip["video"]) as path:
            media = ClipSpecification.of(settings).tracks(
                path,
                detector,
                start=clip["start"],
                end=clip["end"],
                box=clip["box"],
                max_tracks=settings.faces.max_tracks,
            )
        return [{**_row(clip, track, face, settings), "tracks": len(media)} for track, face in enumerate(media)]
    except VideoError as error:
        return [_failure(clip, error.stage, error.reason)]
    except Exception as error:  # any failure on a video is recorded, and the job continues
        return [_failure(clip, "internal", f"{type(error).__name__}: {error}")]


def _failure(clip: dict[str, Any], stage: str, reason: str) -> dict[str, Any]:
    return {**clip, "tracks": 1, "stage": stage, "reason": reason}


def _row(clip: dict[str, Any], track: int, media: ProcessedClip, settings: DataConfig) -> dict[str, Any]:
    row = {**clip, "clip_id": face_id(clip["clip_id"], track)} | (_UNKNOWN if track else {})
    quality = measure(media)
    fault = first_violation(quality, settings.filters)
    if fault is not None:
        return {**row, "track": track, "stage": "filter", "reason": fault}
    columns = _columns(media, quality, settings)
    return {**row, **columns, "track": track, "stage": None, "reason": None}


def _columns(media: ProcessedClip, quality: Quality, settings: DataConfig) -> dict[str, Any]:
    count = len(media.timestamps)
    encode = partial(encode_images, encoding=settings.encoding, quality=settings.jpeg_quality)
    return {
        "width": media.info.width,
        "height": media.info.height,
        "fps": media.info.fps,
        "duration": media.info.duration,
        "times_guessed": media.info.times_guessed,
        "readable": media.readable,
        "timestamps": media.timestamps.tolist(),
        "frames": encode(media.frames),
        "faces": encode(media.faces),
        "boxes": media.boxes.reshape(count, 4).tolist(),
        "landmarks": media.landmarks.reshape(count, 10).tolist(),
        "scores": media.scores.tolist(),
        "visible": media.visible.tolist(),
        "cuts": list(media.cuts),
        "shot_start": media.shot[0],
        "shot_end": media.shot[1],
        **asdict(quality),
        "duplicate_hash": duplicate_hash(media),
        "face_measures": face_measures(media.faces, media.visible).tolist(),
    }
