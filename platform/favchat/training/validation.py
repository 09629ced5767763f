"""The loss on held-out clips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import torch
import torch.distributed as dist
from torch import nn

from favchat.config import Config, StageConfig
from favchat.model import FaVChatProcessor
from favchat.training.ingest import collate, some_samples


class Validation:
    """One worker's share of the held-out samples of a stage.

    The workers' shares are equally large, because a model that ZeRO-3 has spread over them only runs on all of them at
    once; without held-out samples, or with fewer than workers, there is no validation.
    """

    def __init__(self, config: Config, stage: StageConfig, processor: FaVChatProcessor, *, rank: int, workers: int):
        training = config.training
        rows = training.val_batches * stage.batch_size
        samples = some_samples(config.data.out or "", stage.task, training.val_split, rows)
        share = samples.num_rows // workers
        self._processor = processor
        self._batch_size = stage.batch_size // workers
        self._samples = samples.slice(rank * share, share)

    def loss(self, model: nn.Module, device: torch.device) -> float | None:
        """Mean language loss a token of the answer, over all workers; None without held-out samples.

        Every worker must call this, with the module inside DeepSpeed's engine.
        """
        if not self._samples.num_rows:
            return None
        loss_and_tokens = torch.zeros(2, dtype=torch.float64)
        with evaluating(model), torch.no_grad():
            for batch in self._batches():
                inputs = collate(self._processor, batch).to(device)
                # The first position has nothing before it that could foretell it.
                tokens = (inputs["labels"][:, 1:] != -100).sum().item()
                loss_and_tokens += torch.tensor([model(**inputs).language_loss.item() * tokens, tokens])
        loss_and_tokens = loss_and_tokens.to(device)
        if dist.is_initialized():
            dist.all_reduce(loss_and_tokens)
        return (loss_and_tokens[0] / loss_and_tokens[1]).item()

    def _batches(self) -> Iterator[pa.Table]:
        for begin in range(0, self._samples.num_rows, self._batch_size):
            yield self._samples.slice(begin, self._batch_size)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[Any]:
    """Put every module into evaluation mode, and afterwards back those that were training."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield model
    finally:
        for module in training:
            module.training = True
