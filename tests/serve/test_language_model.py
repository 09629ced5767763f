"""The language model as it is served: its precision, and without low-rank updates apart."""

import copy

import pytest
import torch

from favchat.config import ConfigError, LoraConfig, ServeConfig
from favchat.model.lora import add_lora, has_lora
from serve.language_model import prepare_language_model


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
    prepare_language_model(model, ServeConfig(precision=precision))
    assert dtypes(model) == {expected}
    assert {name: tensor.dtype for name, tensor in model.model.adapter.state_dict().items()} == adapter
    tied = model.lm_head.weight is model.model.language_model.get_input_embeddings().weight
    assert tied == model.config.text_config.tie_word_embeddings


def test_a_gpu_without_bfloat16_is_told_of(model, monkeypatch):
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(ConfigError, match=r"serve\.precision: this GPU has no bfloat16"):
        prepare_language_model(model, ServeConfig(precision="bf16"))
    prepare_language_model(model, ServeConfig())
    assert dtypes(model) == {torch.float32}


def test_low_rank_updates_are_in_the_weights(model):
    add_lora(model, LoraConfig(rank=4, targets=["q_proj", "down_proj"]))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.eval()
    decoder, ids = model.model.language_model, torch.arange(7)[None]
    with torch.no_grad():
        before = decoder(input_ids=ids).last_hidden_state
        prepare_language_model(model, ServeConfig(precision="fp32"))
        after = decoder(input_ids=ids).last_hidden_state
    assert not has_lora(model) and not any(".lora_" in name for name, _ in model.named_parameters())
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_low_rank_updates_are_added_in_float32_before_the_weights_are_cast(model):
    model.to(torch.bfloat16)
    add_lora(model, LoraConfig(rank=4, targets=["q_proj"]))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    layer = model.model.language_model.layers[0].self_attn.q_proj
    update = layer.scaling["default"] * layer.lora_B["default"].weight.float() @ layer.lora_A["default"].weight.float()
    expected = (layer.base_layer.weight.float() + update).to(torch.bfloat16)
    prepare_language_model(model, ServeConfig(precision="bf16"))
    assert dtypes(model) == {torch.bfloat16}
    torch.testing.assert_close(model.model.language_model.layers[0].self_attn.q_proj.weight, expected)
