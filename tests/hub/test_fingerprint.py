from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from favchat.config import ConfigError
from favchat.hub.fingerprint import model_fingerprint


@pytest.fixture
def folder(tmp_path):
    save_file({"weight": torch.zeros(1 << 20)}, tmp_path / "model.safetensors")  # 4 MiB
    for name in ("config.json", "chat_template.jinja", "README.md"):
        (tmp_path / name).write_text(name)
    (tmp_path / "adapter").mkdir()
    save_file({"weight": torch.zeros(4)}, tmp_path / "adapter" / "model.safetensors")
    return tmp_path


def touched(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "chat_template.jinja", "config.json", "adapter/model.safetensors"]
)
def test_a_bit_anywhere_tells_two_models_apart(folder, name):
    size = (folder / name).stat().st_size
    found = {model_fingerprint(str(folder))}
    places = [size - 1, size // 2, size // 3]
    for place in places:
        touched(folder / name, place)
        found.add(model_fingerprint(str(folder)))
    assert len(found) == 4
    for place in places:
        touched(folder / name, place)
    assert model_fingerprint(str(folder)) in found


def test_where_it_lies_and_what_is_written_about_it_does_not_count(folder, tmp_path_factory):
    before = model_fingerprint(str(folder))
    moved = tmp_path_factory.mktemp("elsewhere") / "model"
    folder.rename(moved)
    (moved / "README.md").write_text("other")
    (moved / ".cache").mkdir()
    (moved / ".cache" / "x").touch()
    assert model_fingerprint(str(moved)) == before
    (moved / "config.json").rename(moved / "other.json")
    assert model_fingerprint(str(moved)) != before


def test_a_hub_name_stands_for_one_commit(tmp_path, monkeypatch):
    import transformers.utils

    def snapshot(name, file):
        return str(tmp_path / "models--a--b" / "snapshots" / commit / file)

    monkeypatch.setattr(transformers.utils, "cached_file", snapshot)
    commit = "1" * 40
    assert model_fingerprint("a/b") == f"a/b@{commit}"
    commit = "2" * 40
    assert model_fingerprint("a/b") == f"a/b@{commit}"


def test_a_hub_out_of_reach_is_said(monkeypatch):
    import transformers.utils

    def fail(name, file):
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(transformers.utils, "cached_file", fail)
    with pytest.raises(ConfigError, match="a/b: the model hub did not give it: We couldn't connect"):
        model_fingerprint("a/b")


def test_what_registration_adds_is_no_part_of_the_model(folder):
    from favchat.hub.mlflow_flavor import add_flavor

    before = model_fingerprint(str(folder))
    add_flavor(folder)
    assert (folder / "MLmodel").is_file()
    assert model_fingerprint(str(folder)) == before
