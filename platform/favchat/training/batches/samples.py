"""Reads clips and samples from shards and annotations, and collates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from favchat.config import ConfigError
from favchat.data.corpus.clip import clip_from_row, label_vector
from favchat.data.corpus.ledger import read_media, shard_rows
from favchat.data.corpus.parquet_files import parquet_files, read_folder
from favchat.data.corpus.schema import ANNOTATIONS, LABEL_COLUMNS
from favchat.io.paths import path_of
from favchat.training.batches.batch import Sample
from favchat.video.face_measures import face_measures
from favchat.video.images import decode_images
from favchat.video.seen_frames import picked_frames

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BatchFeature

    from favchat.model import FaVChatProcessor

CLIP_COLUMNS = ["clip_id", "timestamps", "frames", "faces", "landmarks", "visible", "face_measures"]


@dataclass
class StoredClip:
    """A clip as read from a shard; see :class:`favchat.video.ProcessedClip` for the shapes.

    Where only the frames that the model sees were decoded, `frames` and `faces` hold only those.
    """

    frames: np.ndarray
    faces: np.ndarray
    timestamps: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    face_measures: np.ndarray | None = None


def read_clip(row: dict[str, Any], frames: int | None = None) -> StoredClip:
    """Decode the frames and face crops of a shard's row.

    Args:
        row: Its columns as plain Python values (`Table.to_pylist`).
        frames: Number of frames that the model sees; only those are decoded. None: all.

    Raises:
        ValueError: A picture cannot be decoded.
    """
    count = len(row["frames"])
    picked = np.arange(count) if frames is None else picked_frames(count, frames)
    visible = np.asarray(row["visible"], dtype=bool)
    return StoredClip(
        frames=decode_images([row["frames"][index] for index in picked]),
        faces=decode_images([row["faces"][index] for index in picked]),
        timestamps=np.asarray(row["timestamps"], dtype=np.float64),
        landmarks=np.asarray(row["landmarks"], dtype=np.float32).reshape(-1, 5, 2),
        visible=visible,
        face_measures=_face_measures(row, visible),
    )


def _face_measures(row: dict[str, Any], visible: np.ndarray) -> np.ndarray:
    """The column of that name; of a corpus without it, measured on all crops of the clip."""
    stored = row.get("face_measures")
    if stored is None:
        return face_measures(decode_images(row["faces"]), visible)
    return np.asarray(stored, np.float32)


def some_samples(out: str, task: str, split: str, count: int) -> pa.Table:
    """Select at most `count` samples of one task and split, deterministically, evenly spaced in the order of clip ids.

    Returns:
        A table with the columns of :data:`CLIP_COLUMNS`, `question` and `answer`, a row a sample; empty where the split
        has no annotation of the task.

    Raises:
        ConfigError: There are no shards or no annotations.
    """
    rows = _annotations(out, task, split).sort_by([("clip_id", "ascending"), ("question", "ascending")])
    picked = np.linspace(0, rows.num_rows, min(count, rows.num_rows), endpoint=False).astype(int)
    rows = rows.take(pa.array(picked)).select(["clip_id", "question", "answer"])
    clips = read_media(path_of(out), rows["clip_id"].unique(), CLIP_COLUMNS)
    by_clip = {clip["clip_id"]: clip for clip in clips.to_pylist()}
    return pa.Table.from_pylist([by_clip[row["clip_id"]] | row for row in rows.to_pylist()])


def some_clips(out: str, split: str, count: int) -> pa.Table:
    """Select at most `count` clips of a split with their labels, deterministically, evenly spaced by id.

    Returns:
        A table with the columns of :data:`CLIP_COLUMNS` and ``schema.LABEL_COLUMNS``.

    Raises:
        ConfigError: There are no shards.
    """
    rows = shard_rows(path_of(out), ["clip_id", "split"]).filter(pc.field("split") == split)
    picked = np.linspace(0, rows.num_rows, min(count, rows.num_rows), endpoint=False).astype(int)
    columns = list(dict.fromkeys([*CLIP_COLUMNS, *LABEL_COLUMNS]))
    return read_media(path_of(out), rows["clip_id"].take(pa.array(picked)).unique(), columns)


def labelled_clips(processor: FaVChatProcessor, batch: pa.Table) -> BatchFeature:
    """Decode clips of :func:`some_clips`, with their labels of the attributes that the model predicts."""
    import torch
    from transformers import BatchFeature

    rows = batch.to_pylist()
    inputs = processor.video_inputs([read_clip(row, processor.num_frames) for row in rows])
    labels = [label_vector(clip_from_row(row), processor.attributes) for row in rows]
    return BatchFeature({**inputs, "attribute_labels": torch.tensor(labels)})


def _annotations(out: str, task: str, split: str) -> pa.Table:
    """Selected annotations of one task and split whose clips are in the shards."""
    annotations = path_of(out) / ANNOTATIONS
    clips = shard_rows(path_of(out), ["clip_id"])["clip_id"]
    if not parquet_files(annotations):
        raise ConfigError(f"data.out = {out}: no annotations there; run `favchat annotate` first")
    wanted = (pc.field("task") == task) & (pc.field("split") == split) & pc.field("selected")
    return read_folder(annotations, ["clip_id", "task", "split", "selected", "question", "answer"]).filter(
        wanted & pc.is_in(pc.field("clip_id"), clips.combine_chunks())
    )


def collate(processor: FaVChatProcessor, batch: pa.Table) -> BatchFeature:
    """Decode and tokenise samples of :func:`some_samples`; only answer tokens have labels."""
    rows = batch.to_pylist()
    questions = [row["question"] for row in rows]
    return processor(
        text=[processor.prompt(question) for question in questions],
        videos=[read_clip(row, processor.num_frames) for row in rows],
        questions=questions,
        answers=[row["answer"] for row in rows],
    )


def pad(
    processor: FaVChatProcessor,
    samples: Sequence[Sample],
    clips: Mapping[str, Any],
    labels: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], int]:
    """Build a batch with one sequence per sample, padded to the longest; otherwise as :func:`pack`."""
    questions = [sample.question for sample in samples]
    inputs = processor(
        text=[processor.prompt(question) for question in questions],
        videos=[clips[sample.clip_id] for sample in samples],
        questions=questions,
        answers=[sample.answer for sample in samples],
    )
    batch = dict(inputs)
    if labels is not None and processor.attributes:
        import torch

        batch["attribute_labels"] = torch.stack([labels[sample.clip_id] for sample in samples])
    return batch, int(inputs["attention_mask"].sum())
