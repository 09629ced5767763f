"""Shallower face levels enter the first decoder layers (DeepStack, arXiv 2406.04334)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def receive_face_levels(decoder: nn.Module, count: int) -> None:
    """Have the first decoder layers add face levels to what they give.

    Afterwards the decoder takes two more keyword arguments: `face_mask` `(B, L)`, where the face tokens stand, and
    `face_level_embeds`, `count` tensors `(..., H)` with a row for each of them. They travel with the layers' keyword
    arguments and not in a module, so that several forwards at once see the right ones.

    Args:
        decoder: A transformers decoder whose layers lie in `layers` and take keyword arguments.
        count: Level k is added after layer k.

    Raises:
        ValueError: The decoder is laid out otherwise, or has fewer layers.
    """
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ValueError(
            f"{type(decoder).__name__} does not keep its decoder layers in `layers`, where face levels are added; "
            "choose another language model"
        )
    if count > len(layers):
        raise ValueError(f"{count} face levels to inject, but the language model has {len(layers)} layers")
    for index in range(count):
        layers[index].register_forward_hook(AddLevel(index), with_kwargs=True)


class AddLevel:
    """A hook of decoder layer `index`; an object, and no function inside another one, so that models can be pickled."""

    def __init__(self, index: int):
        self.index = index

    def __call__(self, _layer: nn.Module, _args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        """Add the level at the face tokens, where there is one."""
        levels = kwargs.get("face_level_embeds")
        if levels is None:
            return None
        hidden = output[0] if isinstance(output, tuple) else output  # (B, L, H)
        level = levels[self.index].flatten(0, -2).to(hidden)  # (all face tokens, H)
        mask = kwargs["face_mask"].unsqueeze(-1).to(hidden.device)
        added = hidden + torch.zeros_like(hidden).masked_scatter(mask, level)
        return (added, *output[1:]) if isinstance(output, tuple) else added
