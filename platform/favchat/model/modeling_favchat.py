"""The model: a general encoder and a face encoder watch a clip, the adapter fuses them, a language model answers.

Shapes: B sequences, L tokens of a sequence, V videos, T frames a video, G general and F face tokens a frame, S = G + F,
H language-model width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.utils import ModelOutput

from favchat.model.adapter import AdapterOutput, FaVChatAdapter
from favchat.model.configuration_favchat import FaVChatConfig
from favchat.model.encoders import face_features, vision_features


@dataclass
class FaVChatOutput(ModelOutput):
    """Output of :class:`FaVChatForConditionalGeneration`.

    Attributes:
        loss: Language loss plus the weighted router losses, where labels were given.
        language_loss: Mean cross-entropy over the labelled tokens.
        balance_loss: Load-balancing loss of the routers, unweighted.
        z_loss: Router z-loss, unweighted.
        logits: `(B, L, vocabulary)`.
        past_key_values: The language model's cache.
        router_logits: For each expert layer `(V T S, E)`, with `output_router_logits=True`.
    """

    loss: Tensor | None = None
    language_loss: Tensor | None = None
    balance_loss: Tensor | None = None
    z_loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    router_logits: tuple[Tensor, ...] | None = None


@dataclass
class FaVChatModelOutput(ModelOutput):
    """Output of :class:`FaVChatModel`.

    Attributes:
        last_hidden_state: `(B, L, H)`.
        past_key_values: The language model's cache.
        visual: What the adapter gave, where there were videos.
    """

    last_hidden_state: Tensor | None = None
    past_key_values: Cache | None = None
    visual: AdapterOutput | None = None


class FaVChatPreTrainedModel(PreTrainedModel):
    """Flags that transformers reads."""

    config: FaVChatConfig
    config_class = FaVChatConfig
    base_model_prefix = "model"
    input_modalities = ("video", "text")
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True


class FaVChatModel(FaVChatPreTrainedModel):
    """Encoders, adapter and decoder, without the language-model head."""

    def __init__(self, config: FaVChatConfig):
        super().__init__(config)
        self.vision_model = AutoModel.from_config(config.vision_config)
        self.face_model = AutoModel.from_config(config.face_config)
        self.adapter = FaVChatAdapter(config.adapter_config)
        self.language_model = AutoModel.from_config(config.text_config)
        decoder_layers = self.language_model.layers
        injected = len(self.adapter.level_proj)
        if injected > len(decoder_layers):
            raise ValueError(
                f"{injected} face levels to inject, but the language model has {len(decoder_layers)} layers"
            )
        for index in range(injected):
            decoder_layers[index].register_forward_hook(_add_level(index), with_kwargs=True)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's token embeddings."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's token embeddings."""
        self.language_model.set_input_embeddings(value)

    def get_video_features(
        self,
        pixel_values_videos: Tensor,
        pixel_values_faces: Tensor,
        face_visible: Tensor,
        frame_times: Tensor,
        face_geometry: Tensor,
    ) -> AdapterOutput:
        """Encode videos into language-model tokens and face levels.

        Args:
            pixel_values_videos: `(V, T, 3, h, w)` normalised frames.
            pixel_values_faces: `(V, T, 3, s, s)` normalised aligned faces.
            face_visible: `(V, T)` bool.
            frame_times: `(V, T)` seconds since the clip's start.
            face_geometry: `(V, T, 4)`, see :func:`favchat.video.align.face_geometry`.
        """
        adapter, videos = self.config.adapter_config, pixel_values_videos.shape[:2]
        frames = pixel_values_videos.flatten(0, 1).to(self.vision_model.dtype)  # (V T, 3, h, w)
        faces = pixel_values_faces.flatten(0, 1).to(self.face_model.dtype)  # (V T, 3, s, s)
        vision = vision_features(self.vision_model, frames, adapter.vision_grid)
        levels = face_features(self.face_model, faces, adapter.face_grid, self.config.face_levels)
        return self.adapter(
            vision.unflatten(0, videos).to(self.adapter.dtype),  # (V, T, G, C)
            [level.unflatten(0, videos).to(self.adapter.dtype) for level in levels],  # (V, T, F, C) each
            face_visible=face_visible,
            frame_times=frame_times,
            face_geometry=face_geometry,
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        pixel_values_faces: Tensor | None = None,
        face_visible: Tensor | None = None,
        frame_times: Tensor | None = None,
        face_geometry: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> FaVChatModelOutput:
        """Embed, encode, replace, decode. Arguments as in :meth:`FaVChatForConditionalGeneration.forward`."""
        visual: AdapterOutput | None = None
        injected: dict[str, Any] = {}
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("give input_ids or inputs_embeds")
            inputs_embeds = self.embed_text(input_ids)  # (B, L, H)
        if pixel_values_videos is not None:
            if (
                input_ids is None
                or pixel_values_faces is None
                or face_visible is None
                or frame_times is None
                or face_geometry is None
            ):
                raise ValueError(f"videos need {', '.join(VIDEO_COMPANIONS)} beside pixel_values_videos")
            visual = self.get_video_features(
                pixel_values_videos, pixel_values_faces, face_visible, frame_times, face_geometry
            )
            visual_mask, face_mask = self.placeholder_masks(input_ids, visual)  # (B, L) each
            inputs_embeds = inputs_embeds.masked_scatter(
                visual_mask.unsqueeze(-1), visual.tokens.to(inputs_embeds.dtype)
            )
            if visual.levels:
                injected = {"face_mask": face_mask, "face_level_embeds": visual.levels}

        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **injected,
            **kwargs,
        )
        return FaVChatModelOutput(
            last_hidden_state=outputs.last_hidden_state, past_key_values=outputs.past_key_values, visual=visual
        )

    def embed_text(self, input_ids: Tensor) -> Tensor:
        """Embed ids `(B, L)` to `(B, L, H)`; placeholders may lie beyond the vocabulary and get token 0's row."""
        placeholder = (input_ids == self.config.video_token_id) | (input_ids == self.config.face_token_id)
        return self.get_input_embeddings()(input_ids.masked_fill(placeholder, 0))

    def placeholder_masks(self, input_ids: Tensor, visual: AdapterOutput) -> tuple[Tensor, Tensor]:
        """Where visual tokens go and which of them are face tokens, both `(B, L)` bool.

        Raises:
            ValueError: The placeholders do not fit the videos in number.
        """
        face_mask = input_ids == self.config.face_token_id
        visual_mask = (input_ids == self.config.video_token_id) | face_mask
        wanted, given = visual.tokens.shape[:3].numel(), int(visual_mask.sum())
        if wanted != given:
            raise ValueError(
                f"{visual.tokens.shape[0]} video(s) give {wanted} visual tokens, the prompts hold {given} placeholders"
            )
        return visual_mask, face_mask


VIDEO_COMPANIONS = ("input_ids", "pixel_values_faces", "face_visible", "frame_times", "face_geometry")


def _add_level(index: int) -> Callable[..., Any]:
    """A hook that adds face level `index` to a decoder layer's output at the face tokens (DeepStack, arXiv 2406.04334).

    The level travels with the layer's keyword arguments and not in the module, so that gradient checkpointing, which
    runs a
    layer a second time, and several forwards at once see the right one.
    """

    def hook(_layer: nn.Module, _args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        levels = kwargs.get("face_level_embeds")
        if levels is None:
            return None
        hidden = output[0] if isinstance(output, tuple) else output  # (B, L, H)
        level = levels[index].flatten(0, -2).to(hidden.dtype)  # (all face tokens, H)
        added = hidden + torch.zeros_like(hidden).masked_scatter(kwargs["face_mask"].unsqueeze(-1), level)
        return (added, *output[1:]) if isinstance(output, tuple) else added

    return hook


class FaVChatForConditionalGeneration(FaVChatPreTrainedModel, GenerationMixin):
    """The model with its language-model head: answers questions about face videos."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: FaVChatConfig):
        super().__init__(config)
        self.model = FaVChatModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The language-model head."""
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        pixel_values_faces: Tensor | None = None,
        face_visible: Tensor | None = None,
        frame_times: Tensor | None = None,
        face_geometry: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_router_logits: bool = False,
        **kwargs: Any,
    ) -> FaVChatOutput:
        """Predict the next tokens.

        Args:
            input_ids: `(B, L)` token ids with a placeholder for each visual token, videos in reading order.
            attention_mask: `(B, L)`, 0 on padding.
            position_ids: `(B, L)`.
            past_key_values: Cache of earlier tokens.
            inputs_embeds: `(B, L, H)` in place of `input_ids`, for text alone.
            pixel_values_videos: `(V, T, 3, h, w)` normalised frames of all videos in the batch.
            pixel_values_faces: `(V, T, 3, s, s)` normalised aligned faces.
            face_visible: `(V, T)` bool.
            frame_times: `(V, T)` seconds since each clip's start.
            face_geometry: `(V, T, 4)`.
            labels: `(B, L)` token ids, -100 where nothing is to be learnt.
            use_cache: Whether to return the cache.
            logits_to_keep: Compute logits for the last so many positions only; 0 means all.
            output_router_logits: Whether the router's logits are returned.
            **kwargs: Handed to the language model.

        Raises:
            ValueError: The placeholders do not fit the videos in number.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values_videos=pixel_values_videos,
            pixel_values_faces=pixel_values_faces,
            face_visible=face_visible,
            frame_times=frame_times,
            face_geometry=face_geometry,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])  # (B, L, vocabulary)
        result = FaVChatOutput(logits=logits, past_key_values=outputs.past_key_values)
        visual = outputs.visual
        if visual is not None:
            result.balance_loss, result.z_loss = visual.balance_loss, visual.z_loss
            if output_router_logits:
                result.router_logits = visual.router_logits
        if labels is not None:
            vocabulary = self.config.text_config.vocab_size
            result.language_loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocabulary)
            result.loss = result.language_loss
            if visual is not None:
                adapter = self.config.adapter_config
                result.loss = (
                    result.loss
                    + adapter.router_aux_loss_coef * visual.balance_loss
                    + adapter.router_z_loss_coef * visual.z_loss
                )
        return result
