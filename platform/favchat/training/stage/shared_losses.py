"""The losses of a worker's part of a batch, such that those of all parts add up to the loss of the whole.

Means over a part are no shares of the mean over the batch, where parts have different numbers of videos; the balance of
experts, a product of two means, is no sum over parts at all; and a video whose questions are divided among workers is
seen by each of them. Here every video counts as often as in the undivided batch, and the workers first add up which
experts were chosen (as Qiu et al. 2025, "Demons in the Detail", do, for other reasons).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from favchat.model.configuration_favchat import FaVChatAdapterConfig
from favchat.training.batches.batch import Batch
from favchat.training.stage.collectives import all_gather_objects, all_reduce_sum


def video_weights(batches: Sequence[Batch], device: torch.device, divided: bool) -> list[Tensor]:
    """What each video of this worker's parts counts for: 1, divided by the number of parts that see it.

    Args:
        batches: This worker's parts.
        device: Of the weights.
        divided: Whether the batch has other parts, of this or other workers; then a collective call.

    Returns:
        `(V,)` float64 of each part.
    """
    if not divided:
        return [torch.ones(_videos(batch), dtype=torch.float64, device=device) for batch in batches]
    mine = [sorted(set(batch.videos or ())) for batch in batches]
    parts = Counter(name for parts in all_gather_objects(mine) for names in parts for name in names)
    return [
        torch.tensor(
            [1 / parts[name] for name in batch.videos] if batch.videos is not None else [1.0] * _videos(batch),
            dtype=torch.float64,
            device=device,
        )
        for batch in batches
    ]


def _videos(batch: Batch) -> int:
    return len(batch.inputs["face_visible"])


def router_shares(
    router_logits: Sequence[Tensor], weights: Tensor, config: FaVChatAdapterConfig, all_videos: float
) -> tuple[Tensor, Tensor]:
    """This part's shares of the load-balancing loss and the router z-loss; a collective call.

    The balance is that of all parts that are worked on at once, by all workers: eq. 4 to 6 of Switch Transformers
    (arXiv 2101.03961) with the fractions over all of their tokens. The z-loss is eq. 5 of ST-MoE (arXiv 2202.08906).

    Args:
        router_logits: For each expert layer `(V n, E)`, video by video.
        weights: `(V,)`, see :func:`video_weights`.
        config: The adapter's.
        all_videos: The weights of all parts of the batch, added up.

    Returns:
        The balance loss, to be added up over the workers, and the z-loss, to be added up over all parts.
    """
    logits = torch.stack(list(router_logits)).float()  # (layers, V n, E)
    tokens = logits.shape[1] // len(weights)
    each = weights.to(logits.dtype).repeat_interleave(tokens) / (len(logits) * tokens)  # (V n,)
    odds = logits.softmax(dim=-1)
    chosen = one_hot(odds.topk(config.num_experts_per_tok, dim=-1).indices, config.num_experts).sum(dim=-2)
    probability = torch.einsum("lne,n->e", odds, each)
    counts = torch.einsum("lne,n->e", chosen.to(each.dtype), each).detach().double()
    *fractions, videos = all_reduce_sum(torch.cat([counts, weights.sum().view(1)])).unbind()
    share = torch.stack(fractions) / videos
    balance = config.num_experts * (share.to(probability.dtype) * probability).sum() / videos.to(probability.dtype)
    z = torch.einsum("ln,n->", logits.logsumexp(dim=-1).square(), each) / all_videos
    return balance, z
