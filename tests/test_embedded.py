"""The trained model that comes with the package."""

import json
import threading

import pytest
import torch
from safetensors import safe_open

from favchat import assets, embedded
from favchat.config import ModelConfig
from favchat.config import load as load_config
from favchat.model.build import load
from favchat.model_names import EMBEDDED, resolve_model
from jobs.ask import run as ask
from jobs.cli import CONFIGS
from jobs.quickstart import SAMPLE


def test_the_adapter_is_put_on_its_backbones(stand_in, tiny):
    folder = resolve_model(EMBEDDED)
    model, processor = load(EMBEDDED)
    assert folder == str(embedded.path())
    for name, value in model.model.adapter.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stand_in[name].float())
    words = "model.language_model.embed_tokens.weight"
    assert torch.equal(model.state_dict()[words], tiny[0].state_dict()[words])
    assert processor.num_frames == tiny[1].num_frames
    assert (embedded.path() / "README.md").read_text() == "Small."


def test_it_is_made_once_and_another_adapter_gets_another_folder(stand_in):
    found = []
    starts = [threading.Thread(target=lambda: found.append(embedded.path())) for _ in range(2)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    written = (found[0] / "model.safetensors").stat().st_mtime_ns
    assert found == [embedded.path()] * 2
    assert (embedded.path() / "model.safetensors").stat().st_mtime_ns == written
    embedded.CARD.write_text("Other.")
    assert embedded.path() != found[0]


def test_what_ships_is_small_and_of_the_embedded_backbones():
    assert embedded.ADAPTER.stat().st_size < 10e6
    with safe_open(embedded.ADAPTER, framework="pt") as file:
        model = ModelConfig(**json.loads(file.metadata()["model"]))
    for slot in (model.text, model.vision, model.face):
        assert slot.pretrained.startswith("asset:")
    # The card of the quickstart's model tells of that section.
    assert load_config(CONFIGS / "quickstart.yaml").model == model
    card = embedded.CARD.read_text()
    for heading in ("## Training", "## Metrics", "## Limits"):
        assert heading in card


@pytest.fixture(scope="module")
def answers(centerface):
    """What the package's model says about two sample clips."""
    try:
        resolve_model(EMBEDDED)
    except assets.AssetError as error:
        pytest.skip(f"the backbones cannot be fetched: {error}")
    question = "What emotion does the person show?"
    return {name: ask(None, str(SAMPLE / "clips" / name), [question])[0] for name in ("pexels_4.mp4", "capture_1.mp4")}


def test_it_sees_an_expression_out_of_the_box(answers):
    assert "happy" in answers["pexels_4.mp4"]
    assert "happy" not in answers["capture_1.mp4"]
