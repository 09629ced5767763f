"""What becomes of the videos that requests bring along."""

import base64
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from favchat.config import Config
from serve.chat import Chat, Piece
from serve.media import MediaReplica
from serve.view import View
from tests.serve.conftest import LIMITS, QUESTION, clip_path
from tests.serve.local import local_client

VIDEO = clip_path("pexels_0").read_bytes() + bytes(1_000_000)
OURS = tracemalloc.Filter(True, str(Path(__file__).parents[2] / "serve" / "*"), all_frames=True)


class Watcher:
    """An engine that looks how large the largest thing is that the application holds while an answer is written."""

    largest = 0

    async def generate(self, chat: Chat) -> AsyncIterator[Piece]:
        traces = tracemalloc.take_snapshot().filter_traces([OURS]).traces
        self.largest = max(trace.size for trace in traces)
        yield Piece("", 1, 0)
        yield Piece("yes", 1, 1, "stop")


class Idle:
    """An encoder that has encoded everything."""

    async def encode(self, view: View) -> int:
        return 0


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start(8)
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("route", ["chat/completions", "responses"])
def test_nothing_holds_a_video_while_the_answer_is_written(route, model_folder, centerface, tmp_path) -> None:
    places = {"model": str(model_folder), "store": str(tmp_path), "name": "tiny"}
    config = Config(serve=LIMITS.model_copy(update=places))
    url = "data:video/mp4;base64," + base64.b64encode(VIDEO).decode()
    if route == "responses":
        content = [{"type": "input_file", "file_data": url}, {"type": "input_text", "text": QUESTION}]
        body = {"model": "tiny", "input": [{"role": "user", "content": content}]}
    else:
        content = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": QUESTION}]
        body = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
    watcher = Watcher()
    with local_client(config, MediaReplica(config), Idle(), watcher) as http, traced():
        answer = http.post(f"/v1/{route}", json=body)
    assert answer.status_code == 200, answer.text
    assert 0 < watcher.largest < len(VIDEO) // 2
