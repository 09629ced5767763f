"""What was made of the store's videos."""

import numpy as np
import pytest

from favchat.config import Config
from serve.derived_files import DerivedFiles, version_of
from serve.errors import ApiError


def test_a_clip_comes_back_as_it_was(tmp_path, clips) -> None:
    derived = DerivedFiles(tmp_path, "v")
    (tmp_path / "film").mkdir()
    clip = clips["pexels_0"]
    derived.write_clip("film", clip, facts={"readable": 0.5}, faces=[])
    back = derived.read_clip("film")
    assert (back.info, back.cuts, back.shot) == (clip.info, clip.cuts, clip.shot)
    assert derived.told("film", "facts") == {"readable": 0.5} and derived.told("film", "faces") == []
    for name in ("frames", "faces", "timestamps", "boxes", "landmarks", "scores", "visible"):
        np.testing.assert_array_equal(getattr(back, name), getattr(clip, name))
        assert getattr(back, name).dtype == getattr(clip, name).dtype


def test_what_is_made_of_a_video_that_left_is_an_error(tmp_path, clips) -> None:
    derived = DerivedFiles(tmp_path, "v")
    for use in (
        lambda: derived.read_clip("0" * 64),
        lambda: derived.write_clip("0" * 64, clips["pexels_0"]),
    ):
        with pytest.raises(ApiError, match="dropped") as caught:
            use()
        assert caught.value.status == 503


def test_another_model_or_setting_is_another_version(tmp_path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"one")

    def version(**data) -> str:
        return version_of(Config.model_validate({"data": data}), str(model))

    first = version()
    assert version() == first
    # How clips are read is the model's to say, and not the settings'.
    assert version(frames={"fps": 2}) == first
    (model / "processor_config.json").write_text("{}")
    assert version() != first
    first = version()
    (model / "model.safetensors").write_bytes(b"another")
    assert version() != first
