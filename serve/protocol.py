"""OpenAI's chat completions request, as far as this server reads it, and the responses."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.chat import Chat
from serve.errors import ApiError

PLACEHOLDERS = ("<|video|>", "<|frame|>", "<|face|>")
"""What stands for a video in a prompt; the same as in favchat.model.processing_favchat, which would load torch here."""

INERT: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
}
"""Parameters that would change the answer but are not to be had here, and the values that change nothing."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class VideoUrl(_Part):
    """Where a video is: a ``data:`` address or ``file:FILE_ID``."""

    url: str


class VideoPart(_Part):
    """A video in a message."""

    type: Literal["video_url"]
    video_url: VideoUrl


class TextPart(_Part):
    """A text in a message."""

    type: Literal["text"]
    text: str


class Message(_Part):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[VideoPart | TextPart, Field(discriminator="type")]]


class StreamOptions(_Part):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatCompletionRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``; unknown fields are kept, to tell the harmful from the harmless."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None

    def addresses(self) -> list[str]:
        """The addresses of the videos, in order."""
        return [
            part.video_url.url
            for message in self.messages
            if not isinstance(message.content, str)
            for part in message.content
            if isinstance(part, VideoPart)
        ]

    def check(self) -> None:
        """Refuse what would be silently done otherwise than asked.

        Raises:
            ApiError: A parameter is not supported, or a text holds a video's placeholder.
        """
        for name, value in (self.model_extra or {}).items():
            if name in INERT and value is not None and value not in INERT[name]:
                raise ApiError(400, f"{name} is not supported by this server.", name, "unsupported_parameter")
        if len(self._stops()) > 4 or "" in self._stops():
            raise ApiError(400, "stop takes one to four strings, none of them empty.", "stop")
        for index, message in enumerate(self.messages):
            for text in _texts(message):
                if any(placeholder in text for placeholder in PLACEHOLDERS):
                    raise ApiError(400, f"A text must not hold {' or '.join(PLACEHOLDERS)}.", f"messages.{index}")

    def chat(self, videos: list[str]) -> Chat:
        """The request for the engine, its videos known by their SHA-256."""
        return Chat(
            messages=[{"role": ROLES.get(m.role, m.role), "content": _content(m)} for m in self.messages],
            videos=videos,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=self._stops(),
        )

    def _stops(self) -> list[str]:
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop


ROLES = {"developer": "system"}


class Answer:
    """Builds the responses to one request."""

    def __init__(self, model: str) -> None:
        self._common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, text: str, finish_reason: str | None, usage: dict[str, int]) -> dict[str, Any]:
        """The whole answer."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return {**self._common, "object": "chat.completion", "choices": [choice], "usage": usage}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """A part of a streamed answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._common, "object": "chat.completion.chunk", "choices": [choice]}

    def usage_chunk(self, usage: dict[str, int]) -> dict[str, Any]:
        """The last part, if usage was asked for."""
        return {**self._common, "object": "chat.completion.chunk", "choices": [], "usage": usage}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Token counts."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _texts(message: Message) -> list[str]:
    if isinstance(message.content, str):
        return [message.content]
    return [part.text for part in message.content if isinstance(part, TextPart)]


def _content(message: Message) -> str | list[dict[str, Any]]:
    if isinstance(message.content, str):
        return message.content
    return [
        {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": "video"}
        for part in message.content
    ]
