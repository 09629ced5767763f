"""Load a trained model by any of its names."""

from __future__ import annotations

from typing import Any, Literal

from favchat.errors import ConfigError
from favchat.hub.names import resolve_model
from favchat.model import FaVChatForConditionalGeneration, FaVChatProcessor
from favchat.model.encoders_alone import FaVChatEncoders
from favchat.model.lora import quantization


def load(name: str, *, bits: Literal[4, 8] | None = None) -> tuple[FaVChatForConditionalGeneration, FaVChatProcessor]:
    """Load a trained model and its processor, in the precision it was saved in.

    Args:
        name: A directory that `save_pretrained` wrote, a hub name, or ``models:/NAME@ALIAS`` or
            ``models:/NAME/VERSION`` for a registered model. LoRA that lies beside the weights is loaded too.
        bits: Load the language model in 4 or 8 bits, onto the GPU; see :func:`favchat.model.lora.quantization`.

    Raises:
        ConfigError: There is no FaVChat model, or one of another version.
    """
    few_bits = {"quantization_config": quantization(bits), "device_map": {"": 0}} if bits else {}
    return _loaded(FaVChatForConditionalGeneration, name, **few_bits)


def load_encoders(name: str) -> tuple[FaVChatEncoders, FaVChatProcessor]:
    """Load the encoders of a trained model as :func:`load` would, and its processor; nothing else of it is read.

    Raises:
        ConfigError: As :func:`load`.
    """
    return _loaded(FaVChatEncoders, name)


def _loaded(kind: Any, name: str, **settings: Any) -> tuple[Any, FaVChatProcessor]:
    name = resolve_model(name)
    try:
        model, report = kind.from_pretrained(name, output_loading_info=True, **settings)
        processor = FaVChatProcessor.from_pretrained(name)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{name}: cannot be loaded: {error}") from error
    if report["missing_keys"]:
        raise ConfigError(
            f"{name}: its weights are not those of this version's model: {min(report['missing_keys'])} and "
            f"{len(report['missing_keys']) - 1} more are missing. Train it again."
        )
    return model.eval(), processor
