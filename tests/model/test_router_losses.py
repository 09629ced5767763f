import pytest
import torch

from favchat.model.configuration_favchat import FaVChatAdapterConfig
from favchat.model.router_losses import shared_router_loss

CONFIG = FaVChatAdapterConfig(num_experts=4, num_experts_per_tok=2, router_aux_loss_coef=0.5, router_z_loss_coef=0.1)
TOKENS = 6


def part(videos_of_rows, labels_of_rows, seed=0):
    """Sequences with so many videos and labels each, and the logits of two expert layers."""
    length = max(videos_of_rows) * TOKENS + max(labels_of_rows) + 1
    visual = torch.zeros(len(videos_of_rows), length, dtype=torch.bool)
    labels = torch.full(visual.shape, -100)
    for row, (videos, count) in enumerate(zip(videos_of_rows, labels_of_rows, strict=True)):
        visual[row, : videos * TOKENS] = True
        labels[row, length - count :] = 1
    total = sum(videos_of_rows)
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(total * TOKENS, 4, generator=generator) for _ in range(2)], total, visual, labels


def test_the_shares_of_parts_add_up_to_that_of_the_whole():
    logits, videos, visual, labels = part([1, 1, 1, 1], [1, 7, 3, 5])
    whole = shared_router_loss(CONFIG, logits, videos, visual, labels, 16)
    for size in (1, 2):
        shares = [
            shared_router_loss(
                CONFIG,
                [layer[begin * TOKENS : (begin + size) * TOKENS] for layer in logits],
                size,
                visual[begin : begin + size],
                labels[begin : begin + size],
                16,
            )
            for begin in range(0, 4, size)
        ]
        torch.testing.assert_close(sum(shares), whole)


def test_alike_videos_count_as_one_whatever_is_asked_about_them():
    logits, videos, visual, labels = part([1], [4])
    one = shared_router_loss(CONFIG, logits, videos, visual, labels, 4)
    again = [layer.repeat(3, 1) for layer in logits]
    _, videos, visual, labels = part([1, 2], [2, 6])  # the second sequence has two of them
    assert shared_router_loss(CONFIG, again, videos, visual, labels, 8).item() == pytest.approx(one.item())


def test_a_video_that_nothing_is_asked_about_counts_for_nothing():
    logits, videos, visual, labels = part([1, 0, 1], [3, 2, 0])
    found = shared_router_loss(CONFIG, logits, videos, visual, labels, 5)
    alone = shared_router_loss(CONFIG, [layer[:TOKENS] for layer in logits], 1, visual[:1], labels[:1], 3)
    assert found.item() == pytest.approx(alone.item() * 3 / 5)
