"""What the page asks of the API, through OpenAI's client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    HttpxBinaryResponseContent,
    OpenAI,
)

Turn = dict[str, str]
"""A message of a conversation: ``role`` (user or assistant) and ``content``."""

KEY = "FAVCHAT_API_KEY"
"""The environment variable that holds the key of a server that asks for one."""
TIMEOUT = 300.0
"""Seconds that a long video may take to be decoded and encoded."""


GONE = ("file_not_found", "video_not_found")
"""Codes of errors that say that the server no longer has a video."""


class Piece(NamedTuple):
    """A part of an answer as it comes."""

    text: str
    notices: list[str] = []
    """What the server says beside it, such as that a video shows several faces."""
    tokens: tuple[int, int] | None = None
    """Of the last piece: how many tokens were read and written."""


class Upload(NamedTuple):
    """A video on the server."""

    id: str
    playable: bool
    """Whether browsers play it as it is."""


class ApiClient:
    """A server that ``favchat serve`` started.

    Args:
        address: Its address, with or without ``/v1``.
    """

    def __init__(self, address: str) -> None:
        self.root = address.rstrip("/").removesuffix("/v1").rstrip("/")
        settings: dict[str, Any] = {
            "base_url": f"{self.root}/v1",
            "api_key": os.environ.get(KEY) or "none",
            "timeout": TIMEOUT,
            "max_retries": 1,
        }
        self._now, self._later = OpenAI(**settings), AsyncOpenAI(**settings)

    def state(self, timeout: float) -> str:
        """How the server is: ``ok``, ``starting``, ``restarting``, ``draining``, or ``gone`` where nothing answers.

        Args:
            timeout: Seconds to wait for the answer.
        """
        try:
            said = httpx.get(f"{self.root}/readyz", timeout=timeout).json()
        except httpx.HTTPError:
            return "gone"
        except ValueError:
            # Ray Serve's own proxy answers in plain text while the application comes up or has gone.
            return "starting"
        status = said.get("status") if isinstance(said, dict) else None
        return str(status or "ok")

    @cached_property
    def model(self) -> str:
        """The name of the server's first model; asked once, answered when all parts of the server do.

        Raises:
            APIError: The server does not answer.
            ValueError: It is none of favchat's.
        """
        health: Any = self._now.get(f"{self.root}/healthz", cast_to=object, options={"timeout": 60.0})
        if not isinstance(health, dict) or "model" not in health:
            raise ValueError(f"{self.root}/healthz is no favchat server's answer")
        return str(health["model"])

    def models(self) -> dict[str, list[str]]:
        """Names of all models of the server, and of each the parts that a chat may leave out.

        Raises:
            APIError: The server does not answer.
        """
        found = self._now.with_options(timeout=10.0).models.list()
        return {one.id: list((one.model_extra or {}).get("without") or []) for one in found}

    def upload(self, video: str | Path) -> Upload:
        """Send a video file.

        Raises:
            APIError: The server refuses it.
        """
        with Path(video).open("rb") as file:
            created: Any = self._now.files.create(file=file, purpose="user_data")
        return Upload(created.id, created.playable)

    def forget(self, file_id: str | None) -> None:
        """Delete an upload; one that is gone, or whose server is gone, needs no deleting."""
        if file_id:
            with suppress(APIError):
                self._now.files.delete(file_id, timeout=10.0)

    def video(self, file_id: str, face: int = 0) -> dict[str, Any]:
        """The faces, the track of one and the expert usage of an upload, as ``GET /v1/videos/{id}`` gives them.

        Args:
            file_id: The upload.
            face: Which of its faces, 0 the main one.

        Raises:
            APIError: The video cannot be used.
        """
        described: Any = self._now.get(f"/videos/{file_id}", cast_to=object, options={"params": {"face": face}})
        return dict(described)

    def scores(self, file_id: str, model: str | None = None, **options: Any) -> dict[str, Any]:
        """The face in numbers, as ``POST /v1/videos/{id}/attributes`` gives them.

        Args:
            file_id: The upload.
            model: Which of the server's models; None: the first.
            options: Further fields of the request.

        Raises:
            APIError: The video cannot be used.
        """
        body = {name: value for name, value in {"model": model, **options}.items() if value is not None}
        told: Any = self._now.post(f"/videos/{file_id}/attributes", cast_to=object, body=body)
        return dict(told)

    def why(self, file_id: str, question: str, answer: str, face: int = 0) -> dict[str, Any]:
        """How much each frame does for an answer, as ``POST /v1/videos/{id}/why`` tells it.

        Raises:
            APIError: The server cannot tell.
        """
        body = {"question": question, "answer": answer, "face": face}
        told: Any = self._now.post(f"/videos/{file_id}/why", cast_to=object, body=body)
        return dict(told)

    def preview(self, file_id: str) -> bytes:
        """The beginning of an upload as browsers can play it: an MP4 file.

        Raises:
            APIError: The video cannot be read.
        """
        return self._now.get(f"/videos/{file_id}/preview", cast_to=HttpxBinaryResponseContent).content

    async def answer(
        self, file_id: str, turns: list[Turn], *, face: int = 0, model: str | None = None, **options: Any
    ) -> AsyncGenerator[Piece]:
        """Stream the answer to the last turn, piece by piece; closing the generator cancels the request.

        Args:
            file_id: The upload that is asked about.
            turns: The conversation, its last turn being the question.
            face: Which of the video's faces is asked about, 0 the main one.
            model: Which of the server's models; None: the first.
            options: Further fields of the request, such as ``temperature``; those that are None are left out.

        Raises:
            APIError: The server refuses or fails.
        """
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        extra = {name: given.pop(name) for name in list(given) if name not in ("temperature", "max_tokens", "seed")}
        create: Any = self._later.chat.completions.create  # OpenAI's types know no video_url
        stream = await create(
            model=model or await asyncio.to_thread(lambda: self.model),
            messages=conversation(file_id, turns, face),
            stream=True,
            stream_options={"include_usage": True},
            extra_body=extra,
            **given,
        )
        async with stream:
            async for chunk in stream:
                text = chunk.choices[0].delta.content if chunk.choices else None
                notices = [str(one["message"]) for one in (chunk.model_extra or {}).get("notices") or []]
                usage = chunk.usage and (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                if text or notices or usage:
                    yield Piece(text or "", notices, usage)

    def explain(self, error: APIError) -> str:
        """An error in words for the page's reader."""
        if isinstance(error, APITimeoutError):
            return f"The server at {self.root} took longer than {TIMEOUT:.0f} s. Try again, or try a shorter video."
        if isinstance(error, APIConnectionError):
            return f"The server at {self.root} does not answer. Check that it runs, then try again."
        if isinstance(error, APIStatusError) and error.status_code in (500, 502, 404) and not code_of(error):
            return f"The server at {self.root} is starting or has ended. It is asked again as soon as it answers."
        # The client unwraps OpenAI's {"error": ...}; what else comes is no answer of this API.
        message = error.body.get("message") if isinstance(error.body, dict) else None
        return str(message or error.message)


def code_of(error: APIError) -> str | None:
    """The API's code of an error; None where it is no answer of this API."""
    code = error.body.get("code") if isinstance(error.body, dict) else None
    return str(code) if code else None


def passes(error: APIError) -> bool:
    """Whether asking again later may help: the server is away, is full, starts, or ends."""
    if isinstance(error, APITimeoutError):
        return False
    if isinstance(error, APIConnectionError):
        return True
    status = error.status_code if isinstance(error, APIStatusError) else 0
    return status == 503 or (status in (404, 500, 502) and code_of(error) is None)


def conversation(file_id: str, turns: list[Turn], face: int = 0) -> list[dict[str, Any]]:
    """The messages of a chat about a face of a video, which stands before the first question as in training."""
    address: dict[str, Any] = {"url": f"file:{file_id}"} | ({"face": face} if face else {})
    first, *later = turns
    parts = [{"type": "video_url", "video_url": address}, {"type": "text", "text": first["content"]}]
    return [{"role": first["role"], "content": parts}, *later]
