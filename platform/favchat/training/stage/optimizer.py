"""Trainable parameters, optimiser and learning-rate schedule: plain PyTorch, without Ray or DeepSpeed."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.optim import AdamW

from favchat.config import ConfigError, OptimisationConfig

LORA = "lora"
"""Stands for the low-rank updates of the language model among what learns."""
PEAK = "peak"
"""Key of an optimiser's parameter group: its peak learning rate."""
RATE = "rate_name"
"""Key of an optimiser's parameter group: what its learning rate is called among the metrics."""


def set_trainable(model: nn.Module, patterns: list[str]) -> list[str]:
    """Freeze the model except for some modules below `model.model`.

    Frozen modules are put into evaluation mode, so that their batch statistics stay fixed and dropout is off.

    Args:
        model: The whole model.
        patterns: Names such as `adapter`, or patterns such as `language_model.layers.2[0-9].mlp`; `lora` for the
            LoRA parameters, which the model must have.

    Returns:
        Names of the trainable parameters.

    Raises:
        ConfigError: A pattern matches no module of the model.
    """
    model.eval()
    model.requires_grad_(False)
    modules = dict(model.get_submodule("model").named_modules())
    for pattern in patterns:
        wanted = f"*.{LORA}_*" if pattern == LORA else pattern
        chosen = [module for name, module in modules.items() if name and fnmatchcase(name, wanted)]
        if not chosen:
            parts = ", ".join(name for name, _ in model.get_submodule("model").named_children())
            raise ConfigError(f"training.stages: trainable '{pattern}' is no part of the model; its parts are {parts}")
        for module in chosen:
            module.train().requires_grad_(True)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def make_optimizer(model: nn.Module, stage: OptimisationConfig) -> AdamW:
    """AdamW over the trainable parameters, grouped by learning rate and decay; vectors (norms, biases) have no decay.

    On a GPU the fused kernel is used.

    Raises:
        ConfigError: A name of `learning_rates` matches no trainable parameter.
    """
    groups: dict[tuple[str | None, float], list[nn.Parameter]] = {}
    unused = set(stage.learning_rates)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = _rate_name(name, stage.learning_rates)
        unused.discard(part or "")
        decay = stage.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((part, decay), []).append(parameter)
    if unused:
        raise ConfigError(f"training.stages: learning_rates names {', '.join(sorted(unused))}, where nothing learns")
    on_gpu = all(parameter.is_cuda for group in groups.values() for parameter in group)
    return AdamW(
        [
            {
                "params": group,
                "weight_decay": decay,
                PEAK: stage.learning_rates[part] if part else stage.learning_rate,
                RATE: f"learning_rate.{part}" if part else "learning_rate",
            }
            for (part, decay), group in groups.items()
        ],
        lr=stage.learning_rate,
        fused=on_gpu or None,
    )


def rate_factor(stage: OptimisationConfig, step: int, steps: int) -> float:
    """Learning rate at a step as a fraction of its peak.

    It depends on the step only, so that checkpoints need no scheduler state.

    Args:
        stage: Its schedule, warm-up and final fraction.
        step: Counted from 0.
        steps: Total number of steps of the stage.
    """
    warmup = max(1, round(stage.warmup * steps))
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    left = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[stage.schedule]
    return stage.final_rate + (1 - stage.final_rate) * left


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of every group to its peak times a factor."""
    for group in optimizer.param_groups:
        group["lr"] = group[PEAK] * factor


def _rate_name(parameter: str, rates: dict[str, float]) -> str | None:
    """The longest name of `rates` that is a prefix of the parameter's; LoRA parameters match `lora` only."""
    if f".{LORA}_" in parameter:
        return LORA if LORA in rates else None
    inner = parameter.removeprefix("model.")
    fitting = [name for name in rates if inner == name or inner.startswith(f"{name}.")]
    return max(fitting, key=len, default=None)
