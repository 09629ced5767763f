"""The store of videos and files."""

import hashlib
import io
import os

import numpy as np
import pytest

from favchat.config import Config
from serve.errors import ApiError
from serve.store import VideoStore


def store_of(folder, max_videos: int = 3) -> VideoStore:
    return VideoStore(folder, version="v", max_videos=max_videos)


def add(store: VideoStore, data: bytes, age: float = 0.0) -> str:
    key = store.add(io.BytesIO(data))
    home = store.source(key).parent
    os.utime(home, (home.stat().st_mtime - age,) * 2)
    return key


def test_the_same_bytes_are_one_video(tmp_path) -> None:
    store = store_of(tmp_path)
    key = add(store, b"film")
    assert key == hashlib.sha256(b"film").hexdigest() == add(store, b"film")
    assert store.source(key).read_bytes() == b"film"
    assert len(list((tmp_path / "videos").iterdir())) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "videos"]


def test_the_video_unused_for_longest_makes_room(tmp_path) -> None:
    store = store_of(tmp_path)
    old, older, new = add(store, b"old", 20), add(store, b"older", 30), add(store, b"new", 10)
    store.touch(older)
    latest = add(store, b"latest")
    assert not store.source(old).exists()
    assert all(store.source(key).exists() for key in (older, new, latest))


def test_uploaded_files_stay_until_they_fill_the_store(tmp_path) -> None:
    store = store_of(tmp_path)
    files = [store.add_file(io.BytesIO(bytes([n])), f"{n}.mp4", "vision") for n in range(3)]
    with pytest.raises(ApiError, match="at most 3") as caught:
        add(store, b"one more")
    assert caught.value.code == "storage_full"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "videos"]
    store.delete_file(files[0].id)
    assert not store.source(files[0].video).exists()
    add(store, b"one more")


def test_a_video_goes_with_its_last_file(tmp_path) -> None:
    store = store_of(tmp_path)
    one, two = (store.add_file(io.BytesIO(b"film"), "a.mp4", "vision") for _ in range(2))
    store.delete_file(one.id)
    assert store.video(two.id) == one.video
    store.delete_file(two.id)
    with pytest.raises(ApiError, match="No such file"):
        store.video(two.id)
    with pytest.raises(ApiError, match="No such video"):
        store.video(one.video)


@pytest.mark.parametrize("name", ["../files", "file-", "file-../../x", "0" * 63, "", "file-" + "g" * 32])
def test_names_that_are_no_ids(tmp_path, name) -> None:
    with pytest.raises(ApiError) as caught:
        store_of(tmp_path).video(name)
    assert caught.value.status == 404


def test_a_clip_comes_back_as_it_was(tmp_path, clips) -> None:
    store = store_of(tmp_path)
    key = add(store, b"film")
    clip = clips["pexels_0"]
    store.write_clip(key, clip)
    back = store.read_clip(key)
    assert back.info == clip.info
    for name in ("frames", "faces", "timestamps", "boxes", "landmarks", "scores", "visible"):
        np.testing.assert_array_equal(getattr(back, name), getattr(clip, name))
        assert getattr(back, name).dtype == getattr(clip, name).dtype


def test_what_is_made_of_a_video_that_left_is_an_error(tmp_path, clips) -> None:
    store = store_of(tmp_path)
    for use in (lambda: store.read_clip("0" * 64), lambda: store.write_clip("0" * 64, clips["pexels_0"])):
        with pytest.raises(ApiError, match="dropped") as caught:
            use()
        assert caught.value.status == 503


def test_another_model_or_setting_is_another_version(tmp_path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"one")

    def version(**data) -> str:
        config = Config.model_validate({"serve": {"model": str(model), "store": str(tmp_path / "s")}, "data": data})
        return VideoStore.of(config).version

    first = version()
    assert version() == first
    assert version(frames={"fps": 2}) != first
    (model / "model.safetensors").write_bytes(b"another")
    assert version() != first
