"""Low-rank updates of the language model through peft, and a language model in 4 or 8 bits.

The updates stay apart from the weights: `save_pretrained` writes the model as it is without them, and beside it peft's
`adapter_config.json` and `adapter_model.safetensors`. `from_pretrained` puts both together again.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from favchat.config import ConfigError, LoraConfig

if TYPE_CHECKING:
    from favchat.model.modeling_favchat import FaVChatForConditionalGeneration

PART = "model.language_model"
"""Where the updated layers lie."""


def has_lora(model: nn.Module) -> bool:
    """Whether a model has low-rank updates."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


def add_lora(model: FaVChatForConditionalGeneration, settings: LoraConfig) -> None:
    """Give the language model's linear layers low-rank updates, which are zero at the start.

    Freezes everything else, as peft does; see :func:`favchat.training.stage.optimizer.set_trainable`.

    Args:
        model: A model without updates.
        settings: The ``model.lora`` section.

    Raises:
        ConfigError: The language model has no such layer.
    """
    # peft takes a second to import.
    from peft import LoraConfig as PeftLoraConfig

    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in model.get_submodule(PART).named_modules()
        if isinstance(module, nn.Linear)
    }
    unknown = [target for target in settings.targets if target not in linear]
    if unknown:
        raise ConfigError(
            f"model.lora.targets: the language model has no linear layer '{unknown[0]}'; it has "
            f"{', '.join(sorted(linear))}"
        )
    names = "|".join(re.escape(target) for target in settings.targets)
    model.add_adapter(
        PeftLoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft says int, and only divides it
            lora_dropout=settings.dropout,
            # The encoders have layers of these names too.
            target_modules=rf"{re.escape(PART)}\..*\.({names})",
        )
    )


def merge_lora(model: FaVChatForConditionalGeneration, precision: torch.dtype | None = None) -> None:
    """Add the low-rank updates to the weights they belong to, and be rid of them: for export and faster answers.

    Args:
        model: A model with or without updates.
        precision: Of the layers that had updates, which are then added in float32, one layer after the other; by
            default both are taken as they are.

    Raises:
        ConfigError: The language model is quantised.
    """
    if getattr(model, "hf_quantizer", None) is not None:
        raise ConfigError("a language model in 4 or 8 bits cannot take LoRA in; load the model without bits and merge")
    if not has_lora(model):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            if precision is not None:
                module.to(torch.float32)  # type: ignore[attr-defined]  # a mixin of layers, which are modules
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            merged = module.get_base_layer()
            setattr(model.get_submodule(parent), child, merged if precision is None else merged.to(precision))
    model._hf_peft_config_loaded = False
    del model.peft_config


def without_lora(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a model that has low-rank updates, named as in the model without them."""
    return {name.replace(".base_layer.", "."): tensor for name, tensor in state_dict.items() if ".lora_" not in name}


def quantization(bits: Literal[4, 8]) -> BitsAndBytesConfig:
    """How `from_pretrained` loads the language model in few bits; encoders, adapter and head stay as they are.

    Args:
        bits: 4: NormalFloat with double quantisation (QLoRA, arXiv 2305.14314); 8: LLM.int8(), arXiv 2208.07339.

    Raises:
        ConfigError: There is no CUDA GPU or no bitsandbytes.
    """
    if not torch.cuda.is_available():
        raise ConfigError(f"loading a language model in {bits} bits needs a CUDA GPU; there is none here")
    if find_spec("bitsandbytes") is None:
        raise ConfigError(f"loading a language model in {bits} bits needs bitsandbytes: pip install bitsandbytes")
    return BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=list(KEPT_WHOLE),
    )


KEPT_WHOLE = ("model.vision_model", "model.face_model", "model.adapter", "lm_head")
"""Modules that quantisation leaves alone."""
