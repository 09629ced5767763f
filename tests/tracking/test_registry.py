import copy
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from favchat.config import ConfigError, TrackingConfig
from favchat.hub.load import load as load_model
from favchat.tracking import CHALLENGER, CHAMPION, DATA, METRIC, registry, resolve_model, start_run


@pytest.fixture
def registered(store, tiny, tmp_path):
    """Two versions of a registered model; the second one's config.json differs."""
    model, processor = tiny
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    run = start_run(TrackingConfig(), "train")
    names = [run.register_model(folder, "faces")]
    (folder / "second").write_text("")
    run = start_run(TrackingConfig(), "train")
    names.append(run.register_model(folder, "faces"))
    shutil.rmtree(folder)
    return names


def test_a_registration_that_was_broken_off_makes_no_second_version(store, tmp_path):
    (tmp_path / "model").mkdir()
    run = start_run(TrackingConfig(), "train")
    tags = {"weights": "sha256:1", "metric": "val_loss", "val_loss": "1.5"}
    names = [run.register_model(tmp_path / "model", "faces", tags=tags) for _ in range(2)]
    names.append(run.register_model(tmp_path / "model", "faces", tags=tags | {"weights": "sha256:2"}))
    assert names == ["models:/faces/1", "models:/faces/1", "models:/faces/2"]
    assert str(run.client.get_model_version_by_alias("faces", CHAMPION).version) == "1"


def test_the_newest_version_is_the_champion(registered):
    assert registered == ["models:/faces/1", "models:/faces/2"]
    champion = resolve_model(f"models:/faces@{CHAMPION}")
    assert champion == resolve_model("models:/faces/2")
    assert (champion / "second").exists()
    assert not (resolve_model("models:/faces/1") / "second").exists()


def test_a_registered_model_loads_by_its_name(registered, tiny):
    model, processor = load_model("models:/faces@champion")
    name = "model.adapter.out_proj.weight"
    assert model.get_parameter(name).equal(tiny[0].get_parameter(name))
    assert processor.num_frames == tiny[1].num_frames


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("models:/faces", "models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/faces/newest", "models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/faces/9", "no such model in the registry.*registered models: faces"),
        ("models:/faces@loser", "no such model in the registry.*registered models: faces"),
        ("models:/nobody@champion", "no such model in the registry.*registered models: faces"),
    ],
)
def test_a_model_that_is_not_registered_is_named(registered, name, message):
    with pytest.raises(ConfigError, match=message):
        resolve_model(name)


def test_a_registered_directory_that_is_gone_is_named(registered):
    shutil.rmtree(resolve_model("models:/faces/1"))
    with pytest.raises(ConfigError, match="is gone"):
        resolve_model("models:/faces/1")


def test_a_model_of_another_machine_is_downloaded_once(registered, store, monkeypatch):
    downloads = []

    def download(**where):
        downloads.append(where["artifact_uri"])
        return shutil.copytree(local, Path(where["dst_path"]) / "model")

    local = resolve_model("models:/faces/2")
    monkeypatch.setattr(registry, "is_local_uri", lambda uri: False)
    monkeypatch.setattr(registry, "download_artifacts", download)
    found = [resolve_model("models:/faces@champion") for _ in range(2)]
    assert len(downloads) == 1
    assert found[0] == found[1] != local
    assert found[0].is_relative_to(store / "models")
    assert (found[0] / "config.json").read_text() == (local / "config.json").read_text()


def test_the_champion_is_the_better_version_and_the_log_says_why(store, tmp_path, caplog):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"x" * 1000)

    def register(**tags):
        tags = {METRIC: "val_loss", DATA: "a"} | {key: str(value) for key, value in tags.items()}
        caplog.clear()
        run = start_run(TrackingConfig(), "train")
        return run.register_model(folder, "ranked", tags=tags), caplog.text

    client = start_run(TrackingConfig(), "look").client
    assert "champion: there was none" in register(val_loss=2.0)[1]
    assert "challenger: val_loss 3.0000 against 2.0000 of version 1" in register(val_loss=3.0)[1]
    assert "champion: val_loss 1.0000 against 2.0000 of version 1" in register(val_loss=1.0)[1]
    assert "challenger: its val_loss was measured on other data" in register(val_loss=0.5, **{DATA: "b"})[1]
    assert "challenger: its uar cannot be compared" in register(uar=0.5, **{METRIC: "uar"})[1]
    aliases = client.get_registered_model("ranked").aliases
    assert {name: int(version) for name, version in aliases.items()} == {CHAMPION: 3, CHALLENGER: 5}
    assert client.get_model_version("ranked", "3").tags["val_loss"] == "1.0"


def test_weights_that_did_not_change_are_not_stored_again(store, tiny, tmp_path):
    model, processor = copy.deepcopy(tiny[0]), tiny[1]
    paths = []
    for version in range(3):
        folder = tmp_path / f"model{version}"
        with torch.no_grad():
            model.model.adapter.out_proj.weight += version
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        name = start_run(TrackingConfig(), "train").register_model(folder, "shared")
        paths.append(resolve_model(name))
    inodes = [{file.stat().st_ino: file.stat().st_size for file in path.glob("*.safetensors")} for path in paths]
    whole = sum(inodes[0].values())
    for before, now in pairwise(inodes):
        fresh = {inode: size for inode, size in now.items() if inode not in before}
        assert len(fresh) == 1
        adapter = sum(value.nbytes for value in model.model.adapter.state_dict().values())
        assert adapter < sum(fresh.values()) < adapter + 10_000 < whole / 2
    for version, path in enumerate(paths):
        loaded, _ = load_model(str(path))
        original, _ = load_model(str(tmp_path / f"model{version}"))
        for (name, one), (other, two) in zip(loaded.state_dict().items(), original.state_dict().items(), strict=True):
            assert name == other
            assert one.equal(two), name
    shutil.rmtree(paths[0])
    assert load_model(str(paths[1]))


def test_a_version_lives_on_without_the_folder_it_came_from(store, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"model.adapter.x": torch.ones(3)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "more").mkdir()
    (folder / "more" / "note").write_text("hello")
    stored = resolve_model(start_run(TrackingConfig(), "train").register_model(folder, "linked"))
    shutil.rmtree(folder)
    assert (stored / "more" / "note").read_text() == "hello"
    assert load_file(stored / "model-00001-of-00001.safetensors")["model.adapter.x"].equal(torch.ones(3))
    index = json.loads((stored / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {"model.adapter.x": "model-00001-of-00001.safetensors"}
