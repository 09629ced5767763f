"""The encoder deployment, without Ray."""

from pathlib import Path

import pytest

from favchat.face_scores.values import Calibration
from serve.encoder import EncoderReplica
from serve.errors import ApiError
from serve.store import VideoStore
from serve.view import View
from tests.serve.conftest import NAMES, clip_path


@pytest.fixture
def replica(talkative, clips, tmp_path) -> EncoderReplica:
    """A replica whose store holds decoded clips."""
    replica = EncoderReplica.__new__(EncoderReplica)
    replica.model, replica.processor = talkative
    replica.store = VideoStore(tmp_path, version="test", max_videos=8)
    replica.encoded = replica.batches = 0
    replica.calibration = Calibration()
    for name in NAMES:
        with clip_path(name).open("rb") as file:
            replica.store.write_clip(replica.store.add(file), clips[name])
    return replica


def views(replica: EncoderReplica) -> list[View]:
    return [View(path.name) for path in sorted((replica.store.root / "videos").iterdir())]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_video_that_left_is_nobody_else_s_trouble(replica, missing) -> None:
    wanted = views(replica)
    replica.store.clip(wanted[missing].key).unlink()
    faults = replica._encode([*wanted, wanted[0]])
    assert [fault is None for fault in faults] == [n != missing for n in (0, 1, 2, 0)]
    assert isinstance(faults[missing], ApiError) and faults[missing].code == "video_dropped"
    assert [replica.store.features(view).exists() for view in wanted] == [n != missing for n in range(3)]
    assert replica.encoded == 2


def test_a_video_that_leaves_while_it_is_encoded_is_nobody_else_s_trouble(replica, monkeypatch) -> None:
    wanted = views(replica)
    write = replica.store.write

    def leave(path: Path, save) -> None:
        if wanted[0].key in str(path):
            raise ApiError(503, "dropped", code="video_dropped")
        write(path, save)

    monkeypatch.setattr(replica.store, "write", leave)
    assert [fault is None for fault in replica._encode(wanted)] == [False, True, True]


def test_what_is_encoded_is_not_encoded_again(replica) -> None:
    wanted = views(replica)
    assert replica._encode(wanted[:2]) == [None, None]
    assert replica._encode(wanted) == [None] * 3
    assert (replica.encoded, replica.batches) == (3, 2)
