"""Put a model together from its backbones, or load a trained one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.image_processing_base import ImageProcessingMixin

from favchat.config import BackboneConfig, ConfigError, ModelConfig
from favchat.model import (
    FacePyramidModel,
    FaVChatAdapterConfig,
    FaVChatConfig,
    FaVChatForConditionalGeneration,
    FaVChatProcessor,
)
from favchat.model.encoders import face_features, vision_features
from favchat.model.lora import quantization
from favchat.model.processing_favchat import FACE_TOKEN, FRAME_TOKEN, VIDEO_TOKEN
from favchat.model.tokenizer import BYTE_VOCABULARY, byte_tokenizer
from favchat.model_names import FACE_TRUNKS, resolve_backbone, resolve_model


def build(config: ModelConfig, seed: int = 0) -> tuple[FaVChatForConditionalGeneration, FaVChatProcessor]:
    """Make an untrained model: pretrained or random backbones, a new adapter, in float32.

    Args:
        config: The ``model`` section.
        seed: Seeds every random weight.

    Raises:
        ConfigError: A backbone cannot be loaded or does not fit; the message names its setting.
        AssetError: An embedded default cannot be fetched.
    """
    set_seed(seed)
    language = _causal_lm(config.text)
    vision = _encoder(config.vision, "model.vision")
    face = _encoder(config.face, "model.face")
    tokenizer = _tokenizer(config.text)
    image = _image_settings(config.vision, "model.vision")
    face_image = (
        {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
        if isinstance(face, FacePyramidModel)
        else _image_settings(config.face, "model.face")
    )
    face_size = 160 if isinstance(face, FacePyramidModel) else getattr(face.config, "image_size", 224)

    adapter = config.adapter
    face_sizes = _level_sizes(face, face_size, adapter.face_grid, adapter.face_levels)
    model = FaVChatForConditionalGeneration(
        FaVChatConfig(
            vision_config=vision.config,
            face_config=face.config,
            text_config=language.config,
            adapter_config=FaVChatAdapterConfig(
                vision_size=_vision_size(vision, config.image_size, adapter.vision_grid),
                face_sizes=face_sizes,
                output_size=language.config.hidden_size,
                hidden_size=adapter.hidden_size,
                intermediate_size=adapter.expert_size,
                num_hidden_layers=adapter.num_layers,
                num_experts=adapter.num_experts,
                num_experts_per_tok=adapter.top_k,
                shared_expert_size=adapter.shared_expert_size,
                route_by_question=adapter.route_by_question,
                pool_window=adapter.pool_window,
                vision_grid=adapter.vision_grid,
                face_grid=adapter.face_grid,
                inject_levels=adapter.inject_levels,
                dropout=adapter.dropout,
                experts_implementation=adapter.experts_implementation,
                router_aux_loss_coef=adapter.balance_weight,
                router_z_loss_coef=adapter.z_weight,
                # Visual tokens start as loud as words, or the language model would not listen, or hear nothing else.
                output_scale=_loudness(language.get_input_embeddings()),
            ),
            face_levels=adapter.face_levels,
            video_token_id=tokenizer.convert_tokens_to_ids(FRAME_TOKEN),
            face_token_id=tokenizer.convert_tokens_to_ids(FACE_TOKEN),
        )
    )
    model.model.vision_model.load_state_dict(vision.state_dict())
    model.model.face_model.load_state_dict(face.state_dict())
    model.model.language_model.load_state_dict(language.base_model.state_dict())
    model.lm_head.load_state_dict(language.get_output_embeddings().state_dict())
    model.tie_weights()
    model.generation_config = language.generation_config
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    processor = FaVChatProcessor(
        tokenizer,
        num_frames=config.num_frames,
        vision_grid=adapter.vision_grid,
        face_grid=adapter.face_grid,
        image_size=config.image_size,
        image_mean=image["image_mean"],
        image_std=image["image_std"],
        face_size=face_size,
        face_mean=face_image["image_mean"],
        face_std=face_image["image_std"],
        route_by_question=adapter.route_by_question,
    )
    return model.eval(), processor


def _loudness(embeddings: nn.Module) -> float:
    """Root mean square of what a word's embedding gives; Gemma's scales its weights."""
    scale = getattr(embeddings, "embed_scale", 1.0)
    return float(embeddings.get_parameter("weight").detach().float().square().mean().sqrt() * scale)


def load(name: str, *, bits: Literal[4, 8] | None = None) -> tuple[FaVChatForConditionalGeneration, FaVChatProcessor]:
    """Load a trained model and its processor, in the precision it was saved in.

    Args:
        name: A directory that `save_pretrained` wrote, a hub name, or ``models:/NAME@ALIAS`` or
            ``models:/NAME/VERSION`` for a registered model. LoRA that lies beside the weights is loaded too.
        bits: Load the language model in 4 or 8 bits, onto the GPU; see :func:`favchat.model.lora.quantization`.

    Raises:
        ConfigError: There is no FaVChat model, or one of another version; or what it takes to load it is missing.
    """
    name = resolve_model(name)
    if (Path(name) / "adapter_config.json").is_file() and find_spec("peft") is None:
        raise ConfigError(f"{name}: holds LoRA, which needs peft; install favchat[train]")
    few_bits = {"quantization_config": quantization(bits), "device_map": {"": 0}} if bits else {}
    try:
        model, report = FaVChatForConditionalGeneration.from_pretrained(name, output_loading_info=True, **few_bits)
        processor = FaVChatProcessor.from_pretrained(name)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{name}: cannot be loaded: {error}") from error
    if report["missing_keys"]:
        raise ConfigError(
            f"{name}: its weights are not those of this version's model: {min(report['missing_keys'])} and "
            f"{len(report['missing_keys']) - 1} more are missing. Train it again."
        )
    return model.eval(), processor


def _causal_lm(slot: BackboneConfig) -> Any:
    if slot.config is not None:
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**slot.config))
    return _from_pretrained(AutoModelForCausalLM, slot, "model.text")


def _encoder(slot: BackboneConfig, key: str) -> Any:
    if slot.pretrained == FACE_TRUNKS:
        return FacePyramidModel.from_trunks()
    if slot.config is not None:
        return AutoModel.from_config(AutoConfig.for_model(**slot.config)).eval()
    return _from_pretrained(AutoModel, slot, key).eval()


def _from_pretrained(auto_class: Any, slot: BackboneConfig, key: str) -> Any:
    place = resolve_backbone(slot, key)
    try:
        return auto_class.from_pretrained(place, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{key}.pretrained = {slot.pretrained}: cannot be loaded. It is no directory with a transformers model "
            f"and no hub gave it: {error}"
        ) from error


def _tokenizer(slot: BackboneConfig) -> PreTrainedTokenizerBase:
    tokenizer = (
        byte_tokenizer()
        if slot.config is not None
        else AutoTokenizer.from_pretrained(resolve_backbone(slot, "model.text"))
    )
    if slot.config is not None and slot.config.get("vocab_size") != BYTE_VOCABULARY:
        raise ConfigError(f"model.text.config.vocab_size must be {BYTE_VOCABULARY}: a model from 'config' reads bytes")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.add_special_tokens({"additional_special_tokens": [VIDEO_TOKEN, FRAME_TOKEN, FACE_TOKEN]})
    return tokenizer


def _image_settings(slot: BackboneConfig, key: str) -> dict[str, Any]:
    """Means and deviations from the encoder's own preprocessor file, which every hub encoder has."""
    if slot.config is not None:
        return {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    settings, _ = ImageProcessingMixin.get_image_processor_dict(resolve_backbone(slot, key))
    return settings


@torch.no_grad()
def _vision_size(encoder: nn.Module, side: int, grid: int) -> int:
    return vision_features(encoder, torch.zeros(1, 3, side, side), grid).shape[-1]


@torch.no_grad()
def _level_sizes(encoder: nn.Module, side: int, grid: int, levels: list[int] | None) -> list[int]:
    return [level.shape[-1] for level in face_features(encoder, torch.zeros(1, 3, side, side), grid, levels)]
