"""What a stage makes of the machine: precision, attention kernels, recomputation, compilation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import is_flash_attn_2_available

from favchat.config import ConfigError, OptimisationConfig, StageConfig, TrainingConfig
from favchat.model.face_pyramid import ChannelStandardisation


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
    installed and fits: it knows no mask by which packed questions share a prefix. In bfloat16 on a CPU attention is
    computed as matrix products, since torch's fused one takes twice as long there, most of all backward.
    """
    cast_frozen(model, precision)
    language = model.get_submodule("model.language_model")
    on_gpu = next(model.parameters()).is_cuda
    if on_gpu and precision == torch.bfloat16 and not stage.packed and is_flash_attn_2_available():
        language.set_attn_implementation("flash_attention_2")
    elif not on_gpu and precision == torch.bfloat16:
        language.set_attn_implementation("eager")
    if stage.gradient_checkpointing:
        model.activation_checkpointing_enable()
        for module in model.modules():
            # A layer recomputes in training mode alone, and one that rests is in evaluation mode; its own children,
            # dropout among them, stay there.
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
    if training.compile:
        model.get_submodule("model.adapter").compile()


def cast_frozen(model: nn.Module, precision: torch.dtype) -> None:
    """Bring what does not learn into a precision, and what learns into float32.

    Batch norms keep float32, since no CPU normalises with weights of another precision than its running statistics, and
    so do the face encoder's statistics. Their values are those of `precision` all the same: a model that is saved in it
    and loaded again rests as this one does, and its features are found in the cache.
    """
    for module in model.modules():
        norm = isinstance(module, _BatchNorm | ChannelStandardisation)
        parameters: list[Tensor] = list(module.parameters(recurse=False))
        resting = [parameter for parameter in parameters if not parameter.requires_grad]
        if norm and len(resting) == len(parameters):
            resting += module.buffers(recurse=False)
        for tensor in {*parameters, *resting}:
            if tensor.requires_grad:
                tensor.data = tensor.data.float()
            elif tensor.is_floating_point():
                tensor.data = tensor.data.to(precision).to(torch.float32 if norm else precision)
