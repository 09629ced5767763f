"""Builds a step's tensors from its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import torch as safetensors
from torch import Tensor

from favchat.labels.attributes import UNKNOWN
from favchat.model import FaVChatProcessor
from favchat.training.batches.batch import Batch, Sample
from favchat.training.batches.index import Index
from favchat.training.batches.packing import pack, with_mask
from favchat.training.batches.sample_order import BatchSchedule
from favchat.training.batches.samples import StoredClip, pad
from favchat.training.batches.shard_reader import ClipReader


@dataclass(frozen=True)
class BatchBuilder:
    """Everything needed to build a batch; serialised to the tasks of Ray Data."""

    index: Index
    schedule: BatchSchedule
    processor: FaVChatProcessor
    packed: bool
    features: Mapping[str, str] | None
    """See :class:`favchat.training.batches.shard_reader.ClipReader`."""
    labels: np.ndarray
    """`(c, A)`, see :func:`favchat.training.batches.attribute_labels.read_labels`."""
    first_token_weight: float = 1.0
    """See :func:`favchat.training.batches.packing.pack`."""
    textless: bool = False
    """Whether samples are clips with the labels of their attributes, and no texts."""

    def make(self, begin: int, end: int, rank: int, workers: int) -> Iterator[tuple[dict[str, Tensor], list[str], int]]:
        """Yield worker `rank`'s batches of steps `[begin, end)`: tensors, clip ids, tokens without padding."""
        parts = [self.schedule.part(step, rank, workers) for step in range(begin, end)]
        reader = ClipReader(self.index, self.features, self.processor.num_frames)
        reader.prepare(np.unique(self.index.sample_clip[np.concatenate(parts)]))
        for part in parts:
            samples = self.index.samples(part)
            numbers = {str(self.index.clip_ids[clip]): clip for clip in np.unique(self.index.sample_clip[part])}
            clips = {clip_id: reader.read(clip) for clip_id, clip in numbers.items()}
            labels = {clip_id: torch.from_numpy(self.labels[clip]).long() for clip_id, clip in numbers.items()}
            if self.textless:
                batch, tokens = self.processor.video_inputs(list(clips.values())), 0
                batch["attribute_labels"] = torch.stack(list(labels.values()))
            else:
                samples = _hide_faces(samples, clips, labels)
                if self.packed:
                    weight = self.first_token_weight
                    batch, tokens = pack(self.processor, samples, clips, labels, first_token_weight=weight)
                else:
                    batch, tokens = pad(self.processor, samples, clips, labels)
            yield batch, [sample.clip_id for sample in samples], tokens


def _hide_faces(samples: list[Sample], clips: dict[str, Any], labels: dict[str, Tensor]) -> list[Sample]:
    """Point samples to be trained without a face at a copy of their clip whose crops are black."""
    shown = []
    for sample in samples:
        if sample.faceless:
            hidden = f"{sample.clip_id}{HIDDEN}"
            if hidden not in clips:
                clips[hidden] = without_face(clips[sample.clip_id])
                labels[hidden] = torch.full_like(labels[sample.clip_id], UNKNOWN)
            sample = replace(sample, clip_id=hidden)
        shown.append(sample)
    return sorted(shown, key=lambda sample: sample.clip_id)


HIDDEN = " (face hidden)"


def without_face(clip: StoredClip | dict[str, Tensor]) -> StoredClip | dict[str, Tensor]:
    """A copy of the clip as if no face had been detected: frames stay, face crops are black."""
    if isinstance(clip, StoredClip):
        return replace(
            clip,
            faces=np.zeros_like(clip.faces),
            landmarks=np.zeros_like(clip.landmarks),
            visible=np.zeros_like(clip.visible),
            face_measures=None if clip.face_measures is None else np.zeros_like(clip.face_measures),
        )
    emptied = {"face_features", "face_visible", "face_geometry", "face_motion"}
    return {name: torch.zeros_like(value) if name in emptied else value for name, value in clip.items()}


def training_batch(batch: Mapping[str, Tensor], clip_ids: list[str], tokens: int) -> Batch:
    """Build the `Batch` of a training step from what `BatchBuilder.make` yields.

    Attention masks are built here and not in Ray's tasks: they are large to transfer and cheap to compute.
    """
    if "blocks" not in batch:
        return Batch(dict(batch), clip_ids, tokens)
    clips, places = list(dict.fromkeys(clip_ids)), batch["places"].tolist()
    videos = [clips[place] for place in places] if len(places) == len(clips) else None
    return Batch(with_mask(batch), clip_ids, tokens, videos)


def to_bytes(batch: Mapping[str, Tensor]) -> bytes:
    """Serialise tensors into one value of a Ray Data row."""
    return safetensors.save({name: value.contiguous() for name, value in batch.items()})


def from_bytes(value: pa.Scalar) -> dict[str, Tensor]:
    """Inverse of `to_bytes`."""
    return safetensors.load(value.as_py())
