"""From shards and annotations to batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import ray
from transformers import BatchFeature

from favchat.config import ConfigError
from favchat.data.images import decode_images
from favchat.model import FaVChatProcessor

CLIP_COLUMNS = ["clip_id", "timestamps", "frames", "faces", "landmarks", "visible"]


@dataclass
class StoredClip:
    """A clip as read from a shard; see :class:`favchat.video.ProcessedClip` for the shapes."""

    frames: np.ndarray
    faces: np.ndarray
    timestamps: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray


def read_clip(row: dict[str, Any]) -> StoredClip:
    """Decode the pictures of a shard's row."""
    return StoredClip(
        frames=decode_images(row["frames"]),
        faces=decode_images(row["faces"]),
        timestamps=np.asarray(row["timestamps"], dtype=np.float64),
        landmarks=np.stack([np.asarray(points, dtype=np.float32) for points in row["landmarks"]]).reshape(-1, 5, 2),
        visible=np.asarray(row["visible"], dtype=bool),
    )


def samples(out: str, task: str, split: str) -> ray.data.Dataset:
    """Stream the samples of one task: the shards' clips, each joined with its annotations.

    Args:
        out: Folder of the corpus (``data.out``).
        task: ``summary`` or ``qa``.
        split: Which split.

    Returns:
        Rows with the columns of :data:`CLIP_COLUMNS`, `question` and `answer`; a clip has a row for each of its annotations.

    Raises:
        ConfigError: There are no shards, no annotations, or none of that task and split.
    """
    shards, annotations = Path(out) / "shards", Path(out) / "annotations"
    if not any(shards.glob("*.parquet")):
        raise ConfigError(f"data.out = {out}: no shards there; run 'favchat prepare' first")
    if not any(annotations.glob("*.parquet")):
        raise ConfigError(f"data.out = {out}: no annotations there; run 'favchat annotate' first")
    chosen = pq.read_table(
        annotations,
        columns=["clip_id", "question", "answer"],
        filters=[("task", "==", task), ("split", "==", split), ("selected", "==", True)],
    )
    if not chosen.num_rows:
        raise ConfigError(f"data.out = {out}: no annotation of task '{task}' in split '{split}'")
    by_clip: dict[str, list[tuple[str, str]]] = {}
    for row in chosen.to_pylist():
        by_clip.setdefault(row["clip_id"], []).append((row["question"], row["answer"]))
    shared = ray.put(by_clip)

    def join(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**row, "question": question, "answer": answer} for question, answer in ray.get(shared).get(row["clip_id"], [])]

    return ray.data.read_parquet(str(shards), columns=CLIP_COLUMNS).flat_map(join)


def collate(processor: FaVChatProcessor, batch: dict[str, np.ndarray]) -> BatchFeature:
    """Decode and tokenise a batch of Ray Data rows; labels lie on the answers only."""
    rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    prompts = [processor.prompt(row["question"]) for row in rows]
    return processor(prompts, [read_clip(row) for row in rows], answers=[row["answer"] for row in rows])
