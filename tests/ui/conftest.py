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
from fastapi import FastAPI, UploadFile
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from jobs.demo import EXAMPLES, SAMPLE_CLIPS
from serve.protocol import Answer, ChatCompletionRequest

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
    frames: int = 3, experts: int = 4, layers: int = 2, people: int = 1, readable: float = 1.0
) -> dict[str, Any]:
    """What ``GET /v1/videos/{id}`` answers; the face is lost in the last frame."""
    usage = [[2 * (number + 1) / (experts * (experts + 1)) for number in range(experts)] for _ in range(2)]
    return {
        "width": 480,
        "height": 270,
        "fps": 24.0,
        "duration": 2.5,
        "readable": readable,
        "people": {"found": people, "followed": 1, "description": "the one on the <left>"},
        "track": {
            "timestamps": [0.25 * index for index in range(frames)],
            "boxes": [[0.25, 0.1, 0.5, 0.6]] * frames,
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

    def reset(self) -> None:
        """Forget what was asked."""
        base = self.base
        self.__init__(base)  # type: ignore[misc]

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/healthz")
        async def health() -> dict[str, Any]:
            return {"status": "ok", "model": "fake"}

        @app.post("/v1/files")
        async def upload(file: UploadFile) -> dict[str, Any]:
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
        def video(file_id: str) -> dict[str, Any] | JSONResponse:
            if "noface" in self.uploads[-1]:
                return refused(400, "No face is to be seen in <this> video.")
            time.sleep(0.5)
            return described(people=self.people)

        @app.get("/v1/videos/{file_id}/preview")
        def preview(file_id: str) -> FileResponse:
            self.previews += 1
            return FileResponse(SAMPLE_CLIPS / "pyfeat_0.mp4", media_type="video/mp4")

        @app.post("/v1/chat/completions", response_model=None)
        async def chat(body: ChatCompletionRequest) -> StreamingResponse | JSONResponse:
            self.requests.append(body)
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


def refused(status: int, message: str) -> JSONResponse:
    """An error in the API's shape."""
    return JSONResponse({"error": {"message": message, "type": "x", "param": None, "code": "x"}}, status)


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
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
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

    def choose(self, name: str) -> None:
        """Click a sample clip."""
        self.page.locator("#fc-samples button").nth(EXAMPLES.index(name)).click()

    def upload(self, path) -> None:
        """Give a file to the upload box."""
        self.page.locator("#fc-video input[type=file]").set_input_files(str(path))

    def ready(self) -> None:
        """Wait until questions can be asked."""
        self.page.wait_for_selector(".fc-strip figure")
        self.button("Ask").wait_for()

    def send(self, question: str) -> None:
        """Type a question and send it."""
        self.page.get_by_label("Question").fill(question)
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
        alert = self.page.get_by_role("alert")
        alert.wait_for()
        return alert.inner_text()
