"""What a training asks of its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Sample:
    """A question about a clip, and its answer."""

    clip_id: str
    question: str
    answer: str
    faceless: bool = False
    """Whether the clip is shown as if its face were not to be seen."""


@dataclass(frozen=True)
class Batch:
    """One share of a global batch."""

    inputs: Mapping[str, Any]
    """Tensors for `model(**inputs)`, with `labels`."""
    clip_ids: list[str]
    """The clip of each sample."""
    tokens: int
    """Tokens without padding."""


class BatchSource(Protocol):
    """Gives the batches of a stage, in an order that seed and epoch alone decide."""

    @property
    def steps_per_epoch(self) -> int:
        """Global batches of an epoch."""

    def batches(self, rank: int, workers: int, start_step: int) -> Iterator[Batch]:
        """The shares `rank` of `workers` of the global batches, for ever, from the one of step `start_step`, from 0."""
