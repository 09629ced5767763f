"""Features out of any encoder: one grid of tokens a frame, one grid a face level.

Shapes: N images, C channels, P tokens of a ViT, S side of the token grid.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from favchat.model.face_pyramid import FacePyramidModel


def to_map(hidden_state: Tensor) -> Tensor:
    """Bring a hidden state to the layout of an image, `(N, C, h, w)`.

    A convolutional map stays as it is. Of a ViT's `(N, P, C)` the last square number of tokens is the patch grid:
    CLS and
    register tokens stand before it.
    """
    if hidden_state.ndim == 4:
        return hidden_state
    side = math.isqrt(hidden_state.shape[1])
    return hidden_state[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))


def pool(hidden_state: Tensor, grid: int) -> Tensor:
    """Average a hidden state into `grid` x `grid` tokens: `(N, grid * grid, C)`."""
    return adaptive_avg_pool2d(to_map(hidden_state), grid).flatten(2).transpose(1, 2)


def vision_features(encoder: nn.Module, pixel_values: Tensor, grid: int) -> Tensor:
    """The general encoder's last hidden state as tokens, `(N, grid * grid, C)`."""
    return pool(encoder(pixel_values).last_hidden_state, grid)


def face_features(encoder: nn.Module, pixel_values: Tensor, grid: int, levels: list[int] | None) -> list[Tensor]:
    """The face encoder's levels as tokens, each `(N, grid * grid, C)`, shallow to deep.

    A level of the face pyramid joins the maps that its two trunks have at that depth; of any other encoder the
    levels are its
    hidden states without the embeddings.
    """
    if isinstance(encoder, FacePyramidModel):
        output = encoder(pixel_values)
        pairs = zip(output.expression_states, output.identity_states, strict=True)
        tokens = [torch.cat([pool(expression, grid), pool(identity, grid)], dim=-1) for expression, identity in pairs]
    else:
        tokens = [pool(state, grid) for state in encoder(pixel_values, output_hidden_states=True).hidden_states[1:]]
    return tokens if levels is None else [tokens[level] for level in levels]
