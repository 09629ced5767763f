"""From shards and annotations to batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from favchat.config import ConfigError
from favchat.data.addresses import path_of
from favchat.data.images import decode_images
from favchat.data.schema import ANNOTATIONS, SHARDS
from favchat.data.storage import arrow_place, parquet_files, read_folder, read_table

if TYPE_CHECKING:  # the driver, which only reads, starts seconds sooner without these
    from transformers import BatchFeature

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
    """Decode the pictures of a shard's row, given as plain Python values (`Table.to_pylist`)."""
    return StoredClip(
        frames=decode_images(row["frames"]),
        faces=decode_images(row["faces"]),
        timestamps=np.asarray(row["timestamps"], dtype=np.float64),
        landmarks=np.asarray(row["landmarks"], dtype=np.float32).reshape(-1, 5, 2),
        visible=np.asarray(row["visible"], dtype=bool),
    )


@dataclass(frozen=True)
class Samples:
    """The samples of one task and split."""

    dataset: ray.data.Dataset
    """Rows with the columns of :data:`CLIP_COLUMNS`, `question` and `answer`; a clip has a row for each annotation."""
    count: int
    """Rows of the dataset."""


def samples(out: str, task: str, split: str) -> Samples:
    """Stream the samples of one task: the shards' clips, each joined with its annotations.

    Args:
        out: Folder of the corpus (``data.out``).
        task: ``summary`` or ``qa``.
        split: Which split.

    Raises:
        ConfigError: There are no shards, no annotations, or none of that task and split.
    """
    chosen = _annotations(out, task, split)
    if not chosen.num_rows:
        raise ConfigError(f"data.out = {out}: no annotation of task '{task}' in split '{split}'")
    by_clip: dict[str, list[dict[str, str]]] = {}
    for row in chosen.select(["clip_id", "question", "answer"]).to_pylist():
        by_clip.setdefault(row.pop("clip_id"), []).append(row)
    shared = ray.put(by_clip)

    def join(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [row | annotation for annotation in ray.get(shared).get(row["clip_id"], [])]

    place, system = arrow_place(path_of(out) / SHARDS)
    clips = ray.data.read_parquet(place, filesystem=system, columns=CLIP_COLUMNS)
    return Samples(clips.flat_map(join), chosen.num_rows)


def count_samples(out: str, task: str, split: str) -> int:
    """How many samples of one task and split there are.

    Raises:
        ConfigError: There are no shards, no annotations, or none of that task and split.
    """
    count = _annotations(out, task, split).num_rows
    if not count:
        raise ConfigError(f"data.out = {out}: no annotation of task '{task}' in split '{split}'")
    return count


def some_samples(out: str, task: str, split: str, count: int) -> pa.Table:
    """At most `count` samples of one task and split, always the same: spread evenly over the annotations by clip.

    Reads the few shards it needs without Ray.

    Returns:
        A table as :func:`samples` streams it; empty where the split has no annotation of the task.

    Raises:
        ConfigError: There are no shards or no annotations.
    """
    rows = _annotations(out, task, split).sort_by([("clip_id", "ascending"), ("question", "ascending")])
    picked = np.linspace(0, rows.num_rows, min(count, rows.num_rows), endpoint=False).astype(int)
    rows = rows.take(pa.array(picked)).select(["clip_id", "question", "answer"])
    wanted = pc.field("clip_id").isin(rows["clip_id"].combine_chunks())
    clips = [
        read_table(file, CLIP_COLUMNS, filters=wanted)
        for file in parquet_files(path_of(out) / SHARDS)
        if read_table(file, ["clip_id"], filters=wanted).num_rows  # pictures are read only where needed
    ]
    by_clip = {clip["clip_id"]: clip for table in clips for clip in table.to_pylist()}
    return pa.Table.from_pylist([by_clip[row["clip_id"]] | row for row in rows.to_pylist()])


def _annotations(out: str, task: str, split: str) -> pa.Table:
    """The selected annotations of one task and split whose clips lie in the shards."""
    shards, annotations = path_of(out) / SHARDS, path_of(out) / ANNOTATIONS
    clips = read_folder(shards, ["clip_id"])["clip_id"]
    if not parquet_files(annotations):
        raise ConfigError(f"data.out = {out}: no annotations there; run `favchat annotate` first")
    wanted = (pc.field("task") == task) & (pc.field("split") == split) & pc.field("selected")
    return read_folder(annotations, ["clip_id", "task", "split", "selected", "question", "answer"]).filter(
        wanted & pc.is_in(pc.field("clip_id"), clips.combine_chunks())
    )


def collate(processor: FaVChatProcessor, batch: pa.Table) -> BatchFeature:
    """Decode and tokenise a batch of :func:`samples`; labels lie on the answers only."""
    rows = batch.to_pylist()
    questions = [row["question"] for row in rows]
    return processor(
        [processor.prompt(question) for question in questions],
        [read_clip(row) for row in rows],
        questions=questions,
        answers=[row["answer"] for row in rows],
    )
