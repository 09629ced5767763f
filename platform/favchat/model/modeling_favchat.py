"""The model: a general encoder and a face encoder watch a clip, the adapter fuses them, a language model answers.

Shapes: B sequences, L tokens of a sequence, V videos, T frames a video, P and Q cells of general and face features a
frame, C channels, G general and F face tokens a frame, S = G + F, H language-model width.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MODEL_MAPPING, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.utils import can_return_tuple, torch_compilable_check

from favchat.model.adapter import AdapterOutput, FaVChatAdapter
from favchat.model.configuration_favchat import FaVChatConfig
from favchat.model.encoders import face_features, vision_features
from favchat.model.face_levels import receive_face_levels
from favchat.model.generation_mixin import FaVChatGenerationMixin
from favchat.model.lora import has_lora, without_lora
from favchat.model.outputs import FaVChatModelOutput, FaVChatOutput
from favchat.model.router_losses import shared_router_loss
from favchat.model.token_losses import token_losses


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
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As transformers does it; the encoders come frozen, which a stage, or `requires_grad_(True)`, changes."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        for module in model.modules():
            if isinstance(module, FaVChatModel):
                module.freeze_encoders()
        return loaded

    def set_attn_implementation(self, attn_implementation: str | dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """As transformers does it; an encoder that lacks the kind chosen for the whole model keeps its own."""
        if isinstance(attn_implementation, str):
            encoders = {"vision_config": "vision_model", "face_config": "face_model"}
            base = getattr(self, self.base_model_prefix, self)
            chosen = {name: attn_implementation for name in ("", *self.config.sub_configs)}
            for name, part in encoders.items():
                encoder = getattr(base, part, None)
                if encoder is None or not takes_attention(encoder, attn_implementation):
                    chosen[name] = getattr(self.config, name)._attn_implementation
            attn_implementation = chosen
        super().set_attn_implementation(attn_implementation, *args, **kwargs)


class FaVChatModel(FaVChatPreTrainedModel):
    """Encoders, adapter and decoder, without the language-model head."""

    def __init__(self, config: FaVChatConfig):
        super().__init__(config)
        self.vision_model = make_encoder(config.vision_config) if config.adapter_config.vision_grid else None
        self.face_model = make_encoder(config.face_config) if config.adapter_config.face_grid else None
        self.adapter = FaVChatAdapter(config.adapter_config)
        self.language_model = AutoModel.from_config(config.text_config)
        receive_face_levels(self.language_model, len(self.adapter.level_proj))
        self.post_init()
        self.freeze_encoders()

    def freeze_encoders(self) -> None:
        """Let the encoders be as they are: nothing of them learns."""
        for encoder in self._encoders():
            encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FaVChatModel:
        """As torch does it; what is frozen of the encoders stays in evaluation mode.

        Batch statistics would else drift with every forward pass, and dropout would act, whoever calls `train()`.
        """
        super().train(mode)
        for encoder in self._encoders():
            _train_what_learns(encoder, mode)
        return self

    def _encoders(self) -> list[nn.Module]:
        return [encoder for encoder in (self.vision_model, self.face_model) if encoder is not None]

    def get_input_embeddings(self) -> nn.Module:
        """The language model's token embeddings."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's token embeddings."""
        self.language_model.set_input_embeddings(value)

    def encode_frames(self, pixel_values_videos: Tensor, pixel_values_faces: Tensor) -> dict[str, Tensor]:
        """Run both encoders: all of the model that depends on neither the adapter nor the text.

        While the encoders are frozen this is worth computing once; `forward` takes the result in place of pixels.

        Args:
            pixel_values_videos: `(V, T, 3, h, w)` normalised frames.
            pixel_values_faces: `(V, T, 3, s, s)` normalised aligned faces.

        Returns:
            `vision_features` `(V, T, P, C)`, the general encoder's last hidden state averaged into
            P = `(vision_grid * pool_window) ** 2` cells row by row, and `face_features` `(V, T, Q, sum(face_sizes))`,
            the channels of the face levels side by side, shallow to deep; both in their encoder's precision. Without
            a general encoder (`vision_grid` 0) P is 0, without a face encoder (`face_grid` 0) Q.
        """
        adapter, videos = self.config.adapter_config, pixel_values_videos.shape[:2]
        frames, faces = pixel_values_videos.flatten(0, 1), pixel_values_faces.flatten(0, 1)
        if self.vision_model is None:
            vision = frames.new_zeros(len(frames), 0, adapter.vision_size)
        else:
            frames = frames.to(self.vision_model.dtype)  # (V T, 3, h, w)
            vision = vision_features(
                self.vision_model, frames, adapter.vision_grid * adapter.pool_window
            )  # (V T, P, C)
        if self.face_model is None:
            face = vision.new_zeros(len(vision), 0, sum(adapter.face_sizes))
        else:
            faces = faces.to(self.face_model.dtype)  # (V T, 3, s, s)
            levels = face_features(
                self.face_model,
                faces,
                adapter.face_grid * adapter.pool_window,
                self.config.face_levels,
                mirror=self.config.mirror_faces,
            )  # (V T, Q, C) each
            face = torch.cat(levels, dim=-1)
        return {"vision_features": vision.unflatten(0, videos), "face_features": face.unflatten(0, videos)}

    @can_return_tuple
    def get_video_features(
        self,
        pixel_values_videos: Tensor | None = None,
        pixel_values_faces: Tensor | None = None,
        *,
        vision_features: Tensor | None = None,
        face_features: Tensor | None = None,
        face_visible: Tensor | None = None,
        frame_times: Tensor | None = None,
        face_geometry: Tensor | None = None,
        face_motion: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> AdapterOutput:
        """Turn videos into language-model tokens and face levels.

        Arguments as in :meth:`FaVChatForConditionalGeneration.forward`; `hidden_states` and `attentions` are those of
        the general encoder, which then sees the frames once more.

        Raises:
            ValueError: A tensor is missing, or does not fit the adapter.
        """
        if vision_features is None or face_features is None:
            if pixel_values_videos is None or pixel_values_faces is None:
                raise ValueError(
                    "videos need pixel_values_videos and pixel_values_faces, or vision_features and face_features"
                )
            encoded = self.encode_frames(pixel_values_videos, pixel_values_faces)
            vision_features, face_features = encoded["vision_features"], encoded["face_features"]
        if face_visible is None or frame_times is None or face_geometry is None:
            raise ValueError("videos need face_visible, frame_times and face_geometry")
        visual = self.adapter(
            vision_features.to(self.adapter.dtype),
            face_features.to(self.adapter.dtype),
            face_visible=face_visible,
            frame_times=frame_times,
            face_geometry=face_geometry,
            face_motion=face_motion,
            question=self._pooled(question_ids, question_mask),
        )
        inner = self._recorded(output_hidden_states, output_attentions)
        seen = {}
        if inner and pixel_values_videos is not None and self.vision_model is not None:
            seen = self.vision_model(pixel_values_videos.flatten(0, 1).to(self.vision_model.dtype), **inner)
        return replace(
            visual,
            last_hidden_state=vision_features,
            pooler_output=visual.sequence(),
            hidden_states=seen.get("hidden_states"),
            attentions=seen.get("attentions"),
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        pixel_values_faces: Tensor | None = None,
        vision_features: Tensor | None = None,
        face_features: Tensor | None = None,
        face_visible: Tensor | None = None,
        frame_times: Tensor | None = None,
        face_geometry: Tensor | None = None,
        face_motion: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
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
        if pixel_values_videos is not None or vision_features is not None:
            visual = self.get_video_features(
                pixel_values_videos,
                pixel_values_faces,
                vision_features=vision_features,
                face_features=face_features,
                face_visible=face_visible,
                frame_times=frame_times,
                face_geometry=face_geometry,
                face_motion=face_motion,
                question_ids=question_ids,
                question_mask=question_mask,
                output_hidden_states=False,
                output_attentions=False,
                return_dict=True,
            )
            places = input_ids if input_ids is not None else self._placeholders_of(inputs_embeds)
            visual_mask, face_mask = self.placeholder_masks(places, visual)  # (B, L) each
            tokens = visual.sequence().to(inputs_embeds)
            inputs_embeds = inputs_embeds.masked_scatter(visual_mask.unsqueeze(-1), tokens)
            if visual.levels:
                injected = {"face_mask": face_mask, "face_level_embeds": visual.levels}

        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            return_dict=True,
            **injected,
            **kwargs | self._recorded(kwargs.get("output_hidden_states"), kwargs.get("output_attentions")),
        )
        return FaVChatModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            visual=visual,
        )

    def _recorded(self, hidden_states: Any, attentions: Any) -> dict[str, Any]:
        """What to return of each layer: what was asked for, else what the configuration of the whole model says."""
        asked = {"output_hidden_states": hidden_states, "output_attentions": attentions}
        chosen = {
            name: getattr(self.config, name, False) if wanted is None else wanted for name, wanted in asked.items()
        }
        return {name: wanted for name, wanted in chosen.items() if wanted}

    def embed_text(self, input_ids: Tensor) -> Tensor:
        """Embed ids `(B, L)` to `(B, L, H)`; placeholders may lie beyond the vocabulary and get token 0's row."""
        placeholder = self.is_visual(input_ids)
        return self.get_input_embeddings()(input_ids.masked_fill(placeholder, 0))

    def is_visual(self, input_ids: Tensor) -> Tensor:
        """Which ids `(B, L)` stand where a visual token goes, bool."""
        config = self.config
        return (
            (input_ids == config.video_token_id)
            | (input_ids == config.face_token_id)
            | (input_ids == config.attribute_token_id)
        )

    def placeholder_masks(self, input_ids: Tensor, visual: AdapterOutput) -> tuple[Tensor, Tensor]:
        """Where visual tokens go and which of them are face tokens, both `(B, L)` bool.

        Raises:
            ValueError: The placeholders do not fit the videos in number.
        """
        face_mask = input_ids == self.config.face_token_id
        visual_mask = self.is_visual(input_ids)
        wanted = visual.sequence().shape[:2].numel()
        torch_compilable_check(
            visual_mask.sum() == wanted,
            lambda: (
                f"{len(visual.tokens)} video(s) give {wanted} visual tokens, the prompts hold "
                f"{int(visual_mask.sum())} placeholders"
            ),
        )
        return visual_mask, face_mask

    def _placeholders_of(self, inputs_embeds: Tensor) -> Tensor:
        """The placeholders' ids `(B, L)`, -1 elsewhere, of embeddings that were made of prompts.

        Raises:
            ValueError: They lie beyond the vocabulary, so no embedding is theirs.
        """
        config, embeddings = self.config, self.get_input_embeddings()
        ids = [config.video_token_id, config.face_token_id, config.attribute_token_id]
        if max(ids) >= config.text_config.vocab_size:
            raise ValueError(
                "inputs_embeds with videos need input_ids too: this model's placeholders lie beyond the vocabulary"
            )
        found = torch.full(inputs_embeds.shape[:2], -1, device=inputs_embeds.device)
        for number in ids:
            row = embeddings(torch.tensor(number, device=inputs_embeds.device))
            found = found.masked_fill((inputs_embeds == row.to(inputs_embeds)).all(dim=-1), number)
        return found

    def _pooled(self, question_ids: Tensor | None, question_mask: Tensor | None) -> Tensor | None:
        """The mean embedding of each question's tokens, `(V, H)`, for a router that reads it."""
        if not self.config.adapter_config.route_by_question or question_ids is None or question_mask is None:
            return None
        weight = question_mask.unsqueeze(-1).to(self.adapter.dtype)  # (V, L, 1)
        embeds = self.embed_text(question_ids).to(self.adapter.dtype)  # (V, L, H)
        return (embeds * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def _train_what_learns(module: nn.Module, mode: bool) -> None:
    """Put a module and those below into training mode where parameters learn; one without any does as its parent."""
    parameters = list(module.parameters())
    module.training = mode and (not parameters or any(parameter.requires_grad for parameter in parameters))
    for child in module.children():
        _train_what_learns(child, module.training)


def make_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Make an encoder; one that lacks the kind of attention chosen for the whole model takes its own default."""
    if not takes_attention(MODEL_MAPPING[type(config)], config._attn_implementation or ""):
        config._attn_implementation = None
    return AutoModel.from_config(config)


def takes_attention(kind: type[PreTrainedModel] | PreTrainedModel, attention: str) -> bool:
    """Whether an encoder, or its class, knows a kind of attention."""
    kinds = {"flash": "_supports_flash_attn", "flex": "_supports_flex_attn", "sdpa": "_supports_sdpa"}
    return not any(name in attention and not getattr(kind, flag) for name, flag in kinds.items())


class FaVChatForConditionalGeneration(FaVChatPreTrainedModel, FaVChatGenerationMixin):
    """The model with its language-model head: answers questions about face videos."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: FaVChatConfig):
        super().__init__(config)
        text = config.text_config
        for name in ("logit_scale", "logits_scaling"):
            if getattr(text, name, None) not in (None, 1, 1.0):
                raise ValueError(f"a {text.model_type} model scales its logits ({name}), which FaVChat does not do")
        self.model = FaVChatModel(config)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()
        if config.tie_word_embeddings:  # a checkpoint has one of the two, and no trainer should miss the other
            self._keys_to_ignore_on_save.add("lm_head.weight")

    @can_return_tuple
    def get_video_features(self, *args: Any, **kwargs: Any) -> AdapterOutput:
        """See :meth:`FaVChatModel.get_video_features`."""
        return self.model.get_video_features(*args, **kwargs, return_dict=True)

    def get_output_embeddings(self) -> nn.Module:
        """The language-model head."""
        return self.lm_head

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        pixel_values_faces: Tensor | None = None,
        vision_features: Tensor | None = None,
        face_features: Tensor | None = None,
        face_visible: Tensor | None = None,
        frame_times: Tensor | None = None,
        face_geometry: Tensor | None = None,
        face_motion: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        labels: Tensor | None = None,
        label_weights: Tensor | None = None,
        attribute_labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_router_logits: bool = False,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> FaVChatOutput:
        """Predict the next tokens.

        Args:
            input_ids: `(B, L)` token ids with a placeholder for each visual token, videos in reading order.
            attention_mask: `(B, L)`, 0 on padding.
            position_ids: `(B, L)`.
            past_key_values: Cache of earlier tokens.
            inputs_embeds: `(B, L, H)` in place of `input_ids`, or beside them where there are videos: placeholders that
                lie beyond the vocabulary have no embedding by which they could be found.
            pixel_values_videos: `(V, T, 3, h, w)` normalised frames of all videos in the batch.
            pixel_values_faces: `(V, T, 3, s, s)` normalised aligned faces.
            vision_features: `(V, T, P, C)` and
            face_features: `(V, T, Q, C)` in place of both kinds of pixels: what :meth:`FaVChatModel.encode_frames`
                made of them, in any precision.
            face_visible: `(V, T)` bool.
            frame_times: `(V, T)` seconds since each clip's start.
            face_geometry: `(V, T, 4)`, see :func:`favchat.video.align.face_geometry`.
            face_motion: `(V, M)`, see :func:`favchat.video.motion.motion_features`; read by a model with attributes.
            question_ids: `(V, Lq)` tokens of what is asked about each video; read by a model with
                `route_by_question` alone, which needs them.
            question_mask: `(V, Lq)`, 0 on padding.
            labels: `(B, L)` token ids, -100 where nothing is to be learnt.
            label_weights: `(B, L)` what each label counts for, where `logits_to_keep` says which positions have one; by
                default all count alike.
            attribute_labels: `(V, A)` 1, 0 or -1 where nobody knows: adds the attributes' loss. Without `input_ids`
                that is all that is computed: the language model rests.
            use_cache: Whether to return the cache.
            logits_to_keep: Compute logits for the last so many positions only; 0 means all. Or `(B, L)` bool: where to
                compute them; they come as `(1, positions, vocabulary)`, and labels beyond them teach nothing.
            output_router_logits: Whether the router's logits are returned.
            num_items_in_batch: How many labels the whole batch of an optimiser step has, of which this is a part, as
                transformers' `Trainer` says it: the losses are then this part's share, and those of all parts add up.
            **kwargs: Handed to the language model; `return_dict`, `output_hidden_states` and `output_attentions` as
                transformers has them.

        Raises:
            ValueError: The placeholders do not fit the videos in number, or a tensor of theirs is missing.
        """
        videos = {
            "pixel_values_videos": pixel_values_videos,
            "pixel_values_faces": pixel_values_faces,
            "vision_features": vision_features,
            "face_features": face_features,
            "face_visible": face_visible,
            "frame_times": frame_times,
            "face_geometry": face_geometry,
            "face_motion": face_motion,
            "question_ids": question_ids,
            "question_mask": question_mask,
        }
        if input_ids is None and inputs_embeds is None and attribute_labels is not None:
            visual = self.model.get_video_features(**videos, return_dict=True)
            return self._with_losses(FaVChatOutput(), visual, None, attribute_labels, output_router_logits)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **videos,
            **kwargs,
        )
        hidden = outputs.last_hidden_state  # (B, L, H)
        chosen = logits_to_keep if isinstance(logits_to_keep, Tensor) and logits_to_keep.dtype == torch.bool else None
        if chosen is not None:
            hidden = hidden[chosen].unsqueeze(0)  # (1, positions, H)
        else:
            hidden = hidden[:, slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep]
        logits = self.lm_head(hidden)  # (B, L, vocabulary)
        softcap = getattr(self.config.text_config, "final_logit_softcapping", None)  # Gemma's
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        language_loss = None
        if labels is not None:
            shifted = None
            if chosen is not None:  # each position predicts the next one
                shifted = nn.functional.pad(labels[:, 1:], (0, 1), value=-100)[chosen].unsqueeze(0)
            if label_weights is not None and chosen is not None and shifted is not None:
                weights = nn.functional.pad(label_weights[:, 1:], (0, 1))[chosen].float()  # (positions,)
                language_loss = (token_losses(logits[0], shifted[0]) * weights).sum() / weights.sum().clamp(min=1e-6)
            else:
                language_loss = self.loss_function(
                    logits=logits,
                    labels=labels,
                    vocab_size=self.config.text_config.vocab_size,
                    shift_labels=shifted,
                    num_items_in_batch=num_items_in_batch,
                )
        visual = outputs.visual
        result = FaVChatOutput(
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        share: Tensor | float = 1.0
        router_loss = None
        if num_items_in_batch is not None and labels is not None and visual is not None and input_ids is not None:
            share = (labels[:, 1:] != -100).sum() / num_items_in_batch
            visual_mask, _ = self.model.placeholder_masks(input_ids, visual)
            router_loss = shared_router_loss(
                self.config.adapter_config,
                visual.router_logits,
                len(visual.tokens),
                visual_mask,
                labels,
                num_items_in_batch,
            )
        return self._with_losses(
            result, visual, language_loss, attribute_labels, output_router_logits, share=share, router_loss=router_loss
        )

    def _with_losses(
        self,
        result: FaVChatOutput,
        visual: AdapterOutput | None,
        language_loss: Tensor | None,
        attribute_labels: Tensor | None,
        output_router_logits: bool,
        *,
        share: Tensor | float = 1.0,
        router_loss: Tensor | None = None,
    ) -> FaVChatOutput:
        """Add what was computed of the videos, and the sum of all losses where something was to be learnt.

        Args:
            result: Gets them.
            visual: Of the videos, where there are some.
            language_loss: Where there are labels.
            attribute_labels: As for `forward`.
            output_router_logits: As for `forward`.
            share: Of the attributes' loss, where the batch is a part of an optimiser step's.
            router_loss: The weighted router losses, where they are such a share.
        """
        result.language_loss = language_loss
        losses = [] if language_loss is None else [language_loss]
        if visual is not None:
            adapter, head = self.config.adapter_config, self.model.adapter.attribute_head
            result.balance_loss, result.z_loss = visual.balance_loss, visual.z_loss
            if head is not None:
                result.attribute_logits = visual.attribute_logits
            if output_router_logits:
                result.router_logits = visual.router_logits
            if attribute_labels is not None and head is not None:
                result.attribute_loss = head.loss(visual.attribute_logits, attribute_labels)
                losses.append(adapter.attribute_loss_coef * result.attribute_loss * share)
            if losses:
                losses.append(
                    adapter.router_aux_loss_coef * visual.balance_loss + adapter.router_z_loss_coef * visual.z_loss
                    if router_loss is None
                    else router_loss
                )
        if losses:
            result.loss = sum(losses[1:], losses[0])
        return result

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """As transformers does it; low-rank updates lie beside the weights, in peft's files, and not in them."""
        super().save_pretrained(save_directory, **kwargs)  # with updates: the updates alone
        if has_lora(self):
            kwargs["state_dict"] = without_lora(kwargs.get("state_dict") or self.state_dict())
            self._hf_peft_config_loaded = False
            try:
                super().save_pretrained(save_directory, **kwargs)
            finally:
                self._hf_peft_config_loaded = True

    def load_adapter(self, *args: Any, **kwargs: Any) -> Any:
        """As transformers does it, but the names under which the weights are saved stay as they were."""
        conversions = getattr(self, "_weight_conversions", None)
        report = super().load_adapter(*args, **kwargs)
        self._weight_conversions = conversions
        return report
