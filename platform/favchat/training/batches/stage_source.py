"""The batches of a stage: prefetched by Ray Data, or built in this process where Ray does not run.

Ray Train's controller also imports this module, only to pass it to the workers: heavy imports are therefore lazy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from favchat.config import Config, ConfigError, StageConfig
from favchat.training.batches.attribute_labels import read_labels
from favchat.training.batches.batch import Batch
from favchat.training.batches.index import Index, read_index
from favchat.training.batches.sample_order import BatchSchedule, Samples

if TYPE_CHECKING:
    from favchat.model import FaVChatProcessor
    from favchat.training.batches.batch_builder import BatchBuilder

RUNS = 64
"""Shuffle windows that one Ray Data job reads; then the next one begins."""
BLOCK_BYTES = 2**20
"""Bytes of built batches per output block of a task."""


@dataclass
class StageSource:
    """Yields a stage's samples as batches, in an order that depends on seed and step number only."""

    config: Config
    stage: StageConfig
    init: str | None
    """Where the stage starts: its processor makes the batches."""
    features: Mapping[str, str] | None = None
    """The feature file of each shard, by their addresses, where features take the place of pictures."""

    def __getstate__(self) -> dict[str, Any]:
        """Drop the cached index: each worker reads the metadata itself, which is cheaper than sending it."""
        return {name: self.__dict__[name] for name in ("config", "stage", "init", "features")}

    @property
    def steps_per_epoch(self) -> int:
        """Number of global batches per epoch, the same in all epochs."""
        return self.schedule.steps_per_epoch

    @property
    def steps(self) -> int:
        """Number of steps of the stage: its `steps`, or as many as its epochs have."""
        return self.stage.steps or math.ceil(self.stage.epochs * self.steps_per_epoch)

    @property
    def samples_per_epoch(self) -> int:
        """Number of samples per epoch."""
        return self.schedule.samples_per_epoch

    @cached_property
    def index(self) -> Index:
        """Index of the stage's samples.

        Raises:
            ConfigError: There are none.
        """
        parts = [self.stage, *self.stage.mix]
        return read_index(self.config.data.out or "", parts, self.config.training.split)

    @cached_property
    def processor(self) -> FaVChatProcessor:
        """The processor that builds the tensors.

        Raises:
            ConfigError: It cannot be loaded.
        """
        from favchat.training.stage.starting_model import starting_processor

        return starting_processor(self.config.model, self.init, self.stage.frames)

    @cached_property
    def schedule(self) -> BatchSchedule:
        """The schedule of the samples.

        Raises:
            ConfigError: There are no samples, or a batch is too large or too small for them.
        """
        stage, index, tokens, prefix = self.stage, self.index, None, 0
        group_by_clip = stage.packed
        if stage.tokens is not None:
            from favchat.training.batches.packing import block_lengths, prefix_length

            texts, prefix = index.texts, prefix_length(self.processor)
            tokens = block_lengths(self.processor, texts["question"].to_pylist(), texts["answer"].to_pylist())
            if not stage.packed or self.processor.route_by_question:
                tokens, prefix = tokens + prefix, 0
        try:
            schedule = BatchSchedule(
                Samples(index.sample_clip, index.clip_group, index.parts, tokens),
                seed=self.config.seed,
                batch_size=stage.batch_size,
                token_budget=stage.tokens,
                prefix=prefix,
                shares=[part.share for part in stage.mix],
                group_by_clip=group_by_clip,
            )
        except ValueError as error:
            raise ConfigError(f"stage '{stage.name}': {error}") from error
        least = (self._streams + 1) * schedule.largest
        if stage.tokens is not None and stage.tokens < least:
            raise ConfigError(
                f"stage '{stage.name}': tokens = {stage.tokens} may leave a worker without a sample: the longest "
                f"sample takes {schedule.largest}; set at least {least}"
            )
        return schedule

    @cached_property
    def builder(self) -> BatchBuilder:
        """The builder of the batches.

        Raises:
            ConfigError: As `schedule`.
        """
        from favchat.training.batches.batch_builder import BatchBuilder

        labels = read_labels(self.config.data.out or "", list(self.index.clip_ids), self.processor.attributes)
        textless, weight = self.stage.task == "attributes", self.stage.first_token_weight
        return BatchBuilder(
            self.index, self.schedule, self.processor, self.stage.packed, self.features, labels, weight, textless
        )

    @property
    def _streams(self) -> int:
        """Number of shares of a global batch: workers times accumulation steps."""
        return self.config.training.num_workers * self.stage.accumulate

    def batches(self, rank: int, workers: int, start_step: int) -> Iterator[Batch]:
        """Yield worker `rank`'s share of each global batch, endlessly, from step `start_step` (counted from 0).

        Where this process runs Ray, tasks of Ray Data prefetch and build them, up to the end of the stage and then one
        window at a time; otherwise as `read_batches`.
        """
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            yield from self.read_batches(rank, workers, start_step)
            return
        shared, schedule = ray.put(self.builder), self.schedule
        while True:
            runs = [{"begin": start_step, "end": schedule.window_end(start_step)}]
            while runs[-1]["end"] < self.steps and len(runs) < RUNS:
                runs.append({"begin": runs[-1]["end"], "end": schedule.window_end(runs[-1]["end"])})
            start_step = runs[-1]["end"]
            yield from _streamed(shared, runs, rank, workers, self._streams)

    def read_batches(self, rank: int, workers: int, start_step: int) -> Iterator[Batch]:
        """Yield the same batches as `batches`, built lazily in this process."""
        from favchat.training.batches.batch_builder import training_batch

        schedule = self.schedule
        while True:
            end = schedule.window_end(start_step)
            for batch in self.builder.make(start_step, end, rank, workers):
                yield training_batch(*batch)
            start_step = end


def _streamed(shared: Any, runs: list[dict[str, int]], rank: int, workers: int, streams: int) -> Iterator[Batch]:
    """Yield batches that Ray Data builds, in order. A row of the dataset is a run of steps in one shuffle window.

    Tasks request so small a fraction of a CPU that the tasks of all workers fit on one. Otherwise they could deadlock:
    a task blocks until its worker takes its output, while that worker may wait for another worker's task.
    """
    import ray
    import torch

    from favchat.runtime.ray_data import ThrottledCallback
    from favchat.training.batches.batch_builder import from_bytes, to_bytes, training_batch

    def make(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
        torch.set_num_threads(1)
        for batch, clip_ids, tokens in ray.get(shared).make(run["begin"], run["end"], rank, workers):
            yield {"batch": to_bytes(batch), "clip_ids": clip_ids, "tokens": tokens}

    windows = ray.data.from_items(runs, override_num_blocks=len(runs))
    windows.context.target_max_block_size = BLOCK_BYTES
    windows.context.execution_options.preserve_order = True
    windows.context.enable_progress_bars = False
    windows.context.custom_execution_callback_classes = [ThrottledCallback]  # type: ignore[list-item]  # by shape
    dataset = windows.flat_map(make, num_cpus=1 / (2 * streams), compute=ray.data.TaskPoolStrategy(size=2))
    blocks: Iterable[Any] = dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2)
    for block in blocks:
        for row in range(block.num_rows):
            yield training_batch(
                from_bytes(block["batch"][row]), block["clip_ids"][row].as_py(), block["tokens"][row].as_py()
            )
