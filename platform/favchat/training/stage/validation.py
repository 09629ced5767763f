"""Validation of a stage: loss on held-out clips, and answers to a few questions about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import torch
import torch.distributed as dist
from torch import nn

from favchat.config import Config, StageConfig
from favchat.model import FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.generation import answer
from favchat.training.batches.samples import collate, labelled_clips, read_clip, some_clips, some_samples


class Validation:
    """One worker's share of the held-out samples of a stage.

    The workers' shares are of equal size, because a model partitioned by ZeRO-3 must run on all of them the same number
    of times; without held-out samples, or with fewer than workers, there is no validation.
    """

    def __init__(self, config: Config, stage: StageConfig, processor: FaVChatProcessor, *, rank: int, workers: int):
        training = config.training
        # With a token budget `batch_size` may be smaller than the number of workers: each takes at least one sample.
        batch = max(stage.batch_size, workers)
        rows, out = training.val_batches * batch, config.data.out or ""
        self._textless = stage.task == "attributes"
        if self._textless:
            samples = some_clips(out, training.val_split, rows)
        else:
            samples = some_samples(out, stage.task, training.val_split, rows)
        share = samples.num_rows // workers
        self._processor = processor
        self._asked = samples_asked(config, stage)
        self._answer_tokens = training.val_answer_tokens
        self._batch_size = batch // workers
        self._samples = samples.slice(rank * share, share)

    def loss(self, model: nn.Module, device: torch.device) -> float | None:
        """Mean language loss per answer token, over all workers; None without held-out samples.

        For a stage on attributes, their loss.

        A collective call, with the module inside DeepSpeed's engine.
        """
        if not self._samples.num_rows:
            return None
        loss_and_tokens = torch.zeros(2, dtype=torch.float64)
        with evaluating(model), torch.no_grad():
            for batch in self._batches():
                if self._textless:
                    taught = labelled_clips(self._processor, batch).to(device)
                    loss = model(**taught).attribute_loss.item()
                    loss_and_tokens += torch.tensor([loss * len(batch), len(batch)])
                    continue
                inputs = collate(self._processor, batch).to(device)
                # Position t predicts token t + 1, so the first token has no prediction.
                tokens = (inputs["labels"][:, 1:] != -100).sum().item()
                loss_and_tokens += torch.tensor([model(**inputs).language_loss.item() * tokens, tokens])
        loss_and_tokens = loss_and_tokens.to(device)
        if dist.is_initialized():
            dist.all_reduce(loss_and_tokens)
        return (loss_and_tokens[0] / loss_and_tokens[1]).item()

    def answers(self, model: FaVChatForConditionalGeneration) -> dict[str, list[str]]:
        """Columns of a table: clips, questions, reference answers and the model's; the questions are always the same.

        A collective call, because a model partitioned by ZeRO-3 needs all workers.
        """
        rows = self._asked.to_pylist()
        if not rows:
            return {}
        questions = [row["question"] for row in rows]
        with evaluating(model):
            clips = [read_clip(row, self._processor.num_frames) for row in rows]
            found = answer(model, self._processor, clips, questions, max_new_tokens=self._answer_tokens)
        return {
            "clip": [row["clip_id"] for row in rows],
            "question": questions,
            "expected": [row["answer"] for row in rows],
            "answer": found,
        }

    def _batches(self) -> Iterator[pa.Table]:
        for begin in range(0, self._samples.num_rows, self._batch_size):
            yield self._samples.slice(begin, self._batch_size)


def samples_asked(config: Config, stage: StageConfig) -> pa.Table:
    """Held-out samples whose questions the model answers at each validation."""
    training = config.training
    if stage.task == "attributes":  # this stage trains no text output
        return pa.table({"question": pa.array([], pa.string())})
    count = training.val_answers if training.val_batches else 0
    return some_samples(config.data.out or "", stage.task, training.val_split, count)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[Any]:
    """Put all modules into evaluation mode, and restore their modes afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield model
    finally:
        for module in training:
            module.training = True
