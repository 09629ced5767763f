"""OpenAI's chat completions request, as far as this server reads it, and the responses."""

from __future__ import annotations

import re
import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from favchat.config import ServeConfig
from serve.chat import Chat
from serve.errors import ApiError
from serve.parameters import IGNORED, INERT, PART_INERT, refuse

PLACEHOLDERS = ("<|video|>", "<|frame|>", "<|face|>")
"""What stands for a video in a prompt; the same as in favchat.model.processing_favchat, which would load torch here."""

MESSAGES = 512
"""Most messages of a chat."""
PARTS = 64
"""Most parts of a message."""
VIDEOS = 16
"""Most different videos of a chat."""
ELEMENTS = 2**18
"""Most values in a request: they are counted before they are read, because reading millions stops all else."""
FIELD = re.compile(r"\w+")
STOPS = 4
STOP_LETTERS = 256
"""Longest stop string."""
LETTERS_A_TOKEN = 16
"""No text has so many letters for each of its tokens: a longer one than the context cannot be meant to be answered,
and is not worth the time that tokenising it would take."""
GREEDY_BELOW = 1e-5
"""Temperatures below this take the most likely token, as vLLM's do: dividing by them leaves no numbers."""


class _Part(BaseModel):
    """Fields that are not known are kept, to be refused by name."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})


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
    content: (
        str | Annotated[list[Annotated[VideoPart | TextPart, Field(discriminator="type")]], Field(max_length=PARTS)]
    )


class StreamOptions(_Part):
    """Options of a streamed answer."""

    include_usage: bool | None = False


StopString = Annotated[str, Field(min_length=1, max_length=STOP_LETTERS)]


def _document_the_rest(schema: dict[str, Any]) -> None:
    """Name in the schema what is taken without being implemented; pydantic knows only the implemented."""
    schema["properties"] |= {name: {"description": "Ignored: it changes no answer."} for name in IGNORED}
    schema["properties"] |= {
        name: {"enum": [*values, None], "description": "Not implemented: other values are refused."}
        for name, values in INERT.items()
    }
    schema["additionalProperties"] = False


class ChatCompletionRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``; unknown fields are kept, to tell the harmful from the harmless."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, json_schema_extra=_document_the_rest)

    model: str = Field(max_length=256)
    messages: list[Message] = Field(min_length=1, max_length=MESSAGES)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: StopString | Annotated[list[StopString], Field(max_length=STOPS)] | None = None

    @classmethod
    def parse(cls, body: bytes) -> ChatCompletionRequest:
        """Read a request.

        Raises:
            ApiError: It is none; the message names the field.
        """
        if sum(body.count(sign) for sign in (b"{", b"[", b",")) > ELEMENTS:
            raise ApiError(400, f"The request has more than {ELEMENTS} elements.", code="invalid_request")
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            # Of the faults that each branch of a union has, the deepest is of the branch that was meant.
            fault = max(faults, key=lambda fault: len(fault["loc"]))
            names = [str(part) for part in fault["loc"] if FIELD.fullmatch(str(part)) and part != "str"]
            place = ".".join(names)[:200]
            raise ApiError(400, f"{place or 'body'}: {fault['msg'][:500]}", place or None, "invalid_request") from None

    def addresses(self) -> list[str]:
        """The addresses of the videos, in order."""
        return [
            part.video_url.url
            for message in self.messages
            if not isinstance(message.content, str)
            for part in message.content
            if isinstance(part, VideoPart)
        ]

    def check(self, limits: ServeConfig) -> None:
        """Refuse what would be silently done otherwise than asked, or could not be done at all.

        Raises:
            ApiError: A parameter is not supported, the chat is too long, or a text holds a video's placeholder.
        """
        extra = {name: value for name, value in (self.model_extra or {}).items() if name not in IGNORED}
        refuse(extra, INERT)
        if self.stream_options is not None:
            refuse(self.stream_options.model_extra, PART_INERT, "stream_options.")
        tokens = self._max_tokens()
        if tokens is not None and tokens > limits.max_new_tokens:
            longest = limits.max_new_tokens
            name = "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"
            raise ApiError(400, f"{name} = {tokens}: this server writes at most {longest}.", name)
        most = min(VIDEOS, limits.max_videos)
        if len(set(self.addresses())) > most:
            raise ApiError(400, f"A chat takes at most {most} different videos.", "messages")
        letters = 0
        for index, message in enumerate(self.messages):
            _refuse_unknown(message, f"messages.{index}.")
            for text in _texts(message):
                letters += len(text)
                if any(placeholder in text for placeholder in PLACEHOLDERS):
                    raise ApiError(400, f"A text must not hold {' or '.join(PLACEHOLDERS)}.", f"messages.{index}")
        if letters > LETTERS_A_TOKEN * limits.cache_tokens:
            raise ApiError(
                400,
                f"The chat has {letters} letters; the model's context holds {limits.cache_tokens} tokens. Shorten it.",
                "messages",
                "context_length_exceeded",
            )

    def chat(self, videos: list[str]) -> Chat:
        """The request for the engine, its videos known by their SHA-256."""
        temperature = self.temperature or 0.0
        return Chat(
            messages=[{"role": ROLES.get(m.role, m.role), "content": _content(m)} for m in self.messages],
            videos=videos,
            max_tokens=self._max_tokens(),
            temperature=temperature if temperature >= GREEDY_BELOW else 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=[self.stop] if isinstance(self.stop, str) else self.stop or [],
        )

    def _max_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


ROLES = {"developer": "system"}


class Answer:
    """Builds the responses to one request.

    Attributes:
        notices: What the client should know about its videos beside the answer, a code and a message each.
    """

    def __init__(self, model: str) -> None:
        self._common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self.notices: list[dict[str, str]] = []

    def whole(self, text: str, finish_reason: str | None, usage: dict[str, Any]) -> dict[str, Any]:
        """The whole answer."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return {
            **self._common,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage,
            "notices": self.notices,
        }

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """A part of a streamed answer; the notices come with the last one."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._common, "object": "chat.completion.chunk", "choices": [choice]}
        return {**chunk, "notices": self.notices} if finish_reason else chunk

    def usage_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The last part, if usage was asked for."""
        return {**self._common, "object": "chat.completion.chunk", "choices": [], "usage": usage}


def usage(prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> dict[str, Any]:
    """Token counts; those of the prompt that were cached are a part of its own."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


def _refuse_unknown(message: Message, where: str) -> None:
    refuse(message.model_extra, PART_INERT, where)
    if isinstance(message.content, str):
        return
    for index, part in enumerate(message.content):
        place = f"{where}content.{index}."
        refuse(part.model_extra, {}, place)
        if isinstance(part, VideoPart):
            refuse(part.video_url.model_extra, {}, f"{place}video_url.")


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
