"""Attention of packed sequences that computes no score which the mask would hide.

A packed row holds clips' prefixes with some questions each, and a token attends to its clip's prefix and to its own
question alone. Of a mask over the whole row, with all pairs of its tokens, nine tenths would hide something. Here the
prefixes attend to themselves, and the questions to the prefix and to themselves, as products of matrices.

Shapes: B rows, L tokens of a row, H heads of queries, K heads of keys, G = H / K, D width of a head, S sequences, P
tokens of the longest prefix, N most questions of a sequence, M tokens of the longest question.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.masking_utils import eager_mask
from transformers.models.llama.modeling_llama import eager_attention_forward

NAME = "favchat_packed"
"""What the attention is called in transformers' register."""


def fits(config: PreTrainedConfig) -> bool:
    """Whether a language model's attention is the plain one: over all tokens in every layer, its scores as they are."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    capped = getattr(config, "attn_logit_softcapping", None)
    return kinds == {"full_attention"} and not windowed and not capped


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    packed_prefixes: Tensor | None = None,
    packed_blocks: Tensor | None = None,
    packed_back: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it; of batches that are not packed, that of matrix products.

    Args:
        module: The layer's attention.
        query: `(B, H, L, D)`.
        key: `(B, K, L, D)`.
        value: `(B, K, L, D)`.
        attention_mask: `(B, 1, L, L)`; read without the places, which say the same.
        scaling: Of the scores.
        dropout: Of the weights.
        packed_prefixes: `(S, P)` places among the `B * L` tokens, -1 on padding; this and the next two are from
            :func:`favchat.training.batches.packing.with_mask`.
        packed_blocks: `(S, N, M)`, likewise.
        packed_back: `(B * L,)`: of each token its place in prefixes and blocks, one after the other; -1 on padding.
        **kwargs: What transformers hands to every kind of attention.

    Returns:
        `(B, L, H, D)`, and no weights where the batch is packed.
    """
    if packed_prefixes is None or packed_blocks is None or packed_back is None:
        return eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout, **kwargs)
    (rows, heads, length, width), keys = query.shape, key.shape[1]
    groups = heads // keys
    (sequences, prefix), (_, number, block) = packed_prefixes.shape, packed_blocks.shape
    there, split = torch.cat([packed_prefixes.flatten(), packed_blocks.flatten()]), sequences * prefix

    def parted(states: Tensor) -> tuple[Tensor, Tensor]:
        """The states of the prefixes, `(S, P, heads, D)`, and of the questions, `(S, N, M, heads, D)`."""
        flat = states.transpose(1, 2).reshape(rows * length, -1)
        ordered = _Reorder.apply(flat, there, packed_back)
        shape = (states.shape[1], width)
        return (
            ordered[:split].view(sequences, prefix, *shape),
            ordered[split:].view(sequences, number, block, *shape),
        )

    (query_p, query_b), (key_p, key_b), (value_p, value_b) = parted(query * scaling), parted(key), parted(value)
    key_p, value_p = (states.transpose(1, 2) for states in (key_p, value_p))  # (S, K, P, D)
    key_b, value_b = (states.permute(0, 3, 1, 2, 4) for states in (key_b, value_b))  # (S, K, N, M, D)
    query_p = query_p.view(sequences, prefix, keys, groups, width).permute(0, 2, 3, 1, 4)  # (S, K, G, P, D)
    query_b = query_b.view(sequences, number, block, keys, groups, width).permute(
        0, 3, 1, 4, 2, 5
    )  # (S, K, N, G, M, D)

    def weights(scores: Tensor) -> Tensor:
        chances = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
        return nn.functional.dropout(chances, p=dropout, training=module.training)

    def products(left: Tensor, right: Tensor) -> Tensor:
        """`(S, K, X, ..., Y) x (S, K, Y, Z)`: one product for all that shares the right side."""
        return (left.flatten(2, -2) @ right).view(*left.shape[:-1], right.shape[-1])

    # Prefixes are padded at their end: the past of a token holds no padding.
    inner_p = products(query_p, key_p.transpose(2, 3)) + _past(prefix, query)
    out_p = products(weights(inner_p), value_p)  # (S, K, G, P, D)

    outer = products(query_b, key_p.transpose(2, 3)) + _hidden(packed_prefixes < 0, query)[:, None, None, None, None]
    merged = query_b.reshape(sequences, keys, number, groups * block, width)  # (S, K, N, G * M, D)
    inner = (merged @ key_b.transpose(3, 4)).view(*query_b.shape[:-1], block) + _past(block, query)
    chances = weights(torch.cat([outer, inner], dim=-1))  # (S, K, N, G, M, P + M)
    own = chances[..., prefix:].reshape(sequences, keys, number, groups * block, block) @ value_b
    out_b = products(chances[..., :prefix], value_p) + own.view(query_b.shape)

    ordered = torch.cat(
        [
            out_p.permute(0, 3, 1, 2, 4).reshape(split, heads * width),
            out_b.permute(0, 2, 4, 1, 3, 5).reshape(-1, heads * width),
        ]
    )
    return _Reorder.apply(ordered, packed_back, there).view(rows, length, heads, width), None


class _Reorder(Function):
    """Rows in another order. Each but padding comes once, so that the gradient needs no sums."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """Take row `there[i]` to place `i`; -1 takes any."""
        ctx.save_for_backward(back)
        return rows.index_select(0, there.clamp_min(0))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradients in the first order, 0 where nothing was taken."""
        (back,) = ctx.saved_tensors
        taken = gradients[0].index_select(0, back.clamp_min(0))
        return taken.masked_fill_((back < 0).unsqueeze(1), 0.0), None, None


def _past(length: int, like: Tensor) -> Tensor:
    """`(length, length)`: what hides the tokens to come."""
    return _hidden(torch.ones(length, length, dtype=torch.bool, device=like.device).triu(1), like)


def _hidden(places: Tensor, like: Tensor) -> Tensor:
    """What is added to the scores of hidden places."""
    return torch.zeros(places.shape, dtype=like.dtype, device=like.device).masked_fill_(
        places, torch.finfo(like.dtype).min
    )


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, eager_mask)
