"""Sampling by each request's own settings inside one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.logits_process import LogitsProcessorList


@dataclass(frozen=True)
class Sampling:
    """How one request samples; a request without it takes the most likely token.

    Attributes:
        temperature: Divides the logits, above 0.
        top_p: Tokens are drawn from the most likely ones that together reach this probability, 0..1.
        seed: The same seed, prompt and settings give the same answer, whatever else is in the batch.
    """

    temperature: float
    top_p: float
    seed: int


class PerRequestSampling(ContinuousBatchingLogitsProcessor):
    """Turns the greedy choice into sampling for those requests that want it.

    To the logits over temperature it adds Gumbel noise; the largest sum is then a sample of the softmax (Gumbel-max
    trick, Maddison et al., arXiv 1411.0030). So greedy and sampling requests share a batch, and the noise depends on
    the request's seed and position alone.
    """

    supported_kwargs = {"sampling": Sampling}
    ignored_kwargs = ()

    def __init__(self) -> None:
        self._rows: list[tuple[Sampling | None, int]] = []

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        """Nothing is kept in the tensor."""
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> Tensor:
        """Note the settings and the position of each row of the batch to come."""
        states = [request.state for request in requests_with_new_token]
        self._rows = [
            (state.logit_processor_kwargs.get("sampling"), len(state.initial_tokens) + len(state.generated_tokens))
            for state in states
        ]
        return torch.zeros(len(states), dtype=torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        """Change the rows of logits `(rows, vocabulary)` whose request samples."""
        for row, (sampling, position) in enumerate(self._rows):
            if sampling is not None:
                scores[row] = perturbed(scores[row], sampling, position)
        return scores


def perturbed(logits: Tensor, sampling: Sampling, position: int) -> Tensor:
    """Logits `(vocabulary,)` whose largest is a sample."""
    # From the largest on: over a temperature near 0 all others become minus infinity, and none infinity or no number.
    logits = (logits.double() - logits.max().double()) / sampling.temperature
    if sampling.top_p < 1:
        ordered, order = logits.sort(descending=True)
        probability = ordered.softmax(dim=-1)
        before = probability.cumsum(dim=-1) - probability
        logits = logits.masked_fill(
            torch.zeros_like(before, dtype=torch.bool).scatter(0, order, before >= sampling.top_p), -torch.inf
        )
    generator = torch.Generator().manual_seed((sampling.seed * 1_000_003 + position) % 2**63)
    uniform = torch.rand(logits.shape, generator=generator).clamp_min(torch.finfo(torch.float32).tiny)
    return logits - (-uniform.log()).log().to(logits.device)


def processor_list() -> ContinuousBatchingLogitsProcessorList:
    """The list that a continuous batching manager takes in place of its own."""
    processors = ContinuousBatchingLogitsProcessorList(
        LogitsProcessorList([PerRequestSampling()]), per_request_processors=True
    )
    processors.tensors_required = 1
    return processors
