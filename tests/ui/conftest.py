"""A stand-in for the API, a page before it, and a browser."""

import asyncio
import json
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from favchat.face_scores.report import ATTRIBUTES, FaceReport
from jobs.demo import SAMPLE_CLIPS, SAMPLES
from serve.attributes_route import AttributesRequest
from serve.protocol import Answer, ChatCompletionRequest
from serve.why_route import WhyRequest

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""Gives Chromium a camera that shows a test picture."""
WORDS = [f"word{number} " for number in range(200)]
SLOW = 60_000
"""Milliseconds that a busy machine may take for a step."""
PAUSE = 0.02
"""Seconds between the words of an answer."""
PIXEL = (  # a grey JPEG of 8 x 8
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4z"
    "NDL/wAALCAAIAAgBAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAf/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oACAEBAAA/AJVAAP/Z"
)


def described(
    frames: int = 3, experts: int = 4, layers: int = 2, people: int = 1, readable: float = 1.0, face: int = 0
) -> dict[str, Any]:
    """What ``GET /v1/videos/{id}`` answers; the face is lost in the last frame."""
    usage = [[2 * (number + 1) / (experts * (experts + 1)) for number in range(experts)] for _ in range(2)]
    return {
        "id": "0" * 64,
        "width": 480,
        "height": 270,
        "fps": 24.0,
        "duration": 2.5,
        "readable": readable,
        "people": {"found": people, "followed": 1, "description": "the one on the <left>"},
        "faces": [
            {"index": index, "from_left": index + 1, "share": 1.0, "boxes": [_box(index)] * frames, "thumbnail": PIXEL}
            for index in range(people)
        ],
        "face": face,
        "track": {
            "timestamps": [0.25 * index for index in range(frames)],
            "boxes": [_box(face)] * frames,
            "landmarks": [[[0.3, 0.3], [0.4, 0.3], [0.35, 0.4], [0.3, 0.5], [0.4, 0.5]]] * frames,
            "scores": [0.9] * frames,
            "visible": [True] * (frames - 1) + [False],
            "frames": [PIXEL] * frames,
            "crops": [PIXEL] * frames,
        },
        "experts": {
            "num_experts": experts,
            "timestamps": [0.0, 1.25],
            "layers": [{"general": usage, "face": usage[::-1]} for _ in range(layers)],
        },
    }


TAUGHT = {"male": 0.03, "smile": 0.97, "eyeglasses": 0.45, "long_hair": 0.9, "wearing_necklace": 0.95, "nod": 0.02}
"""Score of each attribute that the stand-in's model was taught, beside three emotions."""
SHARES = {"happy": 0.8, "neutral": 0.15, "sadness": 0.05}


def scored(frames: int = 3, warnings: int = 1) -> dict[str, Any]:
    """What ``POST /v1/videos/{id}/attributes`` answers: happy, then neutral, then no face."""
    changed = {"happy": 0.2, "neutral": 0.7, "sadness": 0.1}
    known = TAUGHT | SHARES
    window = {"found": True, "attributes": TAUGHT, "scores": TAUGHT, "motion": 0.2}
    window["pose"] = {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}
    empty = {"found": False, **dict.fromkeys(("emotion", "attributes", "scores", "pose", "motion"))}
    windows = [{**window, "emotion": SHARES}, {**window, "emotion": changed}, empty]
    visible = [True] * (frames - 1) + [False]
    angles = [5.0 * index if seen else None for index, seen in enumerate(visible)]
    taught = {"taught": True, "held_out": {"present": 9, "absent": 9}}
    untaught = dict.fromkeys(("present", "probability", "score", "balanced_accuracy", "held_out"))
    rows = [
        {"name": one.name, "family": one.family, "label": one.phrase.format(their="their"), "taught": False, **untaught}
        | (
            {**taught, "present": known[one.name] > 0.5, "probability": known[one.name] / 2, "score": known[one.name]}
            | {"balanced_accuracy": 0.6 if one.name == "wearing_necklace" else 0.93}
            if one.name in known
            else {}
        )
        for one in ATTRIBUTES
    ]
    report = FaceReport(
        id="0" * 64,
        model="fake",
        revision="r1",
        face={
            "found": True,
            "size_px": 40.0,
            "sharpness": 99.0,
            "visible": 0.66,
            "warnings": [{"code": "small_face", "message": "The face has 40 pixels; details are lost."}][:warnings],
        },
        attributes=rows,
        emotion=SHARES,
        over_time={
            "window_s": 1.0,
            "stride_s": 1.0,
            "windows": [{"start": float(at), "end": at + 1.0, **one} for at, one in enumerate(windows)],
        },
        track={
            "track": 0,
            "start": 0.0,
            "end": 2.5,
            "times": [0.25 * index for index in range(frames)],
            "boxes": [[0.25, 0.1, 0.5, 0.6] if seen else None for seen in visible],
            "landmarks": [[[0.3, 0.3]] * 5 if seen else None for seen in visible],
            "visible": visible,
            **dict.fromkeys(("yaw", "pitch", "roll", "motion"), angles),
        },
        calibration_error={"emotion": 0.018},
    )
    return report.model_dump()


def _box(face: int) -> list[float]:
    """Of faces side by side."""
    return [0.25 + 0.3 * face, 0.1, 0.5 + 0.3 * face, 0.6]


@dataclass
class FakeApi:
    """An API that answers slowly, one word at a time, and remembers what it was asked.

    Attributes:
        requests: Bodies of the chats.
        uploads: Names of the uploaded files.
        deleted: Ids of the files that were deleted.
        written: Words that were written to the stream that began last.
        cut: How many streams their reader left before the end.
        words: How many words an answer has.
        hold: After this many words an answer waits, until this is None.
        refusal: Status and message with which chats are refused.
        people: How many faces the clips show.
        previews: How many previews were fetched.
        state: What it says of itself; where it is not "ok", everything is refused with 503.
        reads: Whether reading a clip comes to an end; clips wait until then.
        scores: Whether scoring a clip does.
        lost: Whether it has forgotten all uploads.
        places: Most uploads at a time.
        reasons: Answers whose reasons were asked for.
    """

    base: str = ""
    requests: list[ChatCompletionRequest] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    written: int = 0
    cut: int = 0
    words: int = 5
    hold: int | None = None
    refusal: tuple[int, str] | None = None
    people: int = 1
    previews: int = 0
    state: str = "ok"
    reads: bool = True
    scores: bool = True
    lost: bool = False
    places: int = 1000
    reasons: list[WhyRequest] = field(default_factory=list)

    def reset(self) -> None:
        """Forget what was asked."""
        base = self.base
        self.__init__(base)  # type: ignore[misc]

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/healthz")
        async def health() -> dict[str, Any]:
            return {"status": "ok", "model": "fake"}

        @app.middleware("http")
        async def busy(request: Request, answer: Callable) -> Any:
            if self.state == "ok" or request.url.path == "/readyz":
                return await answer(request)
            return refused(503, "The server has no room.", "server_busy")

        @app.get("/readyz")
        async def ready() -> JSONResponse:
            return JSONResponse({"status": self.state}, 200 if self.state == "ok" else 503)

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            entry = {"object": "model", "created": 0, "owned_by": "x", "without": ["face_encoder"]}
            return {"object": "list", "data": [{"id": name, **entry} for name in ("fake", "other")]}

        @app.post("/v1/videos/{file_id}/attributes", response_model=None)
        def attributes(file_id: str, body: AttributesRequest) -> dict[str, Any]:
            until(lambda: self.scores)
            report = scored()
            smile = next(row for row in report["attributes"] if row["name"] == "smile")
            if body.model == "other":
                smile["score"] = 0.31
            if body.without == ["face_encoder"]:
                smile["score"] = 0.52
            return report

        @app.post("/v1/files", response_model=None)
        async def upload(file: UploadFile) -> dict[str, Any] | JSONResponse:
            self.lost = False
            if len(self.uploads) - len(self.deleted) >= self.places:
                return refused(400, "Uploads fill the places.", "storage_full")
            self.uploads.append(file.filename or "")
            return {
                "id": f"file-{len(self.uploads)}",
                "object": "file",
                "playable": not self.uploads[-1].endswith("avi"),
            }

        @app.delete("/v1/files/{file_id}")
        async def delete(file_id: str) -> dict[str, Any]:
            self.deleted.append(file_id)
            return {"id": file_id, "object": "file", "deleted": True}

        @app.get("/v1/videos/{file_id}", response_model=None)
        def video(file_id: str, face: int = 0) -> dict[str, Any] | JSONResponse:
            if self.lost:
                return refused(404, "There is no such file.", "file_not_found")
            name = self.uploads[int(file_id.split("-")[1]) - 1]
            if "noface" in name:
                return refused(400, "No face is to be seen in <this> video.", "no_face")
            if "damaged" in name:
                return refused(400, "The video cannot be read.", "invalid_video")
            until(lambda: self.reads)
            return {**described(people=self.people, face=face), "id": file_id}

        @app.get("/v1/videos/{file_id}/preview")
        def preview(file_id: str) -> FileResponse:
            self.previews += 1
            return FileResponse(SAMPLE_CLIPS / "pyfeat_0.mp4", media_type="video/mp4")

        @app.post("/v1/videos/{file_id}/why")
        def why(file_id: str, body: WhyRequest) -> dict[str, Any]:
            self.reasons.append(body)
            weights = [{"index": 0, "time": 0.0, "logprob": -1.0, "weight": 0.5}]
            weights.append({"index": 1, "time": 0.25, "logprob": -0.5, "weight": 0.0})
            return {"by": "words", "logprob": -0.5, "frames": weights}

        @app.post("/v1/chat/completions", response_model=None)
        async def chat(body: ChatCompletionRequest) -> StreamingResponse | JSONResponse:
            self.requests.append(body)
            if self.lost:
                return refused(404, "There is no such file.", "file_not_found")
            return refused(*self.refusal) if self.refusal else StreamingResponse(self._events())

        return app

    async def _events(self) -> AsyncIterator[str]:
        answer, self.written = Answer("fake"), 0
        try:
            for word in WORDS[: self.words]:
                yield f"data: {json.dumps(answer.chunk({'content': word}))}\n\n"
                self.written += 1
                await asyncio.sleep(PAUSE)
                while self.hold is not None and self.written >= self.hold:
                    await asyncio.sleep(PAUSE)
        except BaseException:  # the reader has gone
            self.cut += 1
            raise
        yield "data: [DONE]\n\n"


def refused(status: int, message: str, code: str = "x") -> JSONResponse:
    """An error in the API's shape."""
    return JSONResponse({"error": {"message": message, "type": "x", "param": None, "code": code}}, status)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def running_fake() -> Iterator[FakeApi]:
    """The stand-in, running."""
    port = free_port()
    fake = FakeApi(f"http://127.0.0.1:{port}/v1")
    server = uvicorn.Server(uvicorn.Config(fake.app(), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield fake
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def fake(running_fake) -> FakeApi:
    """The stand-in, asked nothing yet."""
    running_fake.reset()
    return running_fake


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; skips where it is not installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    quiet = ["gpu", "quic", "background-networking", "component-update", "sync"]
    arguments = ["--no-sandbox", "--no-first-run", *CAMERA, *(f"--disable-{name}" for name in quiet)]
    with sync_api.sync_playwright() as playwright:
        # Playwright gives each launch an empty user data folder of its own.
        chromium_browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=arguments)
        yield chromium_browser
        chromium_browser.close()


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether something comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


class Reader:
    """Somebody who looks at the page; remembers which hosts the page asked, and what it logged as errors."""

    def __init__(self, browser, address: str, **options) -> None:
        self.hosts: set[str] = set()
        self.errors: list[str] = []
        self.page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(SLOW)
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("#fc-chat")

    def choose(self, words: str) -> None:
        """Click a sample clip."""
        assert words in SAMPLES
        self.page.locator("#fc-samples").get_by_role("button", name=words).click()

    def upload(self, *paths) -> None:
        """Give files to the drop zone."""
        self.page.locator("#fc-drop input[type=file]").set_input_files([str(path) for path in paths])

    def ready(self) -> None:
        """Wait until a clip is read and scored."""
        self.page.wait_for_selector(".fc-emotion")
        self.button("Ask").wait_for()

    def send(self, question: str) -> None:
        """Type a question and send it."""
        self.page.locator("#fc-question textarea").fill(question)
        self.button("Ask").click()

    def ask(self, question: str) -> None:
        """Send a question and see it stand in the conversation."""
        self.send(question)
        self.page.locator('#fc-chat [data-testid="user"]', has_text=question).last.wait_for()

    def button(self, name: str):
        """The button of the question box."""
        return self.page.locator("#fc-question").get_by_role("button", name=name, exact=True)

    def said(self, role: str) -> list[str]:
        """What stands in the conversation."""
        return [text.strip() for text in self.page.locator(f'#fc-chat [data-testid="{role}"]').all_inner_texts()]

    def answered(self, text: str) -> None:
        """Wait for an answer's end."""
        self.page.locator('#fc-chat [data-testid="bot"]', has_text=text).last.wait_for()
        self.button("Ask").wait_for()

    def alert(self) -> str:
        """The error that the page shows."""
        alert = self.page.locator(".fc-alert")
        alert.wait_for()
        return alert.inner_text()
