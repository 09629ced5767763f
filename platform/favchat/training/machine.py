"""What a stage makes of the machine: precision, attention kernels, recomputation, compilation."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import is_flash_attn_2_available

from favchat.config import ConfigError, OptimisationConfig, StageConfig, TrainingConfig


def stage_precision(stage: OptimisationConfig, on_gpu: bool) -> torch.dtype:
    """The precision of matrix products: the stage's, or the machine's where the stage says `auto`.

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
    """Bring a model whose learning parts are known into the shape it trains in, on its device.

    What learns is kept in float32, what rests in `precision`, batch norms apart. FlashAttention 2 is taken where it is
    installed and fits: it knows no mask by which packed questions share a prefix.
    """
    # Batch norm takes weights in another precision than its running statistics, which are kept in float32, on no CPU.
    norms = {id(p) for module in model.modules() if isinstance(module, _BatchNorm) for p in module.parameters()}
    for parameter in model.parameters():
        if parameter.is_floating_point():
            exact = parameter.requires_grad or id(parameter) in norms
            parameter.data = parameter.data.to(torch.float32 if exact else precision)
    language = model.get_submodule("model.language_model")
    on_gpu = next(model.parameters()).is_cuda
    if on_gpu and precision == torch.bfloat16 and not stage.packed and is_flash_attn_2_available():
        language.set_attn_implementation("flash_attention_2")
    if stage.gradient_checkpointing:
        model.activation_checkpointing_enable()
        for module in model.modules():
            # A layer recomputes in training mode alone, and one that rests is in evaluation mode; its own children,
            # dropout among them, stay there.
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
    if training.compile:
        model.get_submodule("model.adapter").compile()
