"""The language model's precision while it is served."""

import copy

import pytest
import torch

from favchat.config import ConfigError, ServeConfig
from serve.language_model import cast_language_model


@pytest.fixture
def model(talkative):
    return copy.deepcopy(talkative[0])


def dtypes(model) -> set[torch.dtype]:
    """Of the decoder and its head."""
    return {next(part.parameters()).dtype for part in (model.model.language_model, model.lm_head)}


@pytest.mark.parametrize(
    ("capabilities", "precision", "expected"),
    [
        ({"avx512_bf16": True}, "auto", torch.bfloat16),
        ({"amx_bf16": True}, "auto", torch.bfloat16),
        ({"avx512_bf16": False}, "auto", torch.float32),
        ({}, "auto", torch.float32),
        ({}, "bf16", torch.bfloat16),
        ({"avx512_bf16": True}, "fp32", torch.float32),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_multiplies_it(model, monkeypatch, capabilities, precision, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    adapter = {name: tensor.dtype for name, tensor in model.model.adapter.state_dict().items()}
    cast_language_model(model, ServeConfig(precision=precision))
    assert dtypes(model) == {expected}
    assert {name: tensor.dtype for name, tensor in model.model.adapter.state_dict().items()} == adapter
    tied = model.lm_head.weight is model.model.language_model.get_input_embeddings().weight
    assert tied == model.config.text_config.tie_word_embeddings


def test_a_gpu_without_bfloat16_is_told_of(model, monkeypatch):
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(ConfigError, match=r"serve\.precision: this GPU has no bfloat16"):
        cast_language_model(model, ServeConfig(precision="bf16"))
    cast_language_model(model, ServeConfig())
    assert dtypes(model) == {torch.float32}
