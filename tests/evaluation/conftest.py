"""Small corpora with known labels, and a server that speaks the API of OpenAI and misbehaves on demand."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from favchat.config import Config, load
from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import SHARD_SCHEMA
from favchat.evaluation.labelled_clips import LabelledClip
from favchat.labels.attributes import ACTION, APPEARANCE
from favchat.video.images import encode_images
from favchat.video.quality import HASH_BITS
from jobs.commands.settings import CONFIGS


def random_hash(seed: int) -> str:
    """A hash that is far from all others."""
    return np.random.default_rng(seed).bytes(HASH_BITS // 8).hex()


def make_clip(
    clip_id: str,
    *,
    split: str = "val",
    identity: str | None = None,
    emotion: str | None = None,
    segments: Any = (),
    source: str = "celebv_hq",
    video: str | None = None,
    digest: str | None = None,
    **labels: int,
) -> LabelledClip:
    """A clip with the given labels; all others are unknown."""
    appearance = [labels.pop(a.name, None) for a in APPEARANCE]
    action = [labels.pop(a.name, None) for a in ACTION]
    assert not labels
    clip = Clip(
        id=clip_id,
        video=video or f"/videos/{clip_id}.mp4",
        identity=identity,
        split=split,
        appearance=appearance,
        action=action,
        emotion=emotion,
        emotion_segments=[EmotionSegment(*segment) for segment in segments],
    )
    return LabelledClip(clip, source, digest or random_hash(abs(hash(clip_id)) % 2**32))


def write_shard(out: Path, clips: list[LabelledClip], name: str = "1") -> None:
    """A shard of clips with pictures of noise below ``out/shards``."""
    rows = []
    for number, labelled in enumerate(clips):
        clip = labelled.clip
        noise = np.random.default_rng(number)
        row: dict[str, Any] = {
            "clip_id": clip.id,
            "source": labelled.source,
            "video": clip.video,
            "start": clip.start,
            "end": clip.end,
            "identity": clip.identity,
            "split": clip.split,
            "box": None,
            "appearance": clip.appearance,
            "action": clip.action,
            "emotion": clip.emotion,
            "emotion_segments": [{"emotion": s.emotion, "start": s.start, "end": s.end} for s in clip.emotion_segments],
            "extra": clip.extra,
            "duplicate_hash": labelled.duplicate_hash,
            "timestamps": [0.0, 0.25, 0.5, 0.75],
            "frames": encode_images(noise.integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)),
            "faces": encode_images(noise.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)),
            "boxes": [[0.2, 0.2, 0.8, 0.8]] * 4,
            # In the last frame no face is visible, and its landmarks are 0.
            "landmarks": [[0.4, 0.4, 0.6, 0.4, 0.5, 0.5, 0.42, 0.6, 0.58, 0.6]] * 3 + [[0.0] * 10],
            "scores": [0.9] * 4,
            "visible": [True] * 3 + [False],
            "cuts": [],
            "face_measures": None,
            "shot_end": 60.0,
        }
        for field in SHARD_SCHEMA:
            row.setdefault(field.name, False if field.type == pa.bool_() else 0)
        rows.append(row)
    write_whole(pa.Table.from_pylist(rows, schema=SHARD_SCHEMA), out / "shards" / f"{name}.parquet")


def settings(out: Path | str, *words: str) -> Config:
    """The tiny preset with a corpus."""
    return load(CONFIGS / "tiny.yaml", [f"data.out={out}", "evaluation.resamples=100", *words])


@pytest.fixture(scope="session")
def tiny_folder(tiny, tmp_path_factory) -> Path:
    """The tiny model in a folder. Not to be written to."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    for part in tiny:
        part.save_pretrained(folder)
    return folder


class Server:
    """Answers with `reply` of the request's body; `manners` are statuses or faults that come before, one a request."""

    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.manners: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.reply: Any = lambda body: "Yes."
        self.lock = threading.Lock()

    def text(self) -> list[str]:
        """The words of each request."""
        return [words(body) for body in self.bodies]


def words(body: dict[str, Any]) -> str:
    """The text of a request."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    """The server on a free port of this machine."""
    uvicorn = pytest.importorskip("uvicorn")
    pytest.importorskip("openai")
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse

    server = Server()
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Any:
        body = await request.json()
        with server.lock:
            server.bodies.append(body)
            manner = server.manners.pop(0) if server.manners else "good"
        if manner.isdigit():
            return JSONResponse({"error": {"message": f"told to say {manner}"}}, int(manner), {"retry-after": "0"})
        if manner == "a page":
            return Response("<html>maintenance</html>", media_type="text/html", headers={"retry-after": "0"})
        if manner == "half a body":
            return Response('{"id": "1", "choices": [{"ind', media_type="application/json")
        if manner == "no choices":
            return JSONResponse({"id": "1", "object": "chat.completion", "choices": []})
        message = {"role": "assistant", "content": server.reply(body)}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return JSONResponse({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})

    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    server.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/v1"
    yield server
    running.should_exit = running.force_exit = True
    thread.join(timeout=10)


@pytest.fixture
def server(running_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, well behaved and without memory; nobody waits between two attempts."""
    import favchat.evaluation.asking.server_backend as module

    # Not `time.sleep`: Ray waits with it too, and without it spins.
    monkeypatch.setattr(module, "retry_wait", lambda *_, **__: 0)
    running_server.reset()
    return running_server
