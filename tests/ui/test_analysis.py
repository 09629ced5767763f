"""The queue of clips, against a stand-in for the API."""

from pathlib import Path

import pytest

from jobs.demo import SAMPLE_CLIPS
from tests.ui.conftest import FakeApi, until
from ui.analysis import Analyser
from ui.client import ApiClient
from ui.library import Clip, Libraries, Library


@pytest.fixture
def handlers(fake, tmp_path):
    api = ApiClient(fake.base)
    libraries = Libraries(api.forget)
    analyser = Analyser(api, libraries, tmp_path)
    yield analyser, libraries.of("tab")[1]
    analyser.end()


def put(handlers, *names: str) -> list[Clip]:
    analyser, library = handlers
    clips = library.add(Clip(name, SAMPLE_CLIPS / name) for name in names)
    for clip in clips:
        analyser.add(library, clip)
    return clips


def test_a_full_store_gives_the_place_of_a_clip_that_was_read(handlers, fake: FakeApi) -> None:
    fake.places = 2
    clips = put(handlers, "pexels_0.mp4", "pexels_1.mp4")
    assert until(lambda: all(clip.state == "ready" for clip in clips))
    clips += put(handlers, "pexels_2.mp4")
    assert until(lambda: clips[2].state == "ready")
    # The open clip keeps its place.
    assert [clip.file_id is None for clip in clips] == [False, True, False]


def test_a_cancelled_clip_is_not_read_and_a_file_that_is_gone_is_told(handlers, fake: FakeApi) -> None:
    analyser, library = handlers
    fake.reads = False
    first, second, third = put(handlers, "pexels_0.mp4", "pexels_1.mp4", "pexels_2.mp4")
    analyser.cancel(library, third)
    fake.reads = True
    assert until(lambda: first.state == second.state == "ready")
    assert third.state == "cancelled" and len(fake.uploads) == 2
    [gone] = library.add([Clip("gone", Path("/nowhere.mp4"))])
    analyser.add(library, gone)
    assert until(lambda: gone.state == "failed") and "Add it again" in gone.error


def test_a_server_without_room_is_asked_again(handlers, fake: FakeApi) -> None:
    fake.state = "starting"
    [clip] = put(handlers, "pexels_0.mp4")
    assert until(lambda: clip.held == "The server has no room.") and clip.working
    fake.state = "ok"
    assert until(lambda: clip.state == "ready")


def test_ending_deletes_uploads(handlers, fake: FakeApi) -> None:
    analyser, library = handlers
    assert isinstance(library, Library)
    [clip] = put(handlers, "pexels_0.mp4")
    assert until(lambda: clip.state == "ready")
    analyser.end()
    assert fake.deleted == ["file-1"]
