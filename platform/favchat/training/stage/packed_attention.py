"""Attention of packed sequences that computes no score which the mask would hide.

A packed row holds clips' prefixes with some questions each, and a token attends to its clip's prefix and to its own
question alone. Of a mask over the whole row, with all pairs of its tokens, nine tenths would hide something. Here, one
sequence after the other, the prefix attends to itself, and the questions to the prefix and to themselves, as products
of matrices.

Shapes: B rows, L tokens of a row, H heads of queries, K heads of keys, G = H / K, D width of a head; of a sequence P
tokens of the prefix, N questions, M tokens of the longest of them, T of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    dropped = getattr(config, "attention_dropout", None)
    return kinds == {"full_attention"} and not windowed and not capped and not dropped


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    packed_lengths: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it; of batches that are not packed, that of matrix products.

    Args:
        module: The layer's attention.
        query: `(B, H, L, D)`.
        key: `(B, K, L, D)`.
        value: `(B, K, L, D)`.
        attention_mask: `(B, 1, L, L)`; read without `packed_lengths` alone, which say the same.
        scaling: Of the scores.
        dropout: Of the weights; 0 where the batch is packed.
        packed_lengths: `(S, 2 + N)`, from :func:`favchat.training.batches.packing.with_mask`.
        **kwargs: What transformers hands to every kind of attention.

    Returns:
        `(B, L, H, D)`, 0 on padding; no weights where the batch is packed.
    """
    if packed_lengths is None:
        return eager_attention_forward(module, query, key, value, attention_mask, scaling, dropout, **kwargs)
    (rows, heads, length, width), keys = query.shape, key.shape[1]
    # One row a token, and of queries the heads that share a key beside each other.
    query = (query * scaling).transpose(1, 2).reshape(rows * length, keys, heads // keys, width)
    key, value = (states.transpose(1, 2).reshape(rows * length, keys, 1, width) for states in (key, value))
    found: Tensor = _PackedAttention.apply(query, key, value, _Sequence.all_of(packed_lengths))
    return found.view(rows, length, heads, width), None


@dataclass(frozen=True)
class _Sequence:
    """Where a sequence lies among the `B * L` tokens of a batch: its prefix, then its questions, without gaps."""

    start: int
    prefix: int
    """P, its tokens."""
    questions: int
    """N, how many."""
    longest: int
    """M, the tokens of the longest of them."""
    places: Tensor
    """`(T,)`: of each token of the questions its place among the `N * M`, where each is padded to M."""

    @property
    def end(self) -> int:
        """The place after the last token."""
        return self.start + self.prefix + len(self.places)

    @classmethod
    def all_of(cls, lengths: Tensor) -> list[_Sequence]:
        """Of a batch, from its `packed_lengths`."""
        found = []
        for start, prefix, *questions in lengths.tolist():
            tokens = torch.tensor([number for number in questions if number], device=lengths.device)
            longest = int(tokens.max()) if len(tokens) else 0
            there = torch.arange(longest, device=lengths.device) < tokens.unsqueeze(1)  # (N, M)
            found.append(cls(start, prefix, len(tokens), longest, there.flatten().nonzero().flatten()))
        return found


class _PackedAttention(Function):
    """The products of each sequence, and their gradients.

    Torch's own gradients keep and copy what is as large as the scores several times over, which takes longer than the
    products. With scores `s = q k'`, weights `w = softmax(s)` and `o = w v`, the gradient of `s` is
    `w * (do v' - sum(do * o))`.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, sequences: Sequence[_Sequence]) -> Tensor:
        """`(B * L, K, G, D)`, 0 on padding, from queries of that shape and keys and values `(B * L, K, 1, D)`."""
        out = torch.zeros_like(query)
        kept = []
        for sequence in sequences:
            (query_p, query_q), (key_p, key_q), (value_p, value_q) = (
                _parts(states, sequence) for states in (query, key, value)
            )
            groups = query.shape[2]
            weights_p = _softmax(query_p @ key_p.mT + _future(sequence.prefix, groups, query))  # (K, P * G, P)
            inner = _padded(query_q, sequence) @ _padded(key_q, sequence).mT  # (K, N, M * G, M)
            inner += _future(sequence.longest, groups, query)
            weights_q = _softmax(torch.cat([query_q @ key_p.mT, _flat(inner, sequence)], dim=-1))  # (K, T * G, P + M)
            outer, inner = weights_q.split([sequence.prefix, sequence.longest], dim=-1)
            out_q = outer @ value_p + _flat(_padded(inner, sequence) @ _padded(value_q, sequence), sequence)
            _write(out, sequence, weights_p @ value_p, out_q)
            kept += [weights_p, weights_q]
        ctx.sequences = sequences
        ctx.save_for_backward(query, key, value, out, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradients of queries, keys and values."""
        (gradient,) = gradients
        query, key, value, out, *kept = ctx.saved_tensors
        of_query, of_key, of_value = (torch.zeros_like(states) for states in (query, key, value))
        shares = (gradient * out).sum(dim=-1, keepdim=True)  # (B * L, K, G, 1)
        for number, sequence in enumerate(ctx.sequences):
            weights_p, weights_q = kept[2 * number : 2 * number + 2]
            outer, inner = weights_q.split([sequence.prefix, sequence.longest], dim=-1)
            (query_p, query_q), (key_p, key_q), (value_p, value_q), (given_p, given_q), (share_p, share_q) = (
                _parts(states, sequence) for states in (query, key, value, gradient, shares)
            )
            given_i = _padded(given_q, sequence)
            # Of the scores: the prefix's own, the questions' with the prefix, and with themselves.
            scores_p = (given_p @ value_p.mT).sub_(share_p).mul_(weights_p)
            scores_o = (given_q @ value_p.mT).sub_(share_q).mul_(outer)
            scores_i = _flat(given_i @ _padded(value_q, sequence).mT, sequence).sub_(share_q).mul_(inner)
            scores_i = _padded(scores_i, sequence)
            _write(
                of_query,
                sequence,
                scores_p @ key_p,
                scores_o @ key_p + _flat(scores_i @ _padded(key_q, sequence), sequence),
            )
            _write(
                of_key,
                sequence,
                scores_p.mT @ query_p + scores_o.mT @ query_q,
                _flat(scores_i.mT @ _padded(query_q, sequence), sequence),
            )
            _write(
                of_value,
                sequence,
                weights_p.mT @ given_p + outer.mT @ given_q,
                _flat(_padded(inner, sequence).mT @ given_i, sequence),
            )
        return of_query, of_key, of_value, None


def _parts(states: Tensor, sequence: _Sequence) -> tuple[Tensor, Tensor]:
    """Those of the prefix, `(K, P * G, D)`, and of the questions, `(K, T * G, D)`, from `(B * L, K, G, D)`."""
    ordered = states[sequence.start : sequence.end].transpose(0, 1)  # (K, P + T, G, D)
    parts = ordered.split([sequence.prefix, len(sequence.places)], dim=1)
    return parts[0].flatten(1, 2), parts[1].flatten(1, 2)


def _write(states: Tensor, sequence: _Sequence, prefix: Tensor, questions: Tensor) -> None:
    """Inverse of `_parts`."""
    keys, groups, width = states.shape[1:]
    ordered = torch.cat([prefix, questions], dim=1).view(keys, -1, groups, width)
    states[sequence.start : sequence.end] = ordered.transpose(0, 1)


def _padded(states: Tensor, sequence: _Sequence) -> Tensor:
    """The questions beside each other, `(K, N, M * G, D)`, 0 on padding, from `(K, T * G, D)`."""
    keys, _, width = states.shape
    tokens = states.reshape(keys, len(sequence.places), -1)
    padded = states.new_zeros(keys, sequence.questions * sequence.longest, tokens.shape[2])
    return padded.index_copy_(1, sequence.places, tokens).view(keys, sequence.questions, -1, width)


def _flat(states: Tensor, sequence: _Sequence) -> Tensor:
    """Inverse of `_padded`."""
    keys, _, _, width = states.shape
    tokens = states.reshape(keys, sequence.questions * sequence.longest, -1)
    return tokens.index_select(1, sequence.places).view(keys, -1, width)


def _softmax(scores: Tensor) -> Tensor:
    """Over the last dimension, computed in float32."""
    return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)


def _future(length: int, groups: int, like: Tensor) -> Tensor:
    """`(length * groups, length)`: what, added to the scores, hides the tokens to come."""
    hidden = torch.full((length, length), torch.finfo(like.dtype).min, dtype=like.dtype, device=like.device)
    return hidden.triu(1).repeat_interleave(groups, dim=0)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, eager_mask)
