"""The encoder, without Ray."""

from pathlib import Path

import pytest

from favchat.face_scores.values import Calibration
from serve.encoder import Encoder
from serve.errors import ApiError
from serve.store import VideoStore
from serve.view import View
from tests.serve.conftest import NAMES, clip_path


@pytest.fixture
def encoder(talkative, clips, tmp_path) -> Encoder:
    """An encoder whose store holds decoded clips."""
    store = VideoStore(tmp_path, version="test", max_videos=8)
    for name in NAMES:
        with clip_path(name).open("rb") as file:
            store.derived.write_clip(store.add(file), clips[name])
    return Encoder(*talkative, Calibration(), store, batch=2)


def views(encoder: Encoder) -> list[View]:
    return [View(path.name) for path in sorted((encoder.store.root / "videos").iterdir())]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_video_that_left_is_nobody_else_s_trouble(encoder, missing) -> None:
    wanted = views(encoder)
    encoder.store.derived.clip(wanted[missing].key).unlink()
    faults = encoder.encode([*wanted, wanted[0]])
    assert [fault is None for fault in faults] == [n != missing for n in (0, 1, 2, 0)]
    assert isinstance(faults[missing], ApiError) and faults[missing].code == "video_dropped"
    assert [encoder.store.derived.features(view).exists() for view in wanted] == [n != missing for n in range(3)]
    assert encoder.encoded == 2


def test_a_video_that_leaves_while_it_is_encoded_is_nobody_else_s_trouble(encoder, monkeypatch) -> None:
    wanted = views(encoder)
    write = encoder.store.derived.write

    def leave(path: Path, save) -> None:
        if wanted[0].key in str(path):
            raise ApiError(503, "dropped", code="video_dropped")
        write(path, save)

    monkeypatch.setattr(encoder.store.derived, "write", leave)
    assert [fault is None for fault in encoder.encode(wanted)] == [False, True, True]


def test_what_is_encoded_is_not_encoded_again(encoder) -> None:
    wanted = views(encoder)
    assert encoder.encode(wanted[:2]) == [None, None]
    assert encoder.encode(wanted) == [None] * 3
    assert (encoder.encoded, encoder.batches) == (3, 2)
