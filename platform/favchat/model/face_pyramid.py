"""The face encoder: an expression trunk and an identity trunk, each a pyramid of feature maps.

Both are face-api's networks (npm ``@vladmandic/face-api`` 1.7.15, MIT) in PyTorch: the dense depthwise-separable
network of its ``FaceFeatureExtractor.ts``, and the port of dlib's ResNet of its ``FaceRecognitionNet.ts``.

Shapes: N faces, C channels, S side of the face crops in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad, relu
from transformers import PreTrainedConfig, PreTrainedModel, initialization
from transformers.utils import ModelOutput

from favchat.video.descriptor import FACE_WINDOW

TRUNKS_FILE = Path(__file__).parent.parent / "weights" / "face_trunks.safetensors"
"""The converted weights that come with the package."""

STATISTICS_FILE = TRUNKS_FILE.with_name("face_statistics.safetensors")
"""Mean and standard deviation of each channel of their maps over real faces; ``tools/face_statistics.py`` makes it."""

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
"""What the expression logits mean, in order."""

RGB_MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)
"""Subtracted from pixels in 0..1 before either trunk."""

STEM_KERNEL = 7
SMALLEST_IDENTITY_MAP = 3
"""A residual layer that halves its map needs at least this side."""


@strict
class FacePyramidConfig(PreTrainedConfig):
    r"""Sizes of the two trunks; the defaults are those of the published weights.

    Args:
        expression_size (`int`): Side in pixels that the expression trunk sees.
        expression_channels (`list[int]`): Channels of its levels, shallow to deep; each level halves the map.
        identity_size (`int`): Side in pixels that the identity trunk sees.
        identity_channels (`list[int]`): Channels of its levels, shallow to deep and never falling; as many levels
            as the expression trunk has.
        identity_blocks (`list[int]`): Residual layers a level, not counting the one that halves the map.
        descriptor_size (`int`): Length of the identity descriptor.
        window (`list[float]`): Left, top, right and bottom of the part of a crop that the trunks see, as shares of its
            side; the default fits the crops that `favchat.video.align.align_face` makes with its default margin.
    """

    model_type = "favchat_face_pyramid"

    expression_size: int = 112
    expression_channels: list[int] | tuple[int, ...] = (32, 64, 128, 256)
    identity_size: int = 150
    identity_channels: list[int] | tuple[int, ...] = (32, 64, 128, 256)
    identity_blocks: list[int] | tuple[int, ...] = (3, 3, 2, 2)
    descriptor_size: int = 128
    window: list[float] | tuple[float, ...] = FACE_WINDOW
    id2label: dict[int, str] | dict[str, str] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.expression_channels = list(self.expression_channels)
        self.identity_channels = list(self.identity_channels)
        self.identity_blocks = list(self.identity_blocks)
        self.window = list(self.window)
        if self.id2label is None and "num_labels" not in kwargs:
            self.id2label = dict(enumerate(EXPRESSIONS))
            self.label2id = {label: index for index, label in enumerate(EXPRESSIONS)}
        super().__post_init__(**kwargs)

    @property
    def hidden_sizes(self) -> list[int]:
        """Channels of each of the output's `hidden_states`."""
        return [*self.expression_channels, *self.identity_channels]

    def validate_architecture(self) -> None:
        """Part of the validation by `@strict`: refuse sizes that no network can be made of."""
        levels = {len(self.expression_channels), len(self.identity_channels), len(self.identity_blocks)}
        if len(levels) != 1 or levels == {0}:
            raise ValueError(
                "expression_channels, identity_channels and identity_blocks must have one entry a level each"
            )
        left, top, right, bottom = self.window
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"window = {list(self.window)}: left, top, right and bottom are rising shares of the crop")
        if list(self.identity_channels) != sorted(self.identity_channels):
            raise ValueError("identity_channels must not fall: a residual layer can only add channels")
        side = ((self.identity_size - STEM_KERNEL) // 2 + 1 - 3) // 2 + 1
        for _ in self.identity_channels[1:]:
            side //= 2
        if side < SMALLEST_IDENTITY_MAP:
            raise ValueError(
                f"identity_size = {self.identity_size} is too small for {len(self.identity_channels)} levels"
            )


@dataclass
class FacePyramidOutput(ModelOutput):
    """What the face encoder gives; L levels a trunk.

    Attributes:
        hidden_states: `expression_states`, then `identity_states`, each channel standardised by the model's statistics.
        expression_states: L maps `(N, C, h, w)`, shallow to deep; 32@56, 64@28, 128@14, 256@7 with the default sizes.
        identity_states: L maps `(N, C, h, w)`, shallow to deep; 32@35, 64@17, 128@8, 256@2 with the default sizes.
        expression_logits: `(N, 7)`, in the order of `EXPRESSIONS`.
        descriptor: `(N, 128)`; two faces of one person lie about 0.6 or less apart (Euclidean distance).
    """

    hidden_states: tuple[Tensor, ...] | None = None
    expression_states: tuple[Tensor, ...] | None = None
    identity_states: tuple[Tensor, ...] | None = None
    expression_logits: Tensor | None = None
    descriptor: Tensor | None = None


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: with stride 2 the right and the bottom get the odd pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, h, w)` to `(N, C', ceil(h / stride), ceil(w / stride))`."""
        top, bottom = self._padding(x.shape[-2], 0)
        left, right = self._padding(x.shape[-1], 1)
        return super().forward(pad(x, (left, right, top, bottom)))

    def _padding(self, side: int, axis: int) -> tuple[int, int]:
        stride, kernel = self.stride[axis], self.kernel_size[axis]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


class SeparableConv(nn.Sequential):
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.depthwise = SameConv2d(inputs, inputs, 3, stride, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)


class DenseBlock(nn.Module):
    """Four convolutions, each of which sees the sum of all before it; the first halves the map."""

    def __init__(self, inputs: int, outputs: int, *, first: bool):
        super().__init__()
        down = SameConv2d(inputs, outputs, 3, 2) if first else SeparableConv(inputs, outputs, 2)
        self.convs = nn.ModuleList([down, *(SeparableConv(outputs, outputs, 1) for _ in range(3))])

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, h, w)` to `(N, C', ceil(h / 2), ceil(w / 2))`."""
        total = relu(self.convs[0](x))
        for conv in self.convs[1:]:
            total = total + conv(relu(total))
        return relu(total)


class ExpressionTrunk(nn.Module):
    """Dense blocks and a linear classifier of expressions."""

    def __init__(self, config: FacePyramidConfig):
        super().__init__()
        channels = [3, *config.expression_channels]
        self.blocks = nn.ModuleList(
            DenseBlock(inputs, outputs, first=level == 0)
            for level, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False))
        )
        self.classifier = nn.Linear(channels[-1], config.num_labels or len(EXPRESSIONS))

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Map normalised pixels `(N, 3, S, S)` to the levels' maps and the logits `(N, 7)`."""
        states: tuple[Tensor, ...] = ()
        for block in self.blocks:
            x = block(x)
            states += (x,)
        return states, self.classifier(x.mean(dim=(2, 3)))


class ScaledConv(nn.Conv2d):
    """A convolution, then a learnt factor and shift for each channel (dlib's batch norm at inference)."""

    bias: nn.Parameter

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1):
        # The halving ones are unpadded; the others keep the size of the map.
        super().__init__(inputs, outputs, kernel, stride, padding=0 if stride > 1 else kernel // 2)
        self.scale = nn.Parameter(torch.ones(outputs))
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, h, w)` to `(N, C', h', w')`."""
        # Folded into the convolution: two passes over the map less, and still the same four parameters to train.
        return self._conv_forward(x, self.weight * self.scale[:, None, None, None], self.bias * self.scale + self.shift)


class ResidualLayer(nn.Module):
    """Two convolutions around a shortcut; `down` halves the map, and its shortcut is pooled and padded with zeros."""

    def __init__(self, inputs: int, outputs: int, *, down: bool = False):
        super().__init__()
        self.down = down
        self.conv1 = ScaledConv(inputs, outputs, stride=2 if down else 1)
        self.conv2 = ScaledConv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, h, w)` to `(N, C', h, w)`, or to `(N, C', h // 2, w // 2)` if `down`."""
        out = self.conv2(relu(self.conv1(x)))
        if self.down:
            x = avg_pool2d(x, 2)
            # An even side loses one more pixel in the unpadded convolution than in the pooling.
            out = pad(out, (0, x.shape[-1] - out.shape[-1], 0, x.shape[-2] - out.shape[-2]))
            x = pad(x, (0, 0, 0, 0, 0, out.shape[1] - x.shape[1]))
        return relu(out + x)


class IdentityTrunk(nn.Module):
    """dlib's face recognition ResNet: residual levels and a linear descriptor."""

    def __init__(self, config: FacePyramidConfig):
        super().__init__()
        channels, blocks = config.identity_channels, config.identity_blocks
        self.stem = ScaledConv(3, channels[0], STEM_KERNEL, 2)
        self.levels = nn.ModuleList()
        for level, (outputs, count) in enumerate(zip(channels, blocks, strict=True)):
            layers = [ResidualLayer(channels[level - 1], outputs, down=True)] if level > 0 else []
            layers += [ResidualLayer(outputs, outputs) for _ in range(count)]
            if level == len(channels) - 1:  # the deepest level ends with one more halving
                layers.append(ResidualLayer(outputs, outputs, down=True))
            self.levels.append(nn.Sequential(*layers))
        self.projection = nn.Linear(channels[-1], config.descriptor_size, bias=False)

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Map normalised pixels `(N, 3, S, S)` to the levels' maps and the descriptor `(N, 128)`."""
        x = max_pool2d(relu(self.stem(x)), 3, 2)
        states: tuple[Tensor, ...] = ()
        for level in self.levels:
            x = level(x)
            states += (x,)
        return states, self.projection(x.mean(dim=(2, 3)))


class ChannelStandardisation(nn.Module):
    """Channels less their mean, divided by their standard deviation; both are fixed numbers.

    The trunks' maps end in rectifiers without a norm: some channels vary a hundred times as much as others, and means
    that all faces share drown what tells them apart.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, h, w)` to the same shape and precision."""
        return ((x - self.mean[:, None, None]) / self.std[:, None, None]).to(x.dtype)


class FacePyramidModel(PreTrainedModel):
    """Aligned face crops in, feature maps of several depths, expression logits and an identity descriptor out."""

    config_class = FacePyramidConfig
    config: FacePyramidConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: FacePyramidConfig):
        super().__init__(config)
        self.expression = ExpressionTrunk(config)
        self.identity = IdentityTrunk(config)
        self.standardisations = nn.ModuleList(map(ChannelStandardisation, config.hidden_sizes))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            initialization.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, ScaledConv):
            initialization.ones_(module.scale)
            initialization.zeros_(module.shift)
        if isinstance(module, ChannelStandardisation):
            initialization.zeros_(module.mean)
            initialization.ones_(module.std)

    def forward(self, pixel_values: Tensor, output_hidden_states: bool | None = None) -> FacePyramidOutput:
        """Encode face crops.

        Args:
            pixel_values: `(N, 3, S, S)`, RGB in 0..1, any S; the configuration's window of them is resized to either
                trunk's own size (antialiased bilinear).
            output_hidden_states: Accepted as by any vision model; the maps are always returned.

        Returns:
            Maps, logits and descriptors in the precision of the weights.
        """
        pixels = self._cut(pixel_values)
        expression_states, logits = self.expression(self._prepare(pixels, self.config.expression_size))
        identity_states, descriptor = self.identity(self._prepare(pixels, self.config.identity_size))
        states = expression_states + identity_states
        return FacePyramidOutput(
            hidden_states=tuple(
                standardise(state) for standardise, state in zip(self.standardisations, states, strict=True)
            ),
            expression_states=expression_states,
            identity_states=identity_states,
            expression_logits=logits,
            descriptor=descriptor,
        )

    def _cut(self, pixel_values: Tensor) -> Tensor:
        height, width = pixel_values.shape[-2:]
        left, top, right, bottom = self.config.window
        return pixel_values[
            ..., round(top * height) : round(bottom * height), round(left * width) : round(right * width)
        ]

    def _prepare(self, pixel_values: Tensor, side: int) -> Tensor:
        pixels = pixel_values.float()  # on CPU the antialiased resize knows no bfloat16
        if pixels.shape[-2:] != (side, side):
            pixels = interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        pixels = (pixels - pixels.new_tensor(RGB_MEAN)[:, None, None]).to(self.dtype)
        # Channels last, and so all maps after it: the depthwise convolutions take half the time on a CPU.
        return pixels.contiguous(memory_format=torch.channels_last)

    @classmethod
    def from_trunks(cls, path: Path = TRUNKS_FILE, statistics: Path = STATISTICS_FILE) -> FacePyramidModel:
        """Load the published weights that come with the package, dequantised to float32.

        Args:
            path: What ``tools/convert_face_trunks.py`` wrote.
            statistics: What ``tools/face_statistics.py`` wrote.

        Returns:
            The model in evaluation mode, its parameters trainable.
        """
        stored = load_file(path)
        model = cls(FacePyramidConfig())
        model.load_state_dict(
            {
                _parameter_name(name): _to_torch_layout(name, _dequantise(stored, name))
                for name in stored
                if not name.endswith((".scale", ".min"))
            }
            | load_file(statistics),
            strict=True,
        )
        return model.eval()


def _dequantise(stored: dict[str, Tensor], name: str) -> Tensor:
    tensor = stored[name]
    if tensor.dtype != torch.uint8:
        return tensor
    return (tensor.double() * stored[f"{name}.scale"] + stored[f"{name}.min"]).float()


def _to_torch_layout(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim == 2:  # (in, out)
        return tensor.T.contiguous()
    if name.endswith("depthwise_filter"):  # (h, w, channel, 1)
        return tensor.permute(2, 3, 0, 1).contiguous()
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor  # (h, w, in, out)


def _parameter_name(name: str) -> str:
    """Translate face-api's name of a tensor to ours.

    ``expression.dense1.conv2.pointwise_filter`` is ``expression.blocks.1.convs.2.pointwise.weight``, and
    ``identity.conv64_2.conv1.scale.biases`` is ``identity.levels.1.2.conv1.shift``.
    """
    trunk, layer, *rest = name.split(".")
    if trunk == "expression":
        if layer == "fc":
            return "expression.classifier." + {"weights": "weight", "bias": "bias"}[rest[0]]
        block, conv = layer.removeprefix("dense"), rest[0].removeprefix("conv")
        prefix = f"expression.blocks.{block}.convs.{conv}"
        if block == conv == "0":  # the only convolution that is not separable
            return f"{prefix}.{'weight' if rest[1] == 'filters' else 'bias'}"
        return (
            prefix
            + {
                "depthwise_filter": ".depthwise.weight",
                "pointwise_filter": ".pointwise.weight",
                "bias": ".pointwise.bias",
            }[rest[1]]
        )
    if layer == "fc":
        return "identity.projection.weight"
    leaf = {
        "conv.filters": "weight",
        "conv.bias": "bias",
        "scale.weights": "scale",
        "scale.biases": "shift",
    }[".".join(rest[-2:])]
    if layer == "conv32_down":
        return f"identity.stem.{leaf}"
    channels, _, place = layer.removeprefix("conv").partition("_")
    level = ("32", "64", "128", "256").index(channels)
    # Level 0 has no halving layer before its residual layers 1 to 3; on the others that one is number 0.
    position = {"down": 0, "down_out": 3}.get(place, int(place) - (level == 0) if place.isdigit() else 0)
    return f"identity.levels.{level}.{position}.{rest[0]}.{leaf}"
