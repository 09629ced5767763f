"""The router's losses of a part of a batch, so that those of all parts add up to the same sum however it is divided.

The balance of experts over a batch is no sum over its parts; of each video it is. Each video's losses therefore count
for as much as the labels about it do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from favchat.model.configuration_favchat import FaVChatAdapterConfig


def shared_router_loss(
    config: FaVChatAdapterConfig,
    router_logits: Sequence[Tensor],
    videos: int,
    visual: Tensor,
    labels: Tensor,
    items: Tensor | int,
) -> Tensor:
    """This part's share of the weighted load-balancing loss and router z-loss.

    Args:
        config: The adapter's.
        router_logits: For each expert layer `(V n, E)`, video by video.
        videos: V.
        visual: `(B, L)` bool, where the videos' tokens are, in reading order and equally many of each.
        labels: `(B, L)` token ids, -100 where nothing is to be learnt.
        items: Labels of the whole batch.
    """
    counts = (labels[:, 1:] != -100).sum(dim=1)  # (B,)
    of_row = visual.sum(dim=1) * videos // visual.sum()  # (B,) videos of each sequence
    weights = torch.repeat_interleave(counts / of_row.clamp(min=1), of_row) / items  # (V,)
    losses = []
    for logits in zip(*(layer.chunk(videos) for layer in router_logits), strict=True):
        balance = load_balancing_loss_func(logits, config.num_experts, config.num_experts_per_tok)
        z = torch.stack([layer.logsumexp(dim=-1).square().mean() for layer in logits]).mean()
        losses.append(config.router_aux_loss_coef * balance + config.router_z_loss_coef * z)
    return (torch.stack(losses) * weights).sum()
