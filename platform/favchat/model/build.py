"""Put a model together from its backbones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.image_processing_base import ImageProcessingMixin

from favchat.backbones.names import FACE_TRUNKS, hub_message, resolve_backbone
from favchat.config import BackboneConfig, ConfigError, ModelConfig
from favchat.model import (
    FacePyramidConfig,
    FacePyramidModel,
    FaVChatAdapterConfig,
    FaVChatConfig,
    FaVChatForConditionalGeneration,
    FaVChatProcessor,
    FaVChatVideoProcessor,
)
from favchat.model.adapter import FaVChatAdapter
from favchat.model.attribute_head import keyword
from favchat.model.encoders import face_input_size, face_level_sizes, vision_size
from favchat.model.encoders_alone import FaVChatEncoders
from favchat.model.processing_favchat import ATTRIBUTE_TOKEN, FACE_TOKEN, FRAME_TOKEN, VIDEO_TOKEN
from favchat.model.tokenizer import BYTE_VOCABULARY, byte_tokenizer

ADAPTER_NAMES = {
    "expert_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "top_k": "num_experts_per_tok",
    "balance_weight": "router_aux_loss_coef",
    "attribute_weight": "attribute_loss_coef",
    "z_weight": "router_z_loss_coef",
}
"""Settings of ``model.adapter`` that `FaVChatAdapterConfig` calls as transformers does; the others keep their names."""


def build(config: ModelConfig, seed: int = 0) -> tuple[FaVChatForConditionalGeneration, FaVChatProcessor]:
    """Make an untrained model: pretrained or random backbones, a new adapter, in ``model.dtype``.

    Args:
        config: The ``model`` section.
        seed: Seeds every random weight.

    Raises:
        ConfigError: A backbone cannot be loaded or does not fit; the message names its setting.
        AssetError: An embedded default cannot be fetched.
    """
    set_seed(seed)
    dtype = getattr(torch, config.dtype)
    language = _load(AutoModelForCausalLM, config.text, "model.text", dtype)
    vision = _load(AutoModel, config.vision, "model.vision", dtype) if config.adapter.vision_grid else None
    vision_config = _backbone_config(config.vision, "model.vision") if vision is None else vision.config
    face = _load(AutoModel, config.face, "model.face", dtype) if config.adapter.face_grid else None
    face_config = _backbone_config(config.face, "model.face") if face is None else face.config
    tokenizer = _tokenizer(config.text)

    composed = _compose(config, vision_config, face_config, language.config)
    composed.video_token_id = tokenizer.convert_tokens_to_ids(FRAME_TOKEN)
    composed.face_token_id = tokenizer.convert_tokens_to_ids(FACE_TOKEN)
    composed.attribute_token_id = tokenizer.convert_tokens_to_ids(ATTRIBUTE_TOKEN)
    # Scale visual tokens to the text embeddings' RMS: much smaller ones are ignored, much larger ones drown the text.
    composed.adapter_config.output_scale = _embed_rms(language.get_input_embeddings())

    # Only the adapter is new. The rest is made without memory and gets the backbones' own tensors: an 8B model is
    # never there twice.
    with torch.device("meta"):
        model = FaVChatForConditionalGeneration(composed)
    model.model.adapter = FaVChatAdapter(composed.adapter_config).to(dtype)
    _name_attributes(model.model.adapter, language.get_input_embeddings(), tokenizer)
    if vision is not None:
        _give_tensors(model.model.get_submodule("vision_model"), vision)
    if face is not None:
        _give_tensors(model.model.get_submodule("face_model"), face)
    _give_tensors(model.model.language_model, language.base_model)
    _give_tensors(model.lm_head, language.get_output_embeddings())
    model.tie_weights()
    model.generation_config = language.generation_config
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.eval(), _processor(config, tokenizer, face_config)


def build_encoders(config: ModelConfig, seed: int = 0) -> tuple[FaVChatEncoders, FaVChatProcessor]:
    """The encoders of the model that :func:`build` would make, with the same weights; of the rest only its sizes.

    Raises:
        ConfigError: As :func:`build`.
        AssetError: As :func:`build`.
    """
    set_seed(seed)
    dtype = getattr(torch, config.dtype)
    if config.text.pretrained is None:
        # Its random numbers come before those of the encoders.
        _load(AutoModelForCausalLM, config.text, "model.text", dtype)
    vision = _load(AutoModel, config.vision, "model.vision", dtype) if config.adapter.vision_grid else None
    vision_config = _backbone_config(config.vision, "model.vision") if vision is None else vision.config
    face = _load(AutoModel, config.face, "model.face", dtype) if config.adapter.face_grid else None
    face_config = _backbone_config(config.face, "model.face") if face is None else face.config
    composed = _compose(config, vision_config, face_config, _backbone_config(config.text, "model.text"))
    with torch.device("meta"):
        encoders = FaVChatEncoders(composed)
    if vision is not None:
        _give_tensors(encoders.get_submodule("vision_model"), vision)
    if face is not None:
        _give_tensors(encoders.get_submodule("face_model"), face)
    return encoders.eval(), _processor(config, _tokenizer(config.text), face_config)


def build_processor(config: ModelConfig) -> FaVChatProcessor:
    """The processor of the model that :func:`build` would make, without its weights.

    Raises:
        ConfigError: As :func:`build`.
        AssetError: As :func:`build`.
    """
    return _processor(config, _tokenizer(config.text), _backbone_config(config.face, "model.face"))


def _processor(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, face_config: PreTrainedConfig
) -> FaVChatProcessor:
    image_mean, image_std = _image_settings(config.vision, "model.vision")
    face_mean, face_std = _image_settings(config.face, "model.face", face_config)
    return FaVChatProcessor(
        tokenizer,
        FaVChatVideoProcessor(
            num_frames=config.num_frames,
            image_size=config.image_size,
            image_mean=image_mean,
            image_std=image_std,
            face_size=face_input_size(face_config),
            face_mean=face_mean,
            face_std=face_std,
        ),
        vision_grid=config.adapter.vision_grid,
        face_grid=config.adapter.face_grid,
        route_by_question=config.adapter.route_by_question,
        attributes=config.adapter.attributes,
    )


@torch.no_grad()
def _name_attributes(adapter: FaVChatAdapter, embeddings: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the attributes' tokens start as the words that name them, and their states as words for yes and no."""
    if adapter.attribute_tokens is None:
        return

    def mean(words: str) -> torch.Tensor:
        ids = torch.tensor(tokenizer(words, add_special_tokens=False)["input_ids"])
        return embeddings(ids).float().mean(dim=0)

    tokens = adapter.attribute_tokens
    tokens.name.weight.copy_(torch.stack([mean(f" {keyword(name)}") for name in adapter.config.attributes]))
    tokens.state.weight.copy_(torch.stack([mean(word) for word in (" no", " yes", " yes", " unknown")]))
    tokens.state.weight[2] = 0  # likely: nothing but what it is taught


def _embed_rms(embeddings: nn.Module) -> float:
    """Root mean square of what a word's embedding gives; Gemma's scales its weights."""
    scale = getattr(embeddings, "embed_scale", 1.0)
    return float(embeddings.get_parameter("weight").detach().float().square().mean().sqrt() * scale)


def architecture(config: ModelConfig) -> FaVChatConfig:
    """The configuration of the model that :func:`build` would make, without its weights.

    A backbone whose setting has a ``config`` needs no file at all; of any other its ``config.json`` is read.

    Raises:
        ConfigError: As :func:`build`.
        AssetError: As :func:`build`.
    """
    configs = [
        _backbone_config(slot, key)
        for slot, key in ((config.vision, "model.vision"), (config.face, "model.face"), (config.text, "model.text"))
    ]
    return _compose(config, *configs)


def on_meta(config: FaVChatConfig) -> FaVChatForConditionalGeneration:
    """A model of any size without memory, on the meta device, in evaluation mode: to be counted and looked at."""
    with torch.device("meta"):
        return FaVChatForConditionalGeneration(config).eval()


def _compose(
    config: ModelConfig, vision: PreTrainedConfig, face: PreTrainedConfig, text: PreTrainedConfig
) -> FaVChatConfig:
    adapter = config.adapter.model_dump(exclude={"face_levels", "mirror_faces"})
    try:
        adapter["vision_size"] = vision_size(vision, config.image_size).channels
    except ValueError as error:
        raise ConfigError(f"model.vision, model.image_size: {error}") from error
    try:
        levels = face_level_sizes(face, levels=config.adapter.face_levels)
    except ValueError as error:
        raise ConfigError(f"model.face, model.adapter.face_levels: {error}") from error
    layers = text.num_hidden_layers
    if config.adapter.face_grid and config.adapter.inject_levels and len(levels) - 1 > layers:
        raise ConfigError(
            f"model.adapter.face_levels: {len(levels) - 1} levels to inject, but the language model has {layers} "
            "layers; choose fewer or set model.adapter.inject_levels=false"
        )
    return FaVChatConfig(
        vision_config=vision,
        face_config=face,
        text_config=text,
        adapter_config=FaVChatAdapterConfig(
            face_sizes=[level.channels for level in levels],
            output_size=text.hidden_size,
            **{ADAPTER_NAMES.get(name, name): value for name, value in adapter.items()},
        ),
        face_levels=config.adapter.face_levels,
        mirror_faces=config.adapter.mirror_faces,
        video_token_id=text.vocab_size,
        face_token_id=text.vocab_size + 1,
        attribute_token_id=text.vocab_size + 2,
    )


def _load(auto_class: Any, slot: BackboneConfig, key: str, dtype: torch.dtype) -> PreTrainedModel:
    """A backbone with its pretrained or random weights, in evaluation mode."""
    if slot.pretrained == FACE_TRUNKS:
        model: PreTrainedModel = FacePyramidModel.from_trunks().to(dtype)
        _check_architecture(slot, model.config, key)
        return model
    if slot.pretrained is None:
        return auto_class.from_config(_backbone_config(slot, key), dtype=dtype).eval()
    found = _pretrained_config(slot, key)
    _check_architecture(slot, found, key)
    try:
        return auto_class.from_pretrained(resolve_backbone(slot, key), config=found, dtype=dtype).eval()
    except (OSError, ValueError) as error:
        raise ConfigError(hub_message(slot, key, error)) from error


def _backbone_config(slot: BackboneConfig, key: str) -> PreTrainedConfig:
    """What a backbone is, from the setting itself where it says so."""
    if slot.config is not None:
        try:
            return AutoConfig.for_model(**slot.config)
        except ValueError as error:
            raise ConfigError(f"{key}.config: {error}") from error
    return FacePyramidConfig() if slot.pretrained == FACE_TRUNKS else _pretrained_config(slot, key)


def _pretrained_config(slot: BackboneConfig, key: str) -> PreTrainedConfig:
    try:
        config = AutoConfig.from_pretrained(resolve_backbone(slot, key))
    except (OSError, ValueError) as error:
        raise ConfigError(hub_message(slot, key, error)) from error
    # Of a model of images and texts, such as CLIP or SigLIP, the encoder of images is meant.
    return config if key == "model.text" else getattr(config, "vision_config", config)


def _check_architecture(slot: BackboneConfig, found: PreTrainedConfig, key: str) -> None:
    if slot.config is None:
        return
    missing = object()
    wanted = _backbone_config(slot, key)
    for name in slot.config:
        expected, actual = getattr(wanted, name, missing), getattr(found, name, missing)
        if expected != actual:
            raise ConfigError(
                f"{key}: {slot.pretrained} has {name} = {actual}, but {key}.config says {expected}; "
                f"set {key}.config=null to take the weights' own"
            )


@torch.no_grad()
def _give_tensors(part: nn.Module, backbone: nn.Module) -> None:
    """Let a module have the parameters and buffers of a backbone of the same structure, without a copy."""
    part.load_state_dict(backbone.state_dict(), assign=True)
    for name, buffer in backbone.named_buffers():
        if part.get_buffer(name).is_meta:  # no part of the state dict
            owner, _, leaf = name.rpartition(".")
            part.get_submodule(owner).register_buffer(leaf, buffer, persistent=False)


def _tokenizer(slot: BackboneConfig) -> PreTrainedTokenizerBase:
    if slot.pretrained is not None:
        try:
            tokenizer = AutoTokenizer.from_pretrained(resolve_backbone(slot, "model.text"))
        except (OSError, ValueError) as error:
            raise ConfigError(hub_message(slot, "model.text", error)) from error
    elif slot.config is not None and slot.config.get("vocab_size") == BYTE_VOCABULARY:
        tokenizer = byte_tokenizer()
    else:
        raise ConfigError(f"model.text.config.vocab_size must be {BYTE_VOCABULARY}: a model from 'config' reads bytes")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.add_special_tokens({"additional_special_tokens": [VIDEO_TOKEN, FRAME_TOKEN, FACE_TOKEN, ATTRIBUTE_TOKEN]})
    return tokenizer


def _image_settings(
    slot: BackboneConfig, key: str, config: PreTrainedConfig | None = None
) -> tuple[list[float], list[float]]:
    """Means and deviations of the encoder's pixels: from the setting, else from its own preprocessor file."""
    if slot.image_mean is not None and slot.image_std is not None:
        return slot.image_mean, slot.image_std
    if isinstance(config, FacePyramidConfig):
        return [0.0] * 3, [1.0] * 3
    if slot.pretrained is None:
        return [0.5] * 3, [0.5] * 3
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(resolve_backbone(slot, key))
        return settings["image_mean"], settings["image_std"]
    except (OSError, KeyError) as error:
        raise ConfigError(
            f"{key}: {slot.pretrained} has no preprocessor_config.json that says image_mean and image_std ({error}); "
            f"set {key}.image_mean and {key}.image_std to the three numbers that its pixels are normalised with"
        ) from error
