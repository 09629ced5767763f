"""The batches of a stage from clips held in memory: for corpora as small as the sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from favchat.config import Config, StageConfig
from favchat.training.batches import Batch
from favchat.training.ingest import collate, some_samples


@dataclass
class PlainSource:
    """Reads a task's samples whole and shuffles them by seed and epoch."""

    config: Config
    stage: StageConfig
    init: str | None
    count: int
    """Samples of the task and split."""
    _rows: pa.Table | None = field(default=None, repr=False)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of an epoch."""
        return self.count // self.stage.batch_size

    def batches(self, rank: int, workers: int, start_step: int) -> Iterator[Batch]:
        """The shares `rank` of `workers` of the global batches, for ever, from step `start_step` on."""
        # The driver and Ray Train's controller, which only pass this on, need no model.
        from favchat.training.start import starting_model

        processor: Any = starting_model(self.config.model, self.config.seed, self.init)[1]
        if self._rows is None:
            self._rows = some_samples(self.config.data.out or "", self.stage.task, self.config.training.split, 10**9)
        share, per_epoch = self.stage.batch_size // workers, self.steps_per_epoch
        step = start_step
        while True:
            order = np.random.default_rng([self.config.seed, step // per_epoch]).permutation(self.count)
            begin = (step % per_epoch) * self.stage.batch_size + rank * share
            rows = self._rows.take(pa.array(order[begin : begin + share]))
            inputs = dict(collate(processor, rows))
            yield Batch(inputs, rows["clip_id"].to_pylist(), int(inputs["attention_mask"].sum()))
            step += 1
