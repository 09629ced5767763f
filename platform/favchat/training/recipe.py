"""From the samples of a step to its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from safetensors import torch as safetensors
from torch import Tensor

from favchat.model import FaVChatProcessor
from favchat.training.batches import Batch
from favchat.training.index import Index
from favchat.training.ingest import pad
from favchat.training.packing import pack, with_mask
from favchat.training.reading import ClipReader
from favchat.training.sampler import Plan


@dataclass(frozen=True)
class Recipe:
    """All that making a batch takes; what Ray's tasks get."""

    index: Index
    plan: Plan
    processor: FaVChatProcessor
    packed: bool
    features: Mapping[str, str] | None
    """See :class:`favchat.training.reading.ClipReader`."""
    labels: np.ndarray
    """`(c, A)`, see :func:`favchat.training.labels.read_labels`."""
    textless: bool = False
    """Whether samples are clips with the labels of their attributes, and no texts."""

    def make(self, begin: int, end: int, rank: int, workers: int) -> Iterator[tuple[dict[str, Tensor], list[str], int]]:
        """Worker `rank`'s batches of the steps `[begin, end)`: tensors, clip ids, tokens without padding."""
        parts = [self.plan.part(step, rank, workers) for step in range(begin, end)]
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
                batch, tokens = (pack if self.packed else pad)(self.processor, samples, clips, labels)
            yield batch, [sample.clip_id for sample in samples], tokens


def finished(batch: Mapping[str, Tensor], clip_ids: list[str], tokens: int) -> Batch:
    """What a training takes of what `Recipe.make` gave.

    Masks are large and quickly made: they do not travel.
    """
    return Batch(with_mask(batch) if "blocks" in batch else dict(batch), clip_ids, tokens)


def to_bytes(batch: Mapping[str, Tensor]) -> bytes:
    """Tensors as a row of a data set holds them."""
    return safetensors.save({name: value.contiguous() for name, value in batch.items()})


def from_bytes(value: pa.Scalar) -> dict[str, Tensor]:
    """What `to_bytes` wrote."""
    return safetensors.load(value.as_py())
