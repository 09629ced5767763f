"""How each request's tokens are chosen, by its own settings inside one batch."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.logits_process import LogitsProcessorList

from serve.grammars import Matcher


@dataclass(frozen=True)
class Sampling:
    """How one request samples; a request without it takes the most likely token.

    Attributes:
        temperature: Divides the logits, above 0.
        top_p: Tokens are drawn from the most likely ones that together reach this probability, 0..1.
        seed: The same seed, prompt and settings give the same answer, whatever else is in the batch.
        top_k: Tokens are drawn from so many of the most likely ones; 0: from all.
        min_p: Tokens are drawn from those that have at least this share of the most likely one's probability, 0..1.
    """

    temperature: float
    top_p: float
    seed: int
    top_k: int = 0
    min_p: float = 0.0


@dataclass(frozen=True)
class Penalties:
    """What is added to logits before a token is chosen.

    Attributes:
        frequency: Taken off for each time that the answer holds the token (OpenAI).
        presence: Taken off once if the answer holds it (OpenAI).
        repetition: Divides logits above 0, and multiplies those below, of tokens that the prompt or the answer holds
            (Keskar et al., arXiv 1909.05858).
        bias: Added, by token.
    """

    frequency: float = 0.0
    presence: float = 0.0
    repetition: float = 1.0
    bias: tuple[tuple[int, float], ...] = ()

    def apply(self, logits: Tensor, prompt: Sequence[int], answer: Sequence[int]) -> None:
        """Change logits `(vocabulary,)` in place."""
        size = len(logits)
        if self.repetition != 1:
            seen = torch.tensor(sorted({token for token in (*prompt, *answer) if token < size}))
            values = logits[seen]
            logits[seen] = torch.where(values > 0, values / self.repetition, values * self.repetition)
        if answer and (self.frequency or self.presence):
            counts = Counter(answer)
            held = torch.tensor(list(counts))
            times = torch.tensor(list(counts.values()), dtype=logits.dtype)
            logits[held] -= (self.frequency * times + self.presence).to(logits.device)
        for token, bias in self.bias:
            logits[token] += bias


@dataclass(frozen=True)
class TokenLogprobs:
    """A token of an answer, and the likeliest ones at its place, by the model alone.

    Attributes:
        token: The token.
        logprob: The logarithm of its probability.
        top: The likeliest tokens and the logarithms of their probabilities, the likeliest first.
    """

    token: int
    logprob: float
    top: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Decoding:
    """How the tokens of one request are chosen; it follows the request from token to token.

    Attributes:
        prompt: Its prompt.
        begun: Tokens of the answer that the prompt ends with.
        sampling: How it samples; None: the most likely token.
        penalties: What changes the logits before.
        matcher: What the answer has to be; None: anything.
        forced: The tokens to write, whatever the model says; it is only asked how likely they are.
        top: How many likeliest tokens to note; None: no probabilities are noted.
        noted: What was noted, a token after the other.
    """

    prompt: Sequence[int]
    begun: int = 0
    sampling: Sampling | None = None
    penalties: Penalties | None = None
    matcher: Matcher | None = None
    forced: Sequence[int] | None = None
    top: int | None = None
    noted: dict[int, TokenLogprobs] = field(default_factory=dict)

    def choose(self, logits: Tensor, answer: Sequence[int], position: int) -> None:
        """Change logits `(vocabulary,)` in place so that the largest is the token to write.

        Args:
            logits: As the model gives them.
            answer: Tokens of the answer so far, those that the prompt ends with included.
            position: Tokens before this one.
        """
        plain = logits.log_softmax(dim=-1) if self.top is not None else None
        step = len(answer) - self.begun
        if self.forced is not None:
            _only(logits, self.forced[step])
        else:
            if self.penalties is not None:
                self.penalties.apply(logits, self.prompt[: len(self.prompt) - self.begun], answer)
            if self.matcher is not None:
                logits.masked_fill_(~self.matcher.allowed(answer, len(logits)).to(logits.device), -torch.inf)
            if self.sampling is not None:
                logits.copy_(perturbed(logits, self.sampling, position))
        if plain is not None:
            token = int(logits.argmax())
            best = plain.topk(self.top or 0)
            pairs = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
            self.noted[step] = TokenLogprobs(token, float(plain[token]), pairs)


class PerRequestDecoding(ContinuousBatchingLogitsProcessor):
    """Turns the greedy choice into that of each request.

    To the logits over temperature it adds Gumbel noise; the largest sum is then a sample of the softmax (Gumbel-max
    trick, Maddison et al., arXiv 1411.0030). So greedy and sampling requests share a batch, and the noise depends on
    the request's seed and position alone.
    """

    supported_kwargs = {"decoding": Decoding}
    ignored_kwargs = ()

    def __init__(self) -> None:
        self._rows: list[tuple[Decoding | None, list[int]]] = []

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        """Nothing is kept in the tensor."""
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> Tensor:
        """Note the settings and the tokens so far of each row of the batch to come."""
        states = [request.state for request in requests_with_new_token]
        self._rows = [
            (decoding, [*state.initial_tokens, *state.generated_tokens] if decoding is not None else [])
            for state, decoding in ((state, state.logit_processor_kwargs.get("decoding")) for state in states)
        ]
        return torch.zeros(len(states), dtype=torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        """Change the rows of logits `(rows, vocabulary)` of requests that have settings."""
        for row, (decoding, tokens) in enumerate(self._rows):
            if decoding is not None:
                answer = tokens[len(decoding.prompt) - decoding.begun :]
                decoding.choose(scores[row], answer, len(tokens))
        return scores


def _only(logits: Tensor, token: int) -> None:
    logits.fill_(-torch.inf)
    logits[token] = 0.0


def perturbed(logits: Tensor, sampling: Sampling, position: int) -> Tensor:
    """Logits `(vocabulary,)` whose largest is a sample."""
    # From the largest on: over a temperature near 0 all others become minus infinity, and none infinity or no number.
    logits = (logits.double() - logits.max().double()) / sampling.temperature
    if sampling.top_k:
        smallest = logits.topk(min(sampling.top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if sampling.min_p:
        logits = logits.masked_fill(logits.exp() < sampling.min_p, -torch.inf)  # the largest is exp(0) = 1
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


def drawn(probabilities: Mapping[str, float], temperature: float, seed: int | None) -> str:
    """The likeliest of some options at temperature 0, else one drawn from their probabilities to the power 1 / T."""
    options = list(probabilities)
    logits = torch.tensor([probabilities[option] for option in options], dtype=torch.float64).clamp_min(1e-300).log()
    if temperature:
        seed = secrets.randbits(31) if seed is None else seed
        logits = perturbed(logits, Sampling(temperature, 1.0, seed), 0)
    return options[int(logits.argmax())]


def processor_list() -> ContinuousBatchingLogitsProcessorList:
    """The list that a continuous batching manager takes in place of its own."""
    processors = ContinuousBatchingLogitsProcessorList(
        LogitsProcessorList([PerRequestDecoding()]), per_request_processors=True
    )
    processors.tensors_required = 1
    return processors
