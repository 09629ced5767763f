import pytest

from favchat.backbones.names import resolve_backbone, resolve_backbones
from favchat.config import BackboneConfig, ConfigError, ModelConfig
from favchat.hub.names import resolve_model


def test_a_models_directory_is_found_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("model") == str(tmp_path / "model")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A cache of the hub that holds one model, and no hub."""
    cached = tmp_path / "models--someone--on-the-hub"
    for name, content in {"refs/main": "abc", "snapshots/abc/config.json": "{}"}.items():
        (cached / name).parent.mkdir(parents=True)
        (cached / name).write_text(content)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")


def test_a_name_on_the_hub_is_looked_up(hub_cache):
    assert resolve_model("someone/on-the-hub") == "someone/on-the-hub"
    with pytest.raises(
        ConfigError, match=r"serve.model = someone/else: .*hub did not give it: http://127.0.0.1:1 is out"
    ):
        resolve_model("someone/else", key="serve.model")
    with pytest.raises(ConfigError, match="training.init = a--b/..: "):
        resolve_model("a--b/..", key="training.init")


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert resolve_model("~/model") == str(tmp_path / "model")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "plain", "."])
def test_what_is_no_model_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no model here"):
        resolve_model(name)


def test_a_misspelt_asset_is_no_model():
    with pytest.raises(ConfigError, match="asset:favchat-nanno: the model that comes .* is called asset:favchat-nano"):
        resolve_model("asset:favchat-nanno")


def test_an_unknown_asset_is_refused_with_the_nearest_name():
    slot = BackboneConfig(pretrained="asset:smollm")
    with pytest.raises(ConfigError, match=r"model.text.pretrained: .*asset:smollm; did you mean asset:smollm2-135m"):
        resolve_backbone(slot, "model.text")


def test_directories_become_absolute_and_assets_keep_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    mine, trunks = BackboneConfig(pretrained="mine"), BackboneConfig(pretrained="asset:face-trunks")
    resolved = resolve_backbones(ModelConfig(text=mine, vision=mine, face=trunks))
    assert resolved.text.pretrained == resolved.vision.pretrained == str(tmp_path / "mine")
    assert resolved.face.pretrained == "asset:face-trunks"


def test_a_hub_that_is_out_of_reach_is_said_before_any_work(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)
    trunks = BackboneConfig(pretrained="asset:face-trunks")
    far = BackboneConfig(pretrained="someone/on-the-hub")
    with pytest.raises(ConfigError) as error:
        resolve_backbones(ModelConfig(text=trunks, vision=far, face=trunks))
    message = str(error.value)
    assert message.startswith("model.vision.pretrained = someone/on-the-hub: cannot be loaded.")
    assert "preprocessor_config.json" in message
    assert "hf download someone/on-the-hub --local-dir DIR" in message
