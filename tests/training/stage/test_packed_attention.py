"""Which language models have it; tests/training/batches/test_packing.py holds its numbers."""

import pytest
from transformers import Gemma2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from favchat.training.stage.packed_attention import fits


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
    ],
)
def test_only_plain_attention_is_replaced(config, expected):
    assert fits(config) is expected
