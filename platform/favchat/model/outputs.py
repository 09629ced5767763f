"""What the model's forward passes return.

Shapes: B sequences, L tokens of a sequence, V videos, T frames a video, S visual tokens a frame, E experts, H
language-model width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.cache_utils import Cache
from transformers.utils import ModelOutput

from favchat.model.adapter import AdapterOutput


@dataclass
class FaVChatOutput(ModelOutput):
    """Output of :class:`FaVChatForConditionalGeneration`.

    Attributes:
        loss: Language loss plus the weighted router losses, where labels were given.
        language_loss: Mean cross-entropy over the labelled tokens.
        attribute_loss: Loss of the attributes, unweighted, where their labels were given.
        attribute_logits: `(V, A)` float32, where the model was taught attributes.
        balance_loss: Load-balancing loss of the routers, unweighted.
        z_loss: Router z-loss, unweighted.
        logits: `(B, L, vocabulary)`.
        past_key_values: The language model's cache.
        hidden_states: `(B, L, H)` of the embeddings and of each decoder layer, with `output_hidden_states=True`.
        attentions: `(B, heads, L, L)` of each decoder layer, with `output_attentions=True` and eager attention.
        router_logits: For each expert layer `(V T S, E)` float32, with `output_router_logits=True`: of each video and
            frame the general tokens first, then the face tokens.
    """

    loss: Tensor | None = None
    language_loss: Tensor | None = None
    attribute_loss: Tensor | None = None
    attribute_logits: Tensor | None = None
    balance_loss: Tensor | None = None
    z_loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    router_logits: tuple[Tensor, ...] | None = None


@dataclass
class FaVChatModelOutput(ModelOutput):
    """Output of :class:`FaVChatModel`.

    Attributes:
        last_hidden_state: `(B, L, H)`.
        past_key_values: The language model's cache.
        hidden_states: As of :class:`FaVChatOutput`.
        attentions: As of :class:`FaVChatOutput`.
        visual: What the adapter gave, where there were videos.
    """

    last_hidden_state: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    visual: AdapterOutput | None = None
