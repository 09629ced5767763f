"""The page's client against a stand-in for the API."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest
from openai import APIConnectionError, APIError

from jobs.demo import SAMPLE_CLIPS
from tests.ui.conftest import WORDS, FakeApi, free_port, until
from ui.client import ApiClient, code_of, conversation, passes

ASKED = [{"role": "user", "content": "Who?"}]


def run(coroutine: Coroutine) -> Any:
    """What a coroutine returns; in a thread, because Playwright's loop may occupy this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@pytest.fixture
def api(fake) -> ApiClient:
    return ApiClient(fake.base)


def test_the_address_may_end_in_v1(fake) -> None:
    addresses = (fake.base, f"{fake.base}/", fake.base.removesuffix("/v1"))
    assert {ApiClient(address).root for address in addresses} == {fake.base.removesuffix("/v1")}


def test_the_models_names(api) -> None:
    assert api.model == "fake"
    assert api.models() == {"fake": ["face_encoder"], "other": ["face_encoder"]}


def test_how_the_server_is(api, fake) -> None:
    assert api.state(5.0) == "ok"
    fake.state = "restarting"
    assert api.state(5.0) == "restarting"
    assert ApiClient(f"http://127.0.0.1:{free_port()}").state(5.0) == "gone"


def test_what_passes_by_itself_is_told_from_what_does_not(api, fake) -> None:
    fake.state = "draining"
    with pytest.raises(APIError) as caught:
        api.upload(SAMPLE_CLIPS / "noface_0.mp4")
    assert passes(caught.value) and code_of(caught.value) == "server_busy"
    fake.state = "ok"
    with pytest.raises(APIError) as caught:
        api.video(api.upload(SAMPLE_CLIPS / "noface_0.mp4").id)
    assert not passes(caught.value) and code_of(caught.value) == "no_face"


def test_the_video_stands_before_the_first_question() -> None:
    later = [{"role": "assistant", "content": "She."}, {"role": "user", "content": "Why?"}]
    first, *rest = conversation("file-7", [*ASKED, *later])
    assert first["content"] == [
        {"type": "video_url", "video_url": {"url": "file:file-7"}},
        {"type": "text", "text": "Who?"},
    ]
    assert rest == later
    other = conversation("file-7", ASKED, face=1)[0]["content"][0]
    assert other["video_url"] == {"url": "file:file-7", "face": 1}


def test_an_answer_is_streamed(api, fake) -> None:
    async def pieces() -> list[str]:
        return [piece.text async for piece in api.answer("file-1", ASKED)]

    assert run(pieces()) == WORDS[:5]
    assert fake.requests[0].stream and [one.address for one in fake.requests[0].shown()] == ["file:file-1"]


def test_leaving_an_answer_cancels_the_request(api, fake) -> None:
    fake.hold = 1

    async def leave() -> None:
        async with aclosing(api.answer("file-1", ASKED)) as pieces:
            async for _ in pieces:
                return

    run(leave())
    assert until(lambda: fake.cut == 1)
    assert fake.written == 1


def test_a_refusal_is_explained_in_the_server_s_words(api, fake) -> None:
    fake.refusal = (400, "The context is full.")

    async def ask() -> None:
        async for _ in api.answer("file-1", ASKED):
            pass

    with pytest.raises(APIError) as caught:
        run(ask())
    assert api.explain(caught.value) == "The context is full."


def test_a_server_that_is_away_is_named() -> None:
    api = ApiClient(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(APIConnectionError) as caught:
        _ = api.model
    assert api.root in api.explain(caught.value) and "does not answer" in api.explain(caught.value)
    api.forget("file-1")  # nothing is left to delete


def test_uploads_are_described_and_forgotten(api, fake: FakeApi, tmp_path) -> None:
    (tmp_path / "me.mp4").write_bytes(b"x")
    file_id, playable = api.upload(tmp_path / "me.mp4")
    assert playable
    assert fake.uploads == ["me.mp4"]
    assert api.video(file_id)["width"] == 480
    api.forget(file_id)
    api.forget(None)
    assert fake.deleted == [file_id]


def test_a_preview_is_fetched(api, fake: FakeApi, tmp_path) -> None:
    (tmp_path / "me.avi").write_bytes(b"x")
    file_id, playable = api.upload(tmp_path / "me.avi")
    assert not playable
    assert api.preview(file_id) == (SAMPLE_CLIPS / "pyfeat_0.mp4").read_bytes()
