"""One optimiser step in plain PyTorch: it runs without Ray and without DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from favchat.config import OptimisationConfig
from favchat.model import FaVChatForConditionalGeneration
from favchat.training.batches.batch import Batch
from favchat.training.stage.errors import NonFiniteLossError
from favchat.training.stage.expert_usage import count_choices
from favchat.training.stage.optimizer import RATE, rate_factor, set_rates

State = dict[str, Tensor]
"""What an optimiser keeps for one parameter, with `weight`, the parameter itself in float32."""


class Engine(Protocol):
    """Runs a model forward and backward and updates it: PyTorch itself, or DeepSpeed."""

    module: FaVChatForConditionalGeneration
    optimizer: torch.optim.Optimizer
    device: torch.device

    def forward(self, inputs: Mapping[str, Any]) -> Any:
        """The model's output."""

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradients of one part of the batch, of which `last` is the last."""

    def update(self) -> float:
        """Clip the mean of the gradients, step, forget them; return their norm before."""

    def states(self) -> Iterator[tuple[str, State]]:
        """Each learning parameter's name with its state; every worker must go through it."""

    def restore(self, states: Mapping[str, State]) -> None:
        """Take up states as `states` gave them, from any engine and any number of workers."""


class TorchEngine:
    """PyTorch itself, in one process."""

    def __init__(
        self,
        model: FaVChatForConditionalGeneration,
        optimizer: torch.optim.Optimizer,
        stage: OptimisationConfig,
        *,
        precision: torch.dtype = torch.float32,
    ):
        self.module, self.optimizer = model, optimizer
        self.device = next(model.parameters()).device
        self._parts, self._max_norm, self._precision = stage.accumulate, stage.max_grad_norm, precision
        self._learning = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def forward(self, inputs: Mapping[str, Any]) -> Any:
        """The model's output, with the routers' logits."""
        autocast = torch.autocast(self.device.type, self._precision, enabled=self._precision != torch.float32)
        with autocast:
            return self.module(**inputs, output_router_logits=True, use_cache=False)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradients of one part of the batch."""
        (loss / self._parts).backward()

    def update(self) -> float:
        """Clip, step, forget the gradients; return their norm before."""
        norm = nn.utils.clip_grad_norm_(self._learning.values(), self._max_norm).item()
        if np.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def states(self) -> Iterator[tuple[str, State]]:
        """Each learning parameter's name with its weight and AdamW's moments."""
        yield from optimizer_states(self.optimizer, self._learning)

    def restore(self, states: Mapping[str, State]) -> None:
        """Take up states that `states` gave."""
        restore_optimizer(self.optimizer, self._learning, states)


def optimizer_states(
    optimizer: torch.optim.Optimizer, learning: Mapping[str, nn.Parameter]
) -> Iterator[tuple[str, State]]:
    """The states of an optimiser that holds the parameters themselves."""
    for name, parameter in learning.items():
        yield name, {"weight": parameter.detach(), **optimizer.state.get(parameter, {})}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, learning: Mapping[str, nn.Parameter], states: Mapping[str, State]
) -> None:
    """Put back what `optimizer_states` gave."""
    for name, parameter in learning.items():
        state = dict(states[name])
        with torch.no_grad():
            parameter.copy_(state.pop("weight"))
        if state:
            # AdamW counts its steps on the CPU, but for the fused kernel.
            fused = optimizer.defaults.get("fused")
            optimizer.state[parameter] = {
                key: value.to(parameter.device) if value.ndim or fused else value.clone()
                for key, value in state.items()
            }


@dataclass(frozen=True)
class StepResult:
    """What a step gave, over all workers."""

    metrics: dict[str, float]
    """`loss`, `language_loss` (mean over the answers' tokens), `attribute_loss`, `balance_loss`, `z_loss`,
    `gradient_norm`, `learning_rate`, and `learning_rate.NAME` for parts of the model with another."""
    tokens: int
    """Tokens without padding."""
    samples: int
    """Samples."""
    expert_choices: Tensor | None
    """See :func:`favchat.training.stage.expert_usage.count_choices`; of this worker alone."""


class Stepper:
    """Takes the steps of a stage.

    A step depends on its number, the weights and the batch alone: rates and random numbers (dropout) follow from the
    number, the worker and the seed. So a run that goes on from a checkpoint needs no state of them.
    """

    def __init__(self, engine: Engine, stage: OptimisationConfig, steps: int, *, seed: int, rank: int = 0):
        self._engine, self._stage, self._steps = engine, stage, steps
        self._seed, self._rank = seed, rank

    def step(self, number: int, batches: Sequence[Batch]) -> StepResult:
        """Take step `number`, counted from 1, on this worker's share of the batch, in `accumulate` parts.

        Every token of an answer counts alike, in whichever worker's share and part it lies.

        Raises:
            NonFiniteLoss: On every worker, where the loss or the gradients of one are not finite; the weights are as
                before the step, but for gradients under DeepSpeed.
        """
        engine = self._engine
        torch.manual_seed(int(np.random.SeedSequence([self._seed, number, self._rank]).generate_state(1)[0]))
        set_rates(engine.optimizer, rate_factor(self._stage, number - 1, self._steps))

        textless = "labels" not in batches[0].inputs
        if textless:  # clips with the labels of their attributes
            labelled = [float(len(batch.clip_ids)) for batch in batches]
        else:  # the first position has nothing before it that could predict it
            labelled = [_labelled(batch.inputs) for batch in batches]
        samples, tokens = sum(len(batch.clip_ids) for batch in batches), sum(batch.tokens for batch in batches)
        counts = torch.tensor([sum(labelled), tokens, samples, 1], dtype=torch.float64, device=engine.device)
        all_labelled, all_tokens, all_samples, workers = all_reduce_sum(counts).tolist()

        losses = []
        choices: Tensor | int = 0
        for index, (batch, count) in enumerate(zip(batches, labelled, strict=True)):
            output = engine.forward({name: to_device(value, engine.device) for name, value in batch.inputs.items()})
            main = output.attribute_loss if textless else output.language_loss
            # Without an answer the mean over its tokens is none.
            language = main if count else 0 * output.logits.sum()
            router = output.loss - main if count else 0 * output.logits.sum()
            share, parts = count / max(1.0, all_labelled), len(batches) * workers
            # Engines take the mean over workers and parts; what counts is the sum over tokens.
            engine.backward(language * share * parts + router, last=index == len(batches) - 1)
            aside = [
                torch.zeros_like(language) if loss is None else loss
                for loss in (output.balance_loss, output.z_loss, output.attribute_loss)
            ]
            losses.append(torch.stack([language * share, *(loss / parts for loss in (router, *aside))]).detach())
            if output.router_logits:
                choices = choices + count_choices(output.router_logits, engine.module.config.adapter_config)

        mine = torch.stack(losses).double()  # (parts, 5)
        sums = all_reduce_sum(mine.sum(dim=0))
        if not sums.isfinite().all():
            bad = [batch for batch, row in zip(batches, mine, strict=True) if not row.isfinite().all()]
            raise _non_finite(number, "the loss", sums[:2].sum().item(), bad)
        norm = engine.update()
        if not np.isfinite(norm):
            raise _non_finite(number, "the norm of the gradients", norm, batches)
        main_loss, router_loss, balance_loss, z_loss, attribute_loss = sums.tolist()
        taught = {"attribute_loss": attribute_loss} if "attribute_labels" in batches[0].inputs else {}
        metrics = {
            "loss": main_loss + router_loss,
            **taught,
            **({} if textless else {"language_loss": main_loss}),
            "balance_loss": balance_loss,
            "z_loss": z_loss,
            "gradient_norm": norm,
        }
        metrics |= {group[RATE]: group["lr"] for group in engine.optimizer.param_groups}
        return StepResult(metrics, int(all_tokens), int(all_samples), choices if isinstance(choices, Tensor) else None)


def _labelled(inputs: Mapping[str, Any]) -> float:
    """How much a batch has to teach: its labels, or what they count for."""
    if "label_weights" in inputs:
        return float(inputs["label_weights"][:, 1:].sum())
    return float((inputs["labels"][:, 1:] != -100).sum())


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of every worker's values, in place; without workers the values."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(values)
    return values


def all_gather_objects(value: Any) -> list[Any]:
    """The small objects of all workers, by rank."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def to_device(value: Any, device: torch.device) -> Any:
    """Bring a tensor, or tensors in a list, to a device; leave everything else."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, list | tuple):
        return type(value)(to_device(item, device) for item in value)
    return value


def _non_finite(number: int, what: str, value: float, batches: Sequence[Batch]) -> NonFiniteLossError:
    """The error with the clips of all workers' batches; every worker must ask for it."""
    clips = [clip for ids in all_gather_objects([clip for batch in batches for clip in batch.clip_ids]) for clip in ids]
    return NonFiniteLossError(
        f"step {number}: {what} is {value}; the clips of the batch are {', '.join(dict.fromkeys(clips))}. Look at them "
        "(favchat inspect), or lower learning_rate if it was rising before"
    )
