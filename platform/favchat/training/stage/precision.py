"""Precision, attention kernels, activation checkpointing and compilation of a stage on its machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import is_flash_attn_2_available

from favchat.config import ConfigError, OptimisationConfig, StageConfig, TrainingConfig
from favchat.model.face_pyramid import ChannelStandardisation
from favchat.training.stage import packed_attention


def stage_precision(stage: OptimisationConfig, on_gpu: bool) -> torch.dtype:
    """Precision of matrix products: the stage's setting, or for `auto` the best that the machine supports.

    Raises:
        ConfigError: The GPU has no bfloat16.
    """
    able = torch.cuda.is_bf16_supported() if on_gpu else True
    if stage.precision == "bf16" and not able:
        raise ConfigError("training.stages: precision = bf16, but this GPU has no bfloat16; choose fp32")
    if stage.precision == "auto":
        return torch.bfloat16 if on_gpu and able else torch.float32
    return torch.bfloat16 if stage.precision == "bf16" else torch.float32


def prepare_model(model: PreTrainedModel, training: TrainingConfig, stage: StageConfig, precision: torch.dtype) -> None:
    """Prepare a model, whose parameters are already frozen or trainable, for training on its device.

    Trainable parameters are in float32, frozen ones in `precision` except batch norms. FlashAttention 2 is used where
    it is installed, but not with packing, whose mask it does not support. On a CPU packed sequences have an attention
    of their own, which skips what their mask hides; other batches in bfloat16 have the eager one there, because torch's
    fused kernel takes twice as long, mainly in the backward pass.
    """
    cast_frozen(model, precision)
    language = model.get_submodule("model.language_model")
    on_gpu = next(model.parameters()).is_cuda
    if on_gpu and precision == torch.bfloat16 and not stage.packed and is_flash_attn_2_available():
        language.set_attn_implementation("flash_attention_2")
    elif not on_gpu and stage.packed and packed_attention.fits(model.config.text_config):
        language.set_attn_implementation(packed_attention.NAME)
    elif not on_gpu and precision == torch.bfloat16:
        language.set_attn_implementation("eager")
    if stage.gradient_checkpointing:
        model.activation_checkpointing_enable()
        for module in model.modules():
            # transformers recomputes activations only in training mode, but frozen layers are in evaluation mode.
            # Set the flag of the layer itself only: its children, dropout among them, stay in evaluation mode.
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
    if training.compile:
        model.get_submodule("model.adapter").compile()


def cast_frozen(model: nn.Module, precision: torch.dtype) -> None:
    """Cast frozen parameters to a precision, and trainable ones to float32.

    Batch norms stay in float32, because CPU kernels need weights and running statistics of one dtype, and so do the
    face encoder's statistics. Their values are nevertheless rounded to `precision`: a model that is saved in it and
    loaded again then computes the same features, and the feature cache stays valid.
    """
    for module in model.modules():
        norm = isinstance(module, _BatchNorm | ChannelStandardisation)
        parameters: list[Tensor] = list(module.parameters(recurse=False))
        frozen = [parameter for parameter in parameters if not parameter.requires_grad]
        if norm and len(frozen) == len(parameters):
            frozen += module.buffers(recurse=False)
        for tensor in {*parameters, *frozen}:
            if tensor.requires_grad:
                tensor.data = tensor.data.float()
            elif tensor.is_floating_point():
                tensor.data = tensor.data.to(precision).to(torch.float32 if norm else precision)
