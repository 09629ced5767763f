"""One optimiser step in plain PyTorch, usable without Ray and DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from favchat.config import OptimisationConfig
from favchat.model import FaVChatForConditionalGeneration
from favchat.training.batches.batch import Batch
from favchat.training.stage.collectives import all_gather_objects, all_reduce_sum
from favchat.training.stage.errors import NonFiniteLossError
from favchat.training.stage.expert_usage import count_choices
from favchat.training.stage.optimizer import RATE, rate_factor, set_rates
from favchat.training.stage.shared_losses import router_shares, video_weights

State = dict[str, Tensor]
"""What an optimiser keeps for one parameter, with `weight`, the parameter itself in float32."""


class Engine(Protocol):
    """Forward, backward and update of a model: plain PyTorch or DeepSpeed."""

    module: FaVChatForConditionalGeneration
    optimizer: torch.optim.Optimizer
    device: torch.device

    def forward(self, inputs: Mapping[str, Any]) -> Any:
        """The model's output."""

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate the gradients of one micro-batch; `last` marks the last one of a step."""

    def update(self) -> float:
        """Clip the mean gradients, step, zero gradients; return the gradient norm before clipping."""

    def states(self) -> Iterator[tuple[str, State]]:
        """Yield each trainable parameter's name and state; a collective call."""

    def restore(self, states: Mapping[str, State]) -> None:
        """Load states that `states` of any engine, with any number of workers, returned."""


class TorchEngine:
    """Plain PyTorch in one process."""

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
        """Accumulate the gradients of one micro-batch."""
        (loss / self._parts).backward()

    def update(self) -> float:
        """Clip gradients, step, zero gradients; return the gradient norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self._learning.values(), self._max_norm).item()
        if np.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def states(self) -> Iterator[tuple[str, State]]:
        """Yield each trainable parameter's name with its weight and AdamW moments."""
        yield from optimizer_states(self.optimizer, self._learning)

    def restore(self, states: Mapping[str, State]) -> None:
        """Load states that `states` returned."""
        restore_optimizer(self.optimizer, self._learning, states)


def optimizer_states(
    optimizer: torch.optim.Optimizer, learning: Mapping[str, nn.Parameter]
) -> Iterator[tuple[str, State]]:
    """States of an optimiser over unpartitioned parameters."""
    for name, parameter in learning.items():
        yield name, {"weight": parameter.detach(), **optimizer.state.get(parameter, {})}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, learning: Mapping[str, nn.Parameter], states: Mapping[str, State]
) -> None:
    """Inverse of `optimizer_states`."""
    for name, parameter in learning.items():
        state = dict(states[name])
        with torch.no_grad():
            parameter.copy_(state.pop("weight"))
        if state:
            # AdamW keeps its step counter on the CPU, except with the fused kernel.
            fused = optimizer.defaults.get("fused")
            optimizer.state[parameter] = {
                key: value.to(parameter.device) if value.ndim or fused else value.clone()
                for key, value in state.items()
            }


@dataclass(frozen=True)
class StepResult:
    """Metrics of a step, over all workers."""

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
    """Runs the optimiser steps of a stage.

    A step depends only on its number, the weights and the batch: learning rates and random numbers (dropout) are
    derived from the number, the rank and the seed. A resumed run thus needs no state of scheduler or random generators.
    """

    def __init__(self, engine: Engine, stage: OptimisationConfig, steps: int, *, seed: int, rank: int = 0):
        self._engine, self._stage, self._steps = engine, stage, steps
        self._seed, self._rank = seed, rank

    def step(self, number: int, batches: Sequence[Batch]) -> StepResult:
        """Run step `number`, counted from 1, on this worker's share of the batch, in `accumulate` micro-batches.

        All answer tokens of the global batch have equal weight, whichever worker and micro-batch they are in, and so
        have its videos. The balance of experts is that of each micro-batch over all workers, and the loss their mean;
        else the loss does not depend on how the batch is divided.

        Raises:
            NonFiniteLossError: On all workers, if loss or gradients of one are not finite; the weights are unchanged,
                except after non-finite gradients under DeepSpeed.
        """
        engine = self._engine
        torch.manual_seed(int(np.random.SeedSequence([self._seed, number, self._rank]).generate_state(1)[0]))
        set_rates(engine.optimizer, rate_factor(self._stage, number - 1, self._steps))

        textless = "labels" not in batches[0].inputs
        if textless:  # a stage on attribute labels only
            labelled = [float(len(batch.clip_ids)) for batch in batches]
        else:  # position t predicts token t + 1, so the first token has no prediction
            labelled = [_labelled(batch.inputs) for batch in batches]
        samples, tokens = sum(len(batch.clip_ids) for batch in batches), sum(batch.tokens for batch in batches)
        counts = torch.tensor([sum(labelled), tokens, samples, 1], dtype=torch.float64, device=engine.device)
        all_labelled, all_tokens, all_samples, workers = all_reduce_sum(counts).tolist()
        parts = len(batches) * workers
        weights = video_weights(batches, engine.device, divided=parts > 1)
        all_videos = all_reduce_sum(torch.stack([weight.sum() for weight in weights]).sum()).item()
        adapter = engine.module.config.adapter_config

        losses = []
        choices: Tensor | int = 0
        for index, (batch, count, weight) in enumerate(zip(batches, labelled, weights, strict=True)):
            inputs = {name: to_device(value, engine.device) for name, value in batch.inputs.items()}
            output = engine.forward(inputs)
            balance, z = router_shares(output.router_logits, weight, adapter, all_videos)
            attributes = torch.zeros((), device=engine.device)
            head = engine.module.model.adapter.attribute_head
            if "attribute_labels" in inputs and head is not None:
                found = head.loss(output.attribute_logits.float(), inputs["attribute_labels"], weight)
                attributes = found * (weight.sum() / all_videos).float()
            # Without answer tokens the mean loss is NaN.
            if textless or not count:  # 0, but of all weights, so that each has a gradient
                language = 0 * (output.attribute_logits if textless else output.logits).sum().float()
            else:
                language = output.language_loss * (count / all_labelled)
            balance = balance / len(batches)  # a mean over micro-batches, of each a sum over workers
            aside = adapter.router_aux_loss_coef * balance + adapter.router_z_loss_coef * z
            aside = aside + adapter.attribute_loss_coef * attributes
            # Engines average over workers and micro-batches; these are shares, which add up.
            engine.backward((language + aside) * parts, last=index == len(batches) - 1)
            losses.append(torch.stack([language, aside, balance, z, attributes]).detach())
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
        language_loss, aside_loss, balance_loss, z_loss, attribute_loss = sums.tolist()
        taught = {"attribute_loss": attribute_loss} if "attribute_labels" in batches[0].inputs else {}
        metrics = {
            "loss": language_loss + aside_loss,
            **taught,
            **({} if textless else {"language_loss": language_loss}),
            "balance_loss": balance_loss,
            "z_loss": z_loss,
            "gradient_norm": norm,
        }
        metrics |= {group[RATE]: group["lr"] for group in engine.optimizer.param_groups}
        return StepResult(metrics, int(all_tokens), int(all_samples), choices if isinstance(choices, Tensor) else None)


def _labelled(inputs: Mapping[str, Any]) -> float:
    """Loss normaliser of a batch: its number of labels, or the sum of their weights."""
    if "label_weights" in inputs:
        return float(inputs["label_weights"][:, 1:].sum())
    return float((inputs["labels"][:, 1:] != -100).sum())


def to_device(value: Any, device: torch.device) -> Any:
    """Move a tensor, or tensors in a list, to a device; return everything else unchanged."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, list | tuple):
        return type(value)(to_device(item, device) for item in value)
    return value


def _non_finite(number: int, what: str, value: float, batches: Sequence[Batch]) -> NonFiniteLossError:
    """The error with the clips of all workers' batches; a collective call."""
    clips = [clip for ids in all_gather_objects([clip for batch in batches for clip in batch.clip_ids]) for clip in ids]
    return NonFiniteLossError(
        f"step {number}: {what} is {value}; the clips of the batch are {', '.join(dict.fromkeys(clips))}. Look at them "
        "(favchat inspect), or lower learning_rate if it was rising before"
    )
