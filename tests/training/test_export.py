import copy
import subprocess
import sys

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open

from favchat.config import ConfigError, LoraConfig
from favchat.hub.load import load
from favchat.model.lora import add_lora, has_lora
from favchat.training.export import export
from favchat.training.stage import checkpoints
from favchat.training.stage.starting_model import starting_model


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A model with LoRA that changes something, and its directory."""
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    torch.manual_seed(0)
    add_lora(model, LoraConfig(rank=2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_()
    place = tmp_path_factory.mktemp("trained") / "model"
    model.save_pretrained(place)
    processor.save_pretrained(place)
    (place / "README.md").write_text("---\nlibrary_name: transformers\n---\n# The card\n")
    return model.eval(), place


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(1, 20)[None]).logits


def test_lora_lies_beside_the_weights_or_is_merged(trained, tmp_path):
    model, place = trained
    apart, _ = load(str(export(str(place), tmp_path / "apart")))
    merged, _ = load(str(export(str(place), tmp_path / "merged", merge=True)))
    assert has_lora(apart)
    assert not has_lora(merged)
    for found in (apart, merged):
        torch.testing.assert_close(logits(found), logits(model), rtol=1e-4, atol=1e-4)
    assert (tmp_path / "apart" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "merged" / "adapter_model.safetensors").exists()


def test_a_hubs_folder_holds_what_a_hub_needs_and_no_pickle(trained, tmp_path):
    place = export(str(trained[1]), tmp_path / "hub", to="hub-folder", merge=True, precision="fp16")
    names = {path.name for path in place.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "processor_config.json"}
    assert names >= {"tokenizer.json", "README.md", ".gitattributes"}
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    card = ModelCard.load(place / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("favchat", "video-text-to-text")
    assert "# The card" in card.text and "It needs the package `favchat`" in card.text
    # What a stranger meets, and what the card says about it.
    code = f"from transformers import AutoConfig; AutoConfig.from_pretrained({str(place)!r})"
    stranger = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "model type `favchat` but Transformers does not recognize" in " ".join(stranger.stderr.split())
    assert "recognize the model type `favchat`" in " ".join(card.text.split())
    with safe_open(place / "model.safetensors", framework="pt") as file:
        assert {file.get_slice(key).get_dtype() for key in file.keys()} <= {"F16", "I64"}  # noqa: SIM118 - no mapping
    assert load(str(place))[0].dtype == torch.float16


def test_a_checkpoint_is_exported_whole(tiny, tiny_preset, tmp_path):
    model = copy.deepcopy(tiny[0])
    weight = model.model.adapter.out_proj.weight.detach() + 1
    settings = {"init": None, "model": tiny_preset.model.model_dump(mode="json"), "seed": 0, "trainable": ["adapter"]}
    states = [("model.adapter.out_proj.weight", {"weight": weight})]
    place = checkpoints.write(tmp_path, checkpoints.Record(3, settings), states, {}, keep=1)
    found, _ = load(str(export(str(place), tmp_path / "out")))
    assert torch.equal(found.model.adapter.out_proj.weight, weight)
    assert torch.equal(found.lm_head.weight, model.lm_head.weight)
    assert ModelCard.load(tmp_path / "out" / "README.md").data.tags[0] == "favchat"
    # A stage may start there.
    again, _ = starting_model(tiny_preset.model, 1, str(place))
    assert torch.equal(again.model.adapter.out_proj.weight, weight)


def test_nothing_is_overwritten(trained, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="something lies there already"):
        export(str(trained[1]), tmp_path)
