"""What learns, and how fast: plain PyTorch, without Ray or DeepSpeed."""

from __future__ import annotations

import math
import re

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from favchat.config import ConfigError, StageConfig


def set_trainable(model: nn.Module, prefixes: list[str]) -> list[str]:
    """Freeze the model but for the named modules below `model.model`, such as `adapter` or `language_model.layers.29`.

    `lora` names the low-rank updates, which the model must have (:func:`favchat.model.lora.add_lora`). What is frozen
    goes to evaluation mode, so that its batch statistics and dropout rest too.

    Returns:
        Names of the parameters that learn.

    Raises:
        ConfigError: A name is no module of the model.
    """
    model.eval()
    model.requires_grad_(False)
    inner = model.get_submodule("model")
    names = []
    for prefix in prefixes:
        if prefix == "lora":
            for name, module in model.named_modules():
                if re.search(r"\.lora_\w+$", name):
                    module.train().requires_grad_(True)
            names += [name for name, _ in model.named_parameters() if ".lora_" in name]
            continue
        try:
            part = inner.get_submodule(prefix)
        except AttributeError as error:
            parts = ", ".join(name for name, _ in inner.named_children())
            raise ConfigError(
                f"training.stages: trainable '{prefix}' is no part of the model; its parts are {parts}"
            ) from error
        part.train().requires_grad_(True)
        names += [f"model.{prefix}.{name}" for name, _ in part.named_parameters()]
    return names


def make_optimizer(model: nn.Module, stage: StageConfig) -> AdamW:
    """AdamW over what learns; vectors (norms, biases) are not decayed."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": stage.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=stage.learning_rate)


def make_schedule(optimizer: AdamW, stage: StageConfig) -> LambdaLR:
    """Linear warm-up, then a cosine down to a tenth of the peak."""
    warmup = max(1, round(stage.warmup * stage.steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, stage.steps - warmup)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done)))

    return LambdaLR(optimizer, factor)
