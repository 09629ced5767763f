"""Shared keys give what copied ones give, and are chosen on CPUs alone."""

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations import sdpa_attention

from serve.shared_keys import FORCED, share_keys_on_cpu


@pytest.mark.parametrize(("device", "shares"), [("cpu", True), ("cuda", False)])
def test_masked_attention_is_the_same_and_copies_no_keys_on_a_cpu(device, shares, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 6, 5, 8, generator=generator)
    key, value = torch.randn(2, 1, 2, 20, 8, generator=generator)
    mask = torch.rand(1, 1, 5, 20, generator=generator) > 0.5
    layer = SimpleNamespace(num_key_value_groups=3, is_causal=True)
    copies = []
    copy = sdpa_attention.repeat_kv
    monkeypatch.setattr(sdpa_attention, "repeat_kv", lambda *given: copies.append(given) or copy(*given))
    monkeypatch.delenv(FORCED, raising=False)
    expected, _ = sdpa_attention.sdpa_attention_forward(layer, query, key, value, mask)
    assert len(copies) == 2
    monkeypatch.setenv(FORCED, "")  # so that what follows is undone
    monkeypatch.delenv(FORCED)
    share_keys_on_cpu(torch.device(device))
    found, _ = sdpa_attention.sdpa_attention_forward(layer, query, key, value, mask)
    assert len(copies) == (2 if shares else 4)
    torch.testing.assert_close(found, expected)
