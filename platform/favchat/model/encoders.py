"""Features out of any encoder: one grid of tokens a frame, one grid a face level.

Shapes: N images, C channels, P tokens of a transformer, S side of the token grid, h and w sides of a feature map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from transformers import AutoModel, PreTrainedConfig, SwinModel

from favchat.model.face_pyramid import FacePyramidConfig, FacePyramidModel

CPU_IMAGES = 4
"""Images that the general encoder sees at once on a CPU."""


@dataclass(frozen=True)
class FeatureSize:
    """What an encoder gives at one depth, before pooling.

    Attributes:
        channels: C, of all maps of that depth together.
        sides: (h, w) of each map: one, or two for the face pyramid with its two trunks.
    """

    channels: int
    sides: tuple[tuple[int, int], ...]


def vision_features(encoder: nn.Module, pixel_values: Tensor, grid: int) -> Tensor:
    """The general encoder's last hidden state as tokens, `(N, grid * grid, C)`."""
    return pool(vision_map(encoder, pixel_values), grid)


def face_features(
    encoder: nn.Module, pixel_values: Tensor, grid: int, levels: Sequence[int] | None = None, *, mirror: bool = False
) -> list[Tensor]:
    """The face encoder's levels as tokens, each `(N, grid * grid, C)`, shallow to deep.

    A level that has several maps joins their channels.

    Args:
        encoder: Any transformers vision model with hidden states, or the face pyramid.
        pixel_values: `(N, 3, s, s)`, normalised as the encoder expects.
        grid: S.
        levels: Which levels, see :func:`face_maps`.
        mirror: Whether to give the mean of the features of the image and of its mirror image, cell by cell: a mirrored
            face is a face in the same place, so that what a channel looks for in a cell lies there again. Left and
            right are then one. Face recognition is evaluated so (ArcFace, arXiv 1801.07698, joins both).

    Raises:
        ValueError: A level does not exist.
    """
    features = [
        torch.cat([pool(level_map, grid) for level_map in maps], dim=-1)
        for maps in face_maps(encoder, pixel_values, levels)
    ]
    if not mirror:
        return features
    mirrored = face_features(encoder, pixel_values.flip(-1), grid, levels)
    return [(one + other) / 2 for one, other in zip(features, mirrored, strict=True)]


def vision_map(encoder: nn.Module, pixel_values: Tensor) -> Tensor:
    """The general encoder's last hidden state as a map, `(N, C, h, w)`.

    On a CPU a few images go in at a time, as the maps of many do not fit its caches; not in training mode, where an
    encoder may need the statistics of the whole batch. benchmarks/encoders.py measures it.
    """
    # Channels last: convolutions take less time, patches the same.
    images = pixel_values.contiguous(memory_format=torch.channels_last)
    batches = images.split(CPU_IMAGES) if images.is_cpu and not encoder.training else (images,)
    states = torch.cat([encoder(batch).last_hidden_state for batch in batches])
    return to_map(states, pixel_values.shape[-2:], _patch_size(encoder))


def face_maps(
    encoder: nn.Module, pixel_values: Tensor, levels: Sequence[int] | None = None
) -> list[tuple[Tensor, ...]]:
    """The face encoder's levels as maps `(N, C, h, w)`, shallow to deep.

    A level of the face pyramid has two maps, one of either trunk. Of a Swin the levels are its stages, each before
    patches are merged, where FaceXFormer taps it too (arXiv 2403.12960). Of any other encoder they are its hidden
    states without the embeddings; class and register tokens are left out.

    Args:
        encoder: Any transformers vision model with hidden states, or the face pyramid.
        pixel_values: `(N, 3, s, s)`, normalised as the encoder expects.
        levels: Indices of levels, negative from the end; all by default.

    Raises:
        ValueError: A level does not exist.
    """
    maps: list[tuple[Tensor, ...]]
    if isinstance(encoder, FacePyramidModel):
        states = encoder(pixel_values).hidden_states  # one trunk's, then the other's
        maps = list(zip(states[: len(states) // 2], states[len(states) // 2 :], strict=True))
    elif isinstance(encoder, SwinModel):
        output = encoder(pixel_values, output_hidden_states=True, output_hidden_states_before_downsampling=True)
        maps = [(state,) for state in output.reshaped_hidden_states[1:]]
    else:
        states = encoder(pixel_values, output_hidden_states=True).hidden_states[1:]
        patch = _patch_size(encoder)
        maps = [(to_map(state, pixel_values.shape[-2:], patch),) for state in states]
    if levels is None:
        return maps
    missing = [level for level in levels if not -len(maps) <= level < len(maps)]
    if missing:
        raise ValueError(f"level {missing[0]} of the face encoder does not exist: it has levels 0 to {len(maps) - 1}")
    return [maps[level] for level in levels]


def to_map(hidden_state: Tensor, image: Sequence[int], patch: tuple[int, int] | None) -> Tensor:
    """Bring a hidden state to the layout of an image, `(N, C, h, w)`.

    A convolutional map stays as it is. Of a transformer's `(N, P, C)` the last tokens are the patches, row by row;
    class and register tokens stand before them. A hierarchical one has a quarter of the patches after each merging.

    Args:
        hidden_state: `(N, C, h, w)` or `(N, P, C)`.
        image: Height and width of the encoder's input in pixels.
        patch: Height and width of a patch in pixels; by default the largest square number of tokens is the patches.
    """
    if hidden_state.ndim == 4:
        return hidden_state
    tokens = hidden_state.shape[1]
    if patch is None:
        height = width = math.isqrt(tokens)
    else:
        height, width = image[0] // patch[0], image[1] // patch[1]
        while height * width > tokens:
            height, width = -(-height // 2), -(-width // 2)
    return hidden_state[:, tokens - height * width :].transpose(1, 2).unflatten(2, (height, width))


def pool(feature_map: Tensor, grid: int) -> Tensor:
    """Average a map `(N, C, h, w)` into `grid` x `grid` tokens: `(N, grid * grid, C)`."""
    return adaptive_avg_pool2d(feature_map, grid).flatten(2).transpose(1, 2)


def vision_size(config: PreTrainedConfig, image_size: int) -> FeatureSize:
    """What the general encoder of a configuration gives, without making its weights.

    Args:
        config: Any vision model's.
        image_size: Side of its input in pixels.

    Raises:
        ValueError: The model cannot take images of that size.
    """
    return _size((_on_meta(config, image_size, vision_map),))


def face_level_sizes(
    config: PreTrainedConfig, image_size: int | None = None, levels: Sequence[int] | None = None
) -> list[FeatureSize]:
    """What each level of the face encoder of a configuration gives, without making its weights.

    Args:
        config: Any vision model's, or the face pyramid's.
        image_size: Side of its input in pixels; by default that of the configuration.
        levels: Which levels, see :func:`face_maps`.

    Raises:
        ValueError: The model cannot take images of that size, or a level does not exist.
    """
    side = image_size or face_input_size(config)
    return [_size(maps) for maps in _on_meta(config, side, lambda encoder, x: face_maps(encoder, x, levels))]


def face_input_size(config: PreTrainedConfig) -> int:
    """Side in pixels of the images that a face encoder expects; the face pyramid takes any and gets the crops' 160."""
    if isinstance(config, FacePyramidConfig):
        return 160
    side = getattr(config, "image_size", None) or 224
    return side if isinstance(side, int) else side[0]


def _size(maps: tuple[Tensor, ...]) -> FeatureSize:
    return FeatureSize(sum(one.shape[1] for one in maps), tuple((one.shape[2], one.shape[3]) for one in maps))


def _on_meta(config: PreTrainedConfig, side: int, run: Any) -> Any:
    """Run a model on the meta device: shapes come out, no memory and no time goes in."""
    with torch.device("meta"), torch.no_grad():
        encoder = AutoModel.from_config(config).eval()
        try:
            return run(encoder, torch.empty(1, 3, side, side))
        except (AttributeError, RuntimeError, TypeError) as error:
            raise ValueError(
                f"a {config.model_type} model gives no hidden states for images of {side}x{side} pixels: {error}"
            ) from error


def _patch_size(encoder: nn.Module) -> tuple[int, int] | None:
    patch = getattr(encoder.config, "patch_size", None)
    if patch is None:
        return None
    return (patch, patch) if isinstance(patch, int) else (patch[0], patch[1])
