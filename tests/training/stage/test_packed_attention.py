"""Which models have it, and that it is masked attention; tests/training/batches/test_packing.py holds its losses."""

import pytest
import torch
from transformers import Gemma2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from favchat.training.batches.packing import with_mask
from favchat.training.stage.packed_attention import fits, packed_attention


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LlamaConfig(), True),
        (Qwen3Config(), True),
        (Qwen2Config(use_sliding_window=False), True),
        (Qwen2Config(use_sliding_window=True, sliding_window=64, max_window_layers=1, num_hidden_layers=2), False),
        (MistralConfig(sliding_window=4096), False),
        (MistralConfig(sliding_window=None), True),
        (Gemma2Config(), False),
        (LlamaConfig(attention_dropout=0.1), False),
    ],
)
def test_only_plain_attention_is_replaced(config, expected):
    assert fits(config) is expected


@pytest.mark.parametrize("heads", [(6, 2), (3, 3), (4, 1)])
def test_values_and_gradients_are_those_of_the_mask(heads):
    """Two rows, the first with two sequences, the second with one and padding after it."""
    sequences = torch.tensor([[1] * 9 + [2] * 7, [1] * 5 + [0] * 11])
    blocks = torch.tensor([[0, 0, 0, 1, 2, 2, 2, 3, 3, 0, 0, 1, 1, 1, 1, 2], [0, 0, 0, 1, 1] + [0] * 11])
    batch = with_mask({"sequences": sequences, "blocks": blocks, "labels": torch.zeros_like(blocks)})
    assert batch["packed_lengths"].tolist() == [[0, 3, 1, 3, 2], [9, 2, 4, 1, 0], [16, 3, 2, 0, 0]]
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(2, number, 16, 8, generator=generator) for number in (heads[0], heads[1], heads[1])]
    wanted = torch.randn(2, 16, heads[0], 8, generator=generator)
    there = (sequences > 0)[..., None, None]
    module = torch.nn.Module()
    module.num_key_value_groups = heads[0] // heads[1]
    results = []
    for lengths in (batch["packed_lengths"], None):
        given = [state.clone().requires_grad_() for state in states]
        out, _ = packed_attention(module, *given, batch["attention_mask"], 0.5, packed_lengths=lengths)
        (out * wanted * there).sum().backward()
        results.append([out * there, *(state.grad for state in given)])
    for own, masked in zip(*results, strict=True):
        torch.testing.assert_close(own, masked, rtol=1e-5, atol=1e-6)
