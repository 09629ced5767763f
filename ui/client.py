"""What the page asks of the API, through OpenAI's client."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from openai import (
    APIConnectionError,
    APIError,
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

    @cached_property
    def model(self) -> str:
        """The name of the server's model; asked once, answered when all parts of the server do.

        Raises:
            APIError: The server does not answer.
            ValueError: It is none of favchat's.
        """
        health: Any = self._now.get(f"{self.root}/healthz", cast_to=object, options={"timeout": 60.0})
        if not isinstance(health, dict) or "model" not in health:
            raise ValueError(f"{self.root}/healthz is no favchat server's answer")
        return str(health["model"])

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

    def video(self, file_id: str) -> dict[str, Any]:
        """The face track and expert usage of an upload, as ``GET /v1/videos/{id}`` gives them.

        Raises:
            APIError: The video cannot be used.
        """
        described: Any = self._now.get(f"/videos/{file_id}", cast_to=object)
        return dict(described)

    def preview(self, file_id: str) -> bytes:
        """The beginning of an upload as browsers can play it: an MP4 file.

        Raises:
            APIError: The video cannot be read.
        """
        return self._now.get(f"/videos/{file_id}/preview", cast_to=HttpxBinaryResponseContent).content

    async def answer(self, file_id: str, turns: list[Turn]) -> AsyncGenerator[str]:
        """Stream the answer to the last turn, piece by piece; closing the generator cancels the request.

        Raises:
            APIError: The server refuses or fails.
        """
        # OpenAI's types know no video_url.
        messages: Any = conversation(file_id, turns)
        stream = await self._later.chat.completions.create(model=self.model, messages=messages, stream=True)
        async with stream:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

    def explain(self, error: APIError) -> str:
        """An error in words for the page's reader."""
        if isinstance(error, APITimeoutError):
            return f"The server at {self.root} took longer than {TIMEOUT:.0f} s. Try again, or try a shorter video."
        if isinstance(error, APIConnectionError):
            return f"The server at {self.root} does not answer. Check that it runs, then try again."
        # The client unwraps OpenAI's {"error": ...}; what else comes is no answer of this API.
        message = error.body.get("message") if isinstance(error.body, dict) else None
        return str(message or error.message)


def conversation(file_id: str, turns: list[Turn]) -> list[dict[str, Any]]:
    """The messages of a chat about a video, which stands before the first question as in training."""
    video = {"type": "video_url", "video_url": {"url": f"file:{file_id}"}}
    first, *later = turns
    return [{"role": first["role"], "content": [video, {"type": "text", "text": first["content"]}]}, *later]
