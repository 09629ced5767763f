"""Cross entropy of tokens over a large vocabulary, without copies of all logits in float32.

`torch.nn.functional.cross_entropy` of float32 logits makes three tensors of their size and its gradient two more; with
300 tokens and a vocabulary of 49,152 they take longer than the product that makes the logits.
`torch.nn.functional.linear_cross_entropy` knows no weights of single tokens and returns no logits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

CHUNK = 32
"""Tokens whose logits are in float32 at once: few enough to stay in a processor's cache, some 6 MB."""


def token_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross entropy of each token, computed in float32.

    Args:
        logits: `(n, vocabulary)`, of any precision, which their gradient has too.
        labels: `(n,)` integers, negative where a token is not to be counted.

    Returns:
        `(n,)` float32, 0 where a token is not counted.
    """
    losses: Tensor = _TokenLosses.apply(logits, labels.clamp_min(0))
    return losses.masked_fill(labels < 0, 0.0)


class _TokenLosses(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        sums = torch.cat([chunk.float().logsumexp(dim=1) for chunk in logits.split(CHUNK)])
        ctx.save_for_backward(logits, labels, sums)
        return sums - logits.gather(1, labels.unsqueeze(1)).squeeze(1).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, labels, sums = ctx.saved_tensors
        (given,) = gradients
        found = torch.empty_like(logits)
        parts = zip(*(tensor.split(CHUNK) for tensor in (logits, labels, sums, given, found)), strict=True)
        for chunk, label, total, scale, out in parts:
            softmax = (chunk.float() - total.unsqueeze(1)).exp_()
            softmax.scatter_add_(1, label.unsqueeze(1), -torch.ones_like(total).unsqueeze(1))
            out.copy_(softmax.mul_(scale.unsqueeze(1)))
        return found, None
