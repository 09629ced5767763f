import copy
import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from transformers.quantizers.quantizers_utils import should_convert_module

from favchat.config import ConfigError, LoraConfig
from favchat.hub.load import load
from favchat.model.lora import KEPT_WHOLE, add_lora, has_lora, merge_lora, quantization
from favchat.training.stage.optimizer import set_trainable


@pytest.fixture
def lora(tiny):
    """The tiny model with updates that are not zero."""
    model = copy.deepcopy(tiny[0])
    add_lora(model, LoraConfig(rank=4, targets=["q_proj", "down_proj"]))
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def batch(tiny, make_clip):
    """A question with its answer."""
    return tiny[1](text=tiny[1].prompt("Who?"), videos=[make_clip(0)], questions=["Who?"], answers=["A man."])


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


def test_new_updates_change_nothing_and_lie_in_the_language_model_alone(tiny, batch):
    model = copy.deepcopy(tiny[0])
    before = logits(model, batch)
    add_lora(model, LoraConfig(targets=["q_proj", "k_proj"]))
    torch.testing.assert_close(logits(model.eval(), batch), before)
    # The vision tower has layers of these names too.
    places = {name.split(".layers.")[0] for name, _ in model.named_parameters() if ".lora_" in name}
    assert places == {"model.language_model"}


def test_updates_learn_together_with_the_adapter_and_nothing_else_does(lora, batch):
    names = set_trainable(lora, ["adapter", "lora"])
    lora(**batch).loss.backward()
    reached = {name for name, parameter in lora.named_parameters() if parameter.grad is not None}
    assert reached == set(names)
    assert {name.split(".")[1] for name in names} == {"adapter", "language_model"}
    assert all(".lora_" in name for name in names if "language_model" in name)
    for name in names:
        if ".lora_" in name:
            assert lora.get_parameter(name).grad.abs().sum() > 0, name


def test_dropout_acts_while_updates_learn(tiny, batch):
    model = copy.deepcopy(tiny[0])
    add_lora(model, LoraConfig(dropout=0.5))
    for name, parameter in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    set_trainable(model, ["lora"])
    assert not torch.equal(logits(model, batch), logits(model, batch))
    set_trainable(model, ["adapter"])
    assert torch.equal(logits(model, batch), logits(model, batch))


def test_an_unknown_target_is_named_with_those_there_are(tiny):
    with pytest.raises(ConfigError, match="no linear layer 'qkv_proj'; it has down_proj, gate_proj, k_proj, o_proj"):
        add_lora(copy.deepcopy(tiny[0]), LoraConfig(targets=["q_proj", "qkv_proj"]))


def test_updates_are_saved_apart_and_come_back(lora, tiny, batch, tmp_path):
    expected = logits(lora, batch)
    lora.save_pretrained(tmp_path)
    tiny[1].save_pretrained(tmp_path)
    assert has_lora(lora)
    base, updates = load_file(tmp_path / "model.safetensors"), load_file(tmp_path / "adapter_model.safetensors")
    assert not any("lora" in name or "base_layer" in name for name in base)
    assert all("lora" in name for name in updates)
    for name, tensor in tiny[0].state_dict().items():
        if name in base:
            assert torch.equal(base[name], tensor), name
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 4

    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(loaded, batch), expected)

    loaded.save_pretrained(tmp_path / "again")
    assert load_file(tmp_path / "again" / "model.safetensors").keys() == base.keys()
    merge_lora(loaded)
    loaded.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(type(lora).from_pretrained(tmp_path / "merged"), batch), expected)

    again, _ = load(str(tmp_path))
    names = set_trainable(again, ["lora"])  # a later stage goes on with the same updates
    assert names
    again(**batch).loss.backward()
    assert all(again.get_parameter(name).grad is not None for name in names)


def test_merged_updates_are_in_the_weights(lora, batch, tmp_path):
    expected = logits(lora, batch)
    merge_lora(lora)
    assert not has_lora(lora)
    assert not any("lora" in name or "base_layer" in name for name, _ in lora.named_parameters())
    torch.testing.assert_close(logits(lora, batch), expected, atol=1e-4, rtol=1e-4)
    lora.save_pretrained(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    torch.testing.assert_close(logits(type(lora).from_pretrained(tmp_path), batch), expected, atol=1e-4, rtol=1e-4)


def test_a_state_dict_gathered_elsewhere_is_split_too(lora, tmp_path):
    gathered = {name: torch.full_like(tensor, 0.5) for name, tensor in lora.state_dict().items()}
    lora.save_pretrained(tmp_path, state_dict=gathered)
    for file in ("model.safetensors", "adapter_model.safetensors"):
        assert all((tensor == 0.5).all() for tensor in load_file(tmp_path / file).values())


def test_few_bits_need_a_gpu_and_bitsandbytes(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="4 bits needs a CUDA GPU"):
        quantization(4)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("favchat.model.lora.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="8 bits needs bitsandbytes"):
        quantization(8)


def test_few_bits_are_for_the_language_models_layers_alone(tiny):
    linear = {name for name, module in tiny[0].named_modules() if isinstance(module, torch.nn.Linear)}
    converted = {name for name in linear if should_convert_module(name, list(KEPT_WHOLE))}
    assert converted == {name for name in linear if name.startswith("model.language_model.")}
    assert len(converted) == 4 * 7
