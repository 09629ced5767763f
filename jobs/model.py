"""Describe a configuration's model and its memory, without building it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from torch import nn

from favchat.config import Config, LoraConfig, StageConfig
from favchat.model import FaVChatForConditionalGeneration
from favchat.model.build import architecture, on_meta
from favchat.model.encoders import face_input_size, face_level_sizes, vision_size
from favchat.model.lora import add_lora, has_lora
from favchat.training.stage.optimizer import set_trainable

GPUS = (1, 2, 4, 8, 16, 32, 64)
WEIGHT_BYTES = 2
GRADIENT_BYTES = 2
OPTIMIZER_BYTES = 12


@dataclass(frozen=True)
class Part:
    """One part of the model.

    Attributes:
        name: As in ``training.stages[].trainable``.
        kind: Name of its class.
        source: Where its weights come from.
        parameters: How many it has.
        does: What goes in and what comes out.
    """

    name: str
    kind: str
    source: str
    parameters: int
    does: str


@dataclass(frozen=True)
class Memory:
    """Bytes on each GPU, without activations, buffers and fragmentation."""

    weights: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """Sum of all three."""
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class ModelCard:
    """What :func:`describe` finds.

    Attributes:
        parts: Encoders, adapter, language model.
        parameters: Of the whole model, shared ones once.
        trainable: For each stage of training its name and how many parameters learn.
        frames: Frames of a clip that the model sees.
        general_tokens: Tokens a frame of the general stream.
        face_tokens: Tokens a frame of the face stream.
    """

    parts: tuple[Part, ...]
    parameters: int
    trainable: tuple[tuple[str, int], ...]
    frames: int
    general_tokens: int
    face_tokens: int

    @property
    def tokens_per_clip(self) -> int:
        """Visual tokens that a clip takes in the prompt."""
        return self.frames * (self.general_tokens + self.face_tokens)

    def memory(self, trainable: int, gpus: int) -> Memory:
        """See :func:`zero3_memory`."""
        return zero3_memory(self.parameters, trainable, gpus)

    def show(self, console: Console) -> None:
        """Print the tables."""
        parts = Table("part", "class", "weights", "parameters", "what it does", title="Parts")
        for part in self.parts:
            parts.add_row(part.name, part.kind, part.source, f"{part.parameters:,}", part.does)
        parts.add_row("whole model", "", "", f"{self.parameters:,}", "shared parameters counted once")
        console.print(parts)
        console.print(
            f"A clip takes {self.tokens_per_clip:,} tokens: {self.frames} frames of {self.general_tokens} general "
            f"and {self.face_tokens} face tokens.\n"
        )
        if not self.trainable:
            console.print("No stages of training are set, so there is no memory to tell.")
            return
        most = max(self.memory(trainable, GPUS[0]).total for _, trainable in self.trainable)
        unit, size = ("GiB", 2**30) if most >= 2**30 else ("MiB", 2**20)
        memory = Table(
            "stage", "trainable", "GPUs", "weights", "gradients", "optimiser", f"{unit} a GPU",
            title=f"bf16 and ZeRO-3: {unit} on each GPU, activations not counted",
        )  # fmt: skip
        for name, trainable in self.trainable:
            for gpus in GPUS:
                need = self.memory(trainable, gpus)
                first = (name, f"{trainable:,}") if gpus == GPUS[0] else ("", "")
                cells = (need.weights, need.gradients, need.optimizer, need.total)
                memory.add_row(*first, str(gpus), *(f"{value / size:.2f}" for value in cells))
            memory.add_section()
        console.print(memory)


def zero3_memory(parameters: int, trainable: int, gpus: int) -> Memory:
    """Bytes on each GPU of mixed-precision training with AdamW under ZeRO stage 3.

    Section 3.1 and figure 1 of ZeRO (arXiv 1910.02054): 2 bytes a parameter for 16-bit weights, 2 for 16-bit gradients
    and K = 12 for the optimiser's 32-bit weights, momentum and variance, each divided by the number of GPUs. Frozen
    parameters have weights alone.

    Args:
        parameters: Of the whole model.
        trainable: Those of them that learn.
        gpus: Data-parallel workers, one GPU each.
    """
    return Memory(
        weights=WEIGHT_BYTES * parameters / gpus,
        gradients=GRADIENT_BYTES * trainable / gpus,
        optimizer=OPTIMIZER_BYTES * trainable / gpus,
    )


def describe(config: Config) -> ModelCard:
    """Look at the model of a configuration on the meta device: no weights, no hub where the settings hold ``config``.

    Raises:
        ConfigError: A backbone is unknown or does not fit; the message names its setting.
        AssetError: An embedded default that the settings do not describe cannot be fetched.
    """
    settings = config.model
    composed = architecture(settings)
    model = on_meta(composed)
    vision = vision_size(composed.vision_config, settings.image_size)
    levels = face_level_sizes(composed.face_config, levels=settings.adapter.face_levels)
    adapter = composed.adapter_config
    does = {
        "vision_model": f"{_square(settings.image_size)} pixels to {_square(*vision.sides[0])} of {vision.channels}",
        "face_model": f"{_square(face_input_size(composed.face_config))} pixels to levels of "
        + ", ".join(str(level.channels) for level in levels),
        "adapter": f"{adapter.num_hidden_layers} x {adapter.num_experts} experts, top-{adapter.num_experts_per_tok}, "
        f"width {adapter.hidden_size}",
        "language_model": f"{composed.text_config.num_hidden_layers} layers of {composed.text_config.hidden_size}",
    }
    slots = {"vision_model": settings.vision, "face_model": settings.face, "language_model": settings.text}
    parts = tuple(
        Part(
            name=name,
            kind=type(model.model.get_submodule(name)).__name__,
            source=(slots[name].pretrained or "random") if name in slots else "new",
            parameters=count(model.model.get_submodule(name)),
            does=text,
        )
        for name, text in does.items()
        if getattr(model.model, name) is not None
    )
    return ModelCard(
        parts=parts,
        parameters=count(model),
        trainable=tuple((stage.name, _learning(model, stage, settings.lora)) for stage in config.training.stages),
        frames=settings.num_frames,
        general_tokens=settings.adapter.vision_grid**2,
        face_tokens=settings.adapter.face_grid**2,
    )


def run(config: Config, *, say: Callable[[str], None] = print) -> ModelCard:
    """Describe the model and print the tables.

    Args:
        config: The whole configuration.
        say: Gets the text.

    Raises:
        ConfigError: As :func:`describe`.
        AssetError: As :func:`describe`.
    """
    card = describe(config)
    console = Console(width=130, highlight=False)
    with console.capture() as captured:
        card.show(console)
    say(captured.get().rstrip())
    return card


def count(module: nn.Module) -> int:
    """Parameters of a module, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def _learning(model: FaVChatForConditionalGeneration, stage: StageConfig, lora: LoraConfig) -> int:
    if "lora" in stage.trainable and not has_lora(model):
        add_lora(model, lora)
    set_trainable(model, stage.trainable)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _square(height: int, width: int | None = None) -> str:
    return f"{height}x{width or height}"
