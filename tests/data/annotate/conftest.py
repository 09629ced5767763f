"""A server that speaks the API of OpenAI and misbehaves on demand, and clips to ask it about."""

import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from favchat.data.corpus.clip import Clip, EmotionSegment
from favchat.data.corpus.parquet_files import write_whole
from favchat.data.corpus.schema import CLIP_SCHEMA, MEDIA_SCHEMA, QUALITY
from favchat.labels.attributes import ACTION, APPEARANCE, EXTRA
from favchat.video.images import encode_images

SHARD_SCHEMA = pa.schema(
    [
        *CLIP_SCHEMA,
        *[MEDIA_SCHEMA.field(name) for name in ("shot_start", "shot_end")],
        pa.field("timestamps", pa.list_(pa.float64())),
        pa.field("frames", pa.list_(pa.binary())),
        pa.field("faces", pa.list_(pa.binary())),
        *[pa.field(name, pa.float32()) for name in QUALITY],
    ]
)
"""What `annotate` may read of a shard; nothing may ask for more."""

GOOD = {
    "summaries": ["The person in the video is smiling.", "A person looks happy."],
    "questions": [
        {"question": "Is the person smiling?", "answer": "Yes, they are.", "answer_type": "yes_no", "family": "action"},
        {"question": "Is the person nodding?", "answer": "No.", "answer_type": "yes_no", "family": "action"},
        {"question": "What is going on?", "answer": "A quiet moment.", "answer_type": "open", "family": "several"},
    ],
}


def make_clip(
    clip_id: str = "c", emotion: str | None = None, segments: Any = (), split: str = "", **labels: int
) -> Clip:
    """A clip with the given labels; all others are unknown."""
    appearance: list[int | None] = [labels.pop(a.name, None) for a in APPEARANCE]
    action: list[int | None] = [labels.pop(a.name, None) for a in ACTION]
    extra: list[int | None] = [labels.pop(a.name, None) for a in EXTRA]
    assert not labels
    return Clip(
        id=clip_id,
        video="/v.mp4",
        split=split,
        appearance=appearance,
        action=action,
        extra=extra,
        emotion=emotion,
        emotion_segments=[EmotionSegment(*segment) for segment in segments],
    )


def clip_row(clip: Clip, *, shot: tuple[float, float] = (0.0, 60.0), **measures: float) -> dict[str, Any]:
    """The clip as a shard's row; its frames are no pictures but say which clip they are of."""
    return {
        "clip_id": clip.id,
        "source": "celebv_hq",
        "video": clip.video,
        "start": 0.0,
        "end": None,
        "identity": None,
        "split": clip.split or "train",
        "box": None,
        "appearance": clip.appearance,
        "action": clip.action,
        "emotion": clip.emotion,
        "emotion_segments": [{"emotion": s.emotion, "start": s.start, "end": s.end} for s in clip.emotion_segments],
        "shot_start": shot[0],
        "shot_end": shot[1],
        "timestamps": [0.0, 0.5, 1.0],
        "frames": [f"{clip.id}/{number}".encode() for number in range(3)],
        "faces": encode_images(np.full((3, 8, 8, 3), 128, np.uint8)),
        **dict.fromkeys(QUALITY, 1.0),
        **measures,
    }


def write_shard(out: Path, clips: list[Clip], name: str = "1", **measures: float) -> None:
    """A shard of clips below ``out/shards``."""
    table = pa.Table.from_pylist([clip_row(clip, **measures) for clip in clips], schema=SHARD_SCHEMA)
    write_whole(table, out / "shards" / f"{name}.parquet")


class MisbehavingServer:
    """Answers about a clip with the manners that `manners` lists for it, one request each, then well."""

    def __init__(self) -> None:
        self.manners: dict[str, list[str]] = {}
        self.requests: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.reply: dict[str, Any] = GOOD
        self.busy = self.most_busy = 0
        self.seconds = 0.0
        """How long every good answer takes."""
        self.url = ""

    async def answer(self, request: Any) -> Any:
        """One request."""
        from fastapi import Response
        from fastapi.responses import JSONResponse

        body = await request.json()
        self.bodies.append(body)
        self.keys.add(request.headers.get("authorization", ""))
        picture = body["messages"][1]["content"][1]["image_url"]["url"]
        clip = base64.b64decode(picture.partition("base64,")[2]).decode().partition("/")[0]
        manners = self.manners.get(clip, [])
        number = self.requests[clip]
        self.requests[clip] += 1
        manner = manners[min(number, len(manners) - 1)] if manners and number < 99 else "good"
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        try:
            await asyncio.sleep(0.9 if manner == "slow" else self.seconds)
        finally:
            self.busy -= 1
        if manner == "slow":  # whoever asked gives up after a second, and may ask for something else then
            await asyncio.sleep(4)
        if manner == "no quota":
            return JSONResponse({"error": {"message": "pay first", "code": "insufficient_quota"}}, 429)
        if manner.isdigit():
            headers = {"retry-after": "0"} if manner == "429" else {}
            return JSONResponse({"error": {"message": f"told to say {manner}"}}, int(manner), headers)
        if manner == "half a body":
            return Response('{"id": "1", "choices": [{"ind', media_type="application/json")
        if manner == "a page":
            return Response("<html>maintenance</html>", media_type="text/html")
        if manner == "no choices":
            return JSONResponse({"id": "1", "object": "chat.completion", "choices": []})
        text, reason = json.dumps(self.reply), "stop"
        if manner == "truncated":
            text = text[:60]
        elif manner == "cut off":
            text, reason = text[:60], "length"
        elif manner == "wrong schema":
            text = json.dumps({"captions": ["A person."]})
        elif manner == "no yes":
            wrong = GOOD["questions"][0] | {"answer": "They are smiling."}  # type: ignore[index]  # GOOD is a mixed dict
            text = json.dumps(GOOD | {"questions": [wrong]})
        elif manner == "fenced":
            text = f"Here you are:\n```json\n{text}\n```"
        usage = None if manner == "no usage" else {"prompt_tokens": 70, "completion_tokens": 30, "total_tokens": 100}
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
        completion = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        return completion | ({"usage": usage} if usage else {})


@pytest.fixture(scope="session")
def running_server() -> Iterator[MisbehavingServer]:
    """The server on a free port of this machine."""
    uvicorn = pytest.importorskip("uvicorn")
    pytest.importorskip("openai")
    from fastapi import FastAPI, Request

    behaviour = MisbehavingServer()
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Any:
        return await behaviour.answer(request)

    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    port = running.servers[0].sockets[0].getsockname()[1]
    behaviour.url = f"http://127.0.0.1:{port}/v1"
    yield behaviour
    running.should_exit = running.force_exit = True
    thread.join(timeout=10)


@pytest.fixture
def server(running_server: MisbehavingServer) -> MisbehavingServer:
    """The server, well behaved and without memory."""
    url = running_server.url
    running_server.__init__()  # type: ignore[misc]
    running_server.url = url
    return running_server
