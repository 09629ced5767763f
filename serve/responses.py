"""OpenAI's ``/v1/responses``, as far as this server reads it: a chat in other words."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.chat import Piece
from serve.errors import ApiError
from serve.parameters import refuse
from serve.protocol import MESSAGES, PARTS, ChatCompletionRequest, faulty, logprobs, too_many
from serve.view import FACES

LOGPROBS = "message.output_text.logprobs"
"""What `include` may ask for."""
INERT: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "conversation": (),
    "max_tool_calls": (),
    "parallel_tool_calls": (True, False),
    "previous_response_id": (),
    "prompt": (),
    "reasoning": ({}, {"effort": "none"}),
    "stream_options": ({}, {"include_obfuscation": False}, {"include_obfuscation": True}),
    "tool_choice": ("auto", "none"),
    "tools": ([],),
    "truncation": ("disabled",),
}
"""Parameters that would change an answer, and the values that change nothing."""
IGNORED = (
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)
"""Parameters that never change an answer; nothing is kept for later, whatever `store` says."""
ITEM_INERT: dict[str, tuple[Any, ...]] = {
    "status": ("completed", "incomplete", "in_progress"),
    "phase": ("final_answer",),
    "annotations": ([],),
    "detail": ("auto", "low", "high", "original"),
}
"""The same inside of an item; clients send those of earlier answers back as they got them."""
ITEM_IGNORED = ("id", "filename", "logprobs")


class _Part(BaseModel):
    """Fields that are not known are kept, to be refused by name."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": False})


class TextPart(_Part):
    """A text."""

    type: Literal["input_text", "output_text"]
    text: str

    def of_chat(self) -> dict[str, Any]:
        """The same part in a chat."""
        return {"type": "text", "text": self.text}


class FilePart(_Part):
    """A video: an uploaded one, or its bytes as a ``data:`` address."""

    type: Literal["input_file"]
    file_id: str | None = None
    file_data: str | None = None
    face: int = Field(default=0, ge=0, lt=FACES)

    def of_chat(self) -> dict[str, Any]:
        """The same part in a chat."""
        address = _address(self.file_id, self.file_data, "file_data")
        return {"type": "video_url", "video_url": {"url": address, "face": self.face}}


class ImagePart(_Part):
    """A picture: an uploaded one, or its bytes as a ``data:`` address."""

    type: Literal["input_image"]
    file_id: str | None = None
    image_url: str | None = None

    def of_chat(self) -> dict[str, Any]:
        """The same part in a chat."""
        return {"type": "image_url", "image_url": {"url": _address(self.file_id, self.image_url, "image_url")}}


Part = Annotated[TextPart | FilePart | ImagePart, Field(discriminator="type")]


class Item(_Part):
    """A message."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[Part], Field(max_length=PARTS)]

    def of_chat(self) -> dict[str, Any]:
        """The same message in a chat."""
        content = self.content if isinstance(self.content, str) else [part.of_chat() for part in self.content]
        return {"role": self.role, "content": content}


class Text(_Part):
    """What the answer has to be, see `response_format` of a chat."""

    format: dict[str, Any] | None = None


class ResponsesRequest(BaseModel):
    """The body of ``POST /v1/responses``."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str = Field(max_length=256)
    input: str | Annotated[list[Item], Field(min_length=1, max_length=MESSAGES)]
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[str] | None = None
    text: Text | None = None
    stream: bool | None = False

    @classmethod
    def parse(cls, body: bytes) -> ResponsesRequest:
        """Read a request.

        Raises:
            ApiError: It is none, or asks for what this server does not do; the message names the field.
        """
        too_many(body)
        with faulty():
            request = cls.model_validate_json(body)
        extra = {name: value for name, value in (request.model_extra or {}).items() if name not in IGNORED}
        refuse(extra, INERT)
        for number, item in enumerate([] if isinstance(request.input, str) else request.input):
            _refuse_unknown(item, f"input.{number}.")
            for place, part in enumerate([] if isinstance(item.content, str) else item.content):
                _refuse_unknown(part, f"input.{number}.content.{place}.")
        refuse(request.text.model_extra if request.text else {}, {"verbosity": ("medium",)}, "text.")
        for wanted in request.include or []:
            if wanted != LOGPROBS:
                raise ApiError(400, f"include: this server knows '{LOGPROBS}' alone.", "include")
        return request

    def chat(self) -> ChatCompletionRequest:
        """The same as a chat.

        Raises:
            ApiError: It is none that can be answered.
        """
        items = [Item(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        messages = [item.of_chat() for item in items]
        if self.instructions:
            messages.insert(0, {"role": "system", "content": self.instructions})
        shown = LOGPROBS in (self.include or []) or bool(self.top_logprobs)
        fields = {
            "model": self.model,
            "messages": messages,
            "stream": self.stream,
            "max_completion_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "logprobs": shown,
            "top_logprobs": self.top_logprobs,
            "response_format": _of_format(self.text.format if self.text else None),
        }
        return ChatCompletionRequest.parse(json.dumps(fields).encode())


class Response:
    """Builds the answer to one request, whole or as events.

    Args:
        request: The request.
    """

    def __init__(self, request: ResponsesRequest) -> None:
        self._request, self._number = request, -1
        self._id, self._item = f"resp_{uuid.uuid4().hex}", f"msg_{uuid.uuid4().hex}"
        self._created = int(time.time())

    def whole(self, pieces: Sequence[Piece], notices: Sequence[dict[str, str]]) -> dict[str, Any]:
        """The answer."""
        last = pieces[-1] if pieces and pieces[-1].finish_reason else None
        cut = last is not None and last.finish_reason == "length"
        status = "in_progress" if last is None else "incomplete" if cut else "completed"
        request = self._request
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "metadata": (request.model_extra or {}).get("metadata") or {},
            "model": request.model,
            "output": [] if last is None else [self._message(pieces, status)],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": request.temperature or 0.0,
            "text": {"format": (request.text and request.text.format) or {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0 if request.top_p is None else request.top_p,
            "truncation": "disabled",
            "usage": None if last is None else _usage(last),
            "notices": list(notices),
        }

    def opening(self) -> list[tuple[str, dict[str, Any]]]:
        """The events before the first token."""
        response = self.whole([], [])
        item = {"id": self._item, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return [
            self.event("response.created", response=response),
            self.event("response.in_progress", response=response),
            self.event("response.output_item.added", output_index=0, item=item),
            self.event("response.content_part.added", **place, part=_text_part([])),
        ]

    def delta(self, piece: Piece) -> tuple[str, dict[str, Any]]:
        """The event of one more piece."""
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        shown = _text_part([piece])["logprobs"]
        return self.event("response.output_text.delta", **place, delta=piece.text, logprobs=shown)

    def closing(self, pieces: Sequence[Piece], notices: Sequence[dict[str, str]]) -> list[tuple[str, dict[str, Any]]]:
        """The events after the last token."""
        response = self.whole(pieces, notices)
        [item] = response["output"]
        [part] = item["content"]
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        return [
            self.event("response.output_text.done", **place, text=part["text"], logprobs=part["logprobs"]),
            self.event("response.content_part.done", **place, part=part),
            self.event("response.output_item.done", output_index=0, item=item),
            self.event(f"response.{response['status']}", response=response),
        ]

    def failed(self, error: ApiError) -> tuple[str, dict[str, Any]]:
        """The event of an answer that could not be finished."""
        return self.event("error", code=error.code, message=error.message, param=error.param)

    def event(self, kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        """An event and its data; they are numbered."""
        self._number += 1
        return kind, {"type": kind, "sequence_number": self._number, **fields}

    def _message(self, pieces: Sequence[Piece], status: str) -> dict[str, Any]:
        return {
            "id": self._item,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [_text_part(pieces)],
        }


def _refuse_unknown(part: BaseModel, where: str) -> None:
    extra = {name: value for name, value in (part.model_extra or {}).items() if name not in ITEM_IGNORED}
    refuse(extra, ITEM_INERT, where)


def _text_part(pieces: Sequence[Piece]) -> dict[str, Any]:
    tokens = logprobs(pieces)
    return {
        "type": "output_text",
        "text": "".join(piece.text for piece in pieces),
        "annotations": [],
        "logprobs": tokens["content"] if tokens else [],
    }


def _usage(last: Piece) -> dict[str, Any]:
    return {
        "input_tokens": last.prompt_tokens,
        "input_tokens_details": {"cached_tokens": last.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": last.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": last.prompt_tokens + last.completion_tokens,
    }


def _address(file_id: str | None, data: str | None, name: str) -> str:
    if (file_id is None) == (data is None):
        raise ApiError(400, f"input: a part has either file_id or {name}.", "input")
    return f"file:{file_id}" if file_id is not None else str(data)


def _of_format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """The `response_format` of a chat: there the schema lies one level deeper."""
    if given is None or given.get("type") != "json_schema":
        return given
    rest = {name: value for name, value in given.items() if name != "type"}
    return {"type": "json_schema", "json_schema": rest}
