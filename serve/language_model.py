"""The language model alone, for ids that include visual ones.

Shapes: L tokens of all requests in a batch, one after the other, H language-model width, N visual ids among them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from favchat.config import ConfigError, ServeConfig
from favchat.model import FaVChatForConditionalGeneration
from favchat.model.lora import merge_lora
from serve.visual_pool import VisualPool


class VirtualTokenLM(PreTrainedModel, GenerationMixin):
    """FaVChat's decoder and head under continuous batching: ids from the pool's first on are visual tokens.

    The decoder keeps the hooks that add the face levels; they get the levels of the ids that a batch happens to hold,
    since a prompt may be computed in parts, or not at all where a cached prefix is shared.

    Args:
        model: The whole model; its decoder and head are shared, not copied.
        pool: What visual ids stand for.
    """

    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, model: FaVChatForConditionalGeneration, pool: VisualPool) -> None:
        super().__init__(model.config.text_config)
        self.language_model = model.model.language_model
        self.lm_head = model.lm_head
        self.generation_config = model.generation_config
        self.pool = pool

    def get_input_embeddings(self) -> torch.nn.Module:
        """The token embeddings."""
        return self.language_model.get_input_embeddings()

    def forward(self, input_ids: Tensor, logits_to_keep: int | Tensor = 0, **kwargs: Any) -> CausalLMOutputWithPast:
        """Predict the next tokens.

        Args:
            input_ids: `(1, L)`.
            logits_to_keep: The positions whose logits are wanted, or how many from the end; 0 means all.
            **kwargs: Positions, paged cache and mask, handed to the decoder.
        """
        visual = input_ids >= self.pool.first_id  # (1, L)
        embeds = self.get_input_embeddings()(input_ids.masked_fill(visual, 0))  # (1, L, H)
        if visual.any():
            tokens, levels = self.pool.lookup(input_ids[visual])  # (N, H), (K, N, H)
            embeds = embeds.masked_scatter(visual.unsqueeze(-1), tokens)
            # Of the general tokens the levels are zero, so all visual tokens may pass as face tokens.
            kwargs |= {"face_mask": visual, "face_level_embeds": levels}
        hidden = self.language_model(inputs_embeds=embeds, **kwargs).last_hidden_state  # (1, L, H)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        return CausalLMOutputWithPast(logits=self.lm_head(hidden[:, kept]))


def prepare_language_model(model: FaVChatForConditionalGeneration, config: ServeConfig) -> None:
    """Make the decoder and its head ready to be served, in place: in the precision of the ``serve`` section.

    Low-rank updates are added to the weights that they belong to, in float32 and before they are cast: apart from them
    a token took 1.4 times as long. One layer at a time is in float32, so that a large model needs no more memory.

    Raises:
        ConfigError: ``serve.precision`` is bf16, and the GPU has none.
    """
    if model.device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu.get_capabilities()
        native = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    if config.precision == "bf16" and model.device.type == "cuda" and not native:
        raise ConfigError("serve.precision: this GPU has no bfloat16; choose fp32")
    low = config.precision == "bf16" or (config.precision == "auto" and native)
    precision = torch.bfloat16 if low else torch.float32
    merge_lora(model, precision)
    for part in (model.model.language_model, model.lm_head):
        part.to(precision)
