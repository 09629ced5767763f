"""The trained model that comes with the package."""

import copy
import json
import runpy
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from favchat.backbones import assets
from favchat.config import ModelConfig
from favchat.config import load as load_config
from favchat.hub import shipped_model
from favchat.hub.load import load
from favchat.hub.names import SHIPPED, resolve_model
from favchat.model.lora import add_lora, merge_lora
from jobs.ask import run as ask
from jobs.commands.settings import CONFIGS
from jobs.quickstart import SAMPLE

TOOL = Path(__file__).parents[2] / "tools" / "embed_model.py"


def test_the_adapter_is_put_on_its_backbones(stand_in, tiny):
    folder = resolve_model(SHIPPED)
    model, processor = load(SHIPPED)
    assert folder == str(shipped_model.path())
    for name, value in stand_in.items():
        assert torch.equal(model.state_dict()[name], value.float())
    assert {value.dtype for value in model.state_dict().values() if value.is_floating_point()} == {torch.float32}
    words = "model.language_model.embed_tokens.weight"
    assert torch.equal(model.state_dict()[words], tiny[0].state_dict()[words])
    assert processor.num_frames == tiny[1].num_frames
    assert (shipped_model.path() / "README.md").read_text() == "Small."


def test_it_is_made_once_and_another_adapter_gets_another_folder(stand_in):
    found = []
    starts = [threading.Thread(target=lambda: found.append(shipped_model.path())) for _ in range(2)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    written = (found[0] / "model.safetensors").stat().st_mtime_ns
    assert found == [shipped_model.path()] * 2
    assert (shipped_model.path() / "model.safetensors").stat().st_mtime_ns == written
    shipped_model.CARD.write_text("Other.")
    assert shipped_model.path() != found[0]


def test_what_a_run_learnt_is_taken_in_with_its_low_rank_updates(stand_in, tiny, tiny_preset, tmp_path, monkeypatch):
    trained = copy.deepcopy(tiny[0])
    add_lora(trained, tiny_preset.model.lora)
    for name, parameter in trained.named_parameters():
        if shipped_model.is_learnt(name):
            torch.nn.init.normal_(parameter, std=0.1)
    run = tmp_path / "run"
    trained.save_pretrained(run)
    tiny[1].save_pretrained(run)
    (run / "README.md").write_text("Trained.")
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(run), "tiny"])
    runpy.run_path(str(TOOL), run_name="__main__")
    merge_lora(trained)
    found = load(SHIPPED)[0].state_dict()
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=2e-3, rtol=2e-3)
    words = "model.language_model.layers.0.mlp.up_proj.weight"
    assert not torch.allclose(found[words], tiny[0].state_dict()[words], atol=1e-2)
    assert (shipped_model.path() / "README.md").read_text() == "Trained."


def test_a_training_that_began_from_the_package_adds_to_its_updates(stand_in, tiny, tiny_preset, tmp_path, monkeypatch):
    def embed(model, name, *flags):
        model.save_pretrained(tmp_path / name)
        tiny[1].save_pretrained(tmp_path / name)
        (tmp_path / name / "README.md").write_text(name)
        monkeypatch.setattr(sys, "argv", [str(TOOL), str(tmp_path / name), "tiny", *flags])
        runpy.run_path(str(TOOL), run_name="__main__")

    first = copy.deepcopy(tiny[0])
    add_lora(first, tiny_preset.model.lora)
    for name, parameter in first.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    embed(first, "first")
    second, _ = load(SHIPPED)
    add_lora(second, tiny_preset.model.lora)
    rows = first.state_dict()
    for name, parameter in second.named_parameters():
        if ".lora_A." in name:  # in the rows of the first one's updates, so that the sum has no higher rank
            parameter.data.copy_(rows[name])
        elif ".lora_B." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    second.model.adapter.out_proj.weight.data += 0.5
    embed(second, "second", "--further")
    merge_lora(second)
    third, _ = load(SHIPPED)
    for name, value in second.state_dict().items():
        torch.testing.assert_close(third.state_dict()[name], value, atol=4e-3, rtol=4e-3)
    assert (shipped_model.path() / "README.md").read_text() == "first"
    third.model.adapter.out_proj.weight.data += 0.5
    embed(third, "third", "--further")  # without updates of the language model
    for name, value in load(SHIPPED)[0].state_dict().items():
        torch.testing.assert_close(value, third.state_dict()[name], atol=4e-3, rtol=4e-3)


def test_what_ships_is_small_and_of_the_embedded_backbones():
    assert shipped_model.ADAPTER.stat().st_size < 12e6
    with safe_open(shipped_model.ADAPTER, framework="pt") as file:
        model = ModelConfig(**json.loads(file.metadata()["model"]))
    for slot in (model.text, model.vision, model.face):
        assert slot.pretrained.startswith("asset:")
    assert load_config(CONFIGS / "nano.yaml").model == model
    card = shipped_model.CARD.read_text()
    for heading in ("## What it was taught", "## How well", "## What it refuses", "## Limits"):
        assert heading in card


@pytest.fixture(scope="module")
def answers(centerface):
    """What the package's model says about two sample clips."""
    try:
        resolve_model(SHIPPED)
    except assets.AssetError as error:
        pytest.skip(f"the backbones cannot be fetched: {error}")
    question = "What emotion does the person show?"
    return {name: ask(None, str(SAMPLE / "clips" / name), [question])[0] for name in ("pexels_4.mp4", "capture_1.mp4")}


@pytest.mark.slow
def test_it_sees_an_expression_out_of_the_box(answers):
    assert "happy" in answers["pexels_4.mp4"]
    assert "happy" not in answers["capture_1.mp4"]
