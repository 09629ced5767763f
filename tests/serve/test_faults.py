"""A full disk and a decoder that hangs, and what clients see of them, with the deployments in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
from openai import OpenAI

import serve.derived_files
import serve.media
from favchat.config import Config
from serve.encoder_replica import EncoderReplica
from serve.engine import Engine
from serve.media import MediaReplica
from serve.store import VideoStore
from tests.serve.conftest import LIMITS, QUESTION, clip_path
from tests.serve.local import LocalEngine, local_client


@dataclass
class Running:
    """An application, its client and its media deployment."""

    client: OpenAI
    media: MediaReplica
    store: VideoStore

    def upload(self, name: str) -> str:
        with clip_path(name).open("rb") as file:
            return self.client.files.create(file=file, purpose="vision").id

    def ask(self, file_id: str) -> str:
        video = {"type": "video_url", "video_url": {"url": f"file:{file_id}"}}
        messages = [{"role": "user", "content": [video, {"type": "text", "text": QUESTION}]}]
        return (
            self.client.chat.completions.create(model="tiny", messages=messages, max_tokens=2)
            .choices[0]
            .message.content
        )


@pytest.fixture
def running(talkative, model_folder, centerface, tmp_path) -> Iterator[Running]:
    config = Config(
        serve=LIMITS.model_copy(update={"model": str(model_folder), "store": str(tmp_path), "name": "tiny"})
    )
    store, media = VideoStore.of(config), MediaReplica(config)
    engine = Engine(*talkative, store, config.serve)
    with local_client(config, media, EncoderReplica(config), LocalEngine(engine)) as http:
        yield Running(
            OpenAI(base_url="http://testserver/v1", api_key="none", max_retries=0, http_client=http), media, store
        )
    engine.close()


def test_a_full_disk_is_told_and_what_fits_goes_on(running, tmp_path, monkeypatch) -> None:
    """Whatever is written meanwhile goes to /dev/full, whose errors are the kernel's own for a full disk."""
    known, new = running.upload("pexels_0"), running.upload("capture_0")
    answer = running.ask(known)
    full = tmp_path / "full"
    full.symlink_to("/dev/full")

    @contextmanager
    def without_room(path: Path) -> Iterator[Path]:
        yield full

    with monkeypatch.context() as patched:
        patched.setattr(serve.derived_files, "_written_whole", without_room)
        with pytest.raises(openai.APIStatusError, match="disk is full") as decoding:
            running.ask(new)
        patched.setattr(VideoStore, "incoming", lambda store, name: full)
        with pytest.raises(openai.APIStatusError, match="disk is full") as uploading:
            running.client.files.create(file=("a.mp4", clip_path("franck_1").read_bytes()), purpose="vision")
        assert running.ask(known) == answer  # what is there needs no room
    for refused in (decoding.value, uploading.value):
        assert (refused.status_code, refused.body["code"]) == (503, "server_busy")
        assert int(refused.response.headers["Retry-After"]) > 0
    assert running.ask(new) and running.ask(running.upload("franck_1"))  # nothing was lost, nothing left half done


def test_a_decoder_that_hangs_is_given_up_and_holds_nobody_else_up(running, monkeypatch) -> None:
    known, new = running.upload("pexels_0"), running.upload("capture_0")
    answer, hanging = running.ask(known), threading.Event()
    reading = running.media.specification
    monkeypatch.setattr(serve.media, "GRACE", 0.0)

    def limit(seconds: float) -> None:
        serving = running.media.config.serve.model_copy(update={"media_timeout": seconds})
        running.media.config = running.media.config.model_copy(update={"serve": serving})

    running.media.specification = SimpleNamespace(read=lambda *_, **__: hanging.wait(60), min_share=0.3)
    limit(0.2)
    try:
        with pytest.raises(openai.BadRequestError, match="longer than 0.2 s") as refused:
            running.ask(new)
        assert refused.value.body["code"] == "video_timeout"
        assert running.ask(known) == answer  # while it still hangs
        with pytest.raises(RuntimeError, match="decoding for more than"):
            running.media.check_health()  # so that Ray Serve replaces the process
    finally:
        hanging.set()
    running.media.specification = reading
    limit(60)
    assert running.ask(new)
