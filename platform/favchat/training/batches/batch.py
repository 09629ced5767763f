"""Inputs of a training step: samples, batches, and the interface of what yields them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Sample:
    """A question about a clip with its answer."""

    clip_id: str
    question: str
    answer: str
    faceless: bool = False
    """Whether the clip is shown as if its face were not to be seen."""


@dataclass(frozen=True)
class Batch:
    """One worker's share of a global batch."""

    inputs: Mapping[str, Any]
    """Tensors for `model(**inputs)`, with `labels`."""
    clip_ids: list[str]
    """The clip of each sample."""
    tokens: int
    """Tokens without padding."""
    videos: list[str] | None = None
    """The clip of each video of a packed batch, where questions about a clip share its video; None: each sample has a
    video of its own."""


class BatchSource(Protocol):
    """Yields the batches of a stage, in an order that depends on seed and epoch only."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of global batches in an epoch."""

    def batches(self, rank: int, workers: int, start_step: int) -> Iterator[Batch]:
        """Yield worker `rank`'s share of each global batch, endlessly, from step `start_step` (counted from 0)."""
