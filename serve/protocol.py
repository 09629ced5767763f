"""OpenAI's chat completions request, as far as this server reads it, and the responses."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from favchat.config import ServeConfig
from serve.chat import Chat, Piece, TokenText
from serve.errors import ApiError
from serve.forms import Structured
from serve.parameters import IGNORED, INERT, PART_INERT, refuse
from serve.view import FACES, Part, View

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
ANSWERS = 8
"""Most answers to one chat."""
BIASED = 1024
"""Most tokens whose logits a request changes."""
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


class Shown(NamedTuple):
    """A video of a chat: where it is, and which of its faces is meant."""

    address: str
    face: int


class VideoUrl(_Part):
    """Where a video is, a ``data:`` address or ``file:FILE_ID``, and which of its faces is meant, 0 the main one."""

    url: str
    face: int = Field(default=0, ge=0, lt=FACES)


class VideoPart(_Part):
    """A video in a message."""

    type: Literal["video_url"]
    video_url: VideoUrl

    @property
    def shown(self) -> Shown:
        """Which video, and which face."""
        return Shown(self.video_url.url, self.video_url.face)

    def forget_address(self) -> None:
        """Drop the address."""
        self.video_url.url = ""


class ImageUrl(_Part):
    """Where a picture is, and which face is meant: as of a video."""

    url: str
    face: int = Field(default=0, ge=0, lt=FACES)


class ImagePart(_Part):
    """A picture in a message: a video of one frame."""

    type: Literal["image_url"]
    image_url: ImageUrl

    @property
    def shown(self) -> Shown:
        """Which picture, and which face."""
        return Shown(self.image_url.url, self.image_url.face)

    def forget_address(self) -> None:
        """Drop the address."""
        self.image_url.url = ""


class TextPart(_Part):
    """A text in a message."""

    type: Literal["text"]
    text: str


class Message(_Part):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: (
        str
        | Annotated[
            list[Annotated[VideoPart | ImagePart | TextPart, Field(discriminator="type")]], Field(max_length=PARTS)
        ]
    )


class StreamOptions(_Part):
    """Options of a streamed answer."""

    include_usage: bool | None = False


TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopString = Annotated[str, Field(min_length=1, max_length=STOP_LETTERS)]


def _document_the_rest(schema: dict[str, Any]) -> None:
    """Name in the schema what is taken without being implemented; pydantic knows only the implemented."""
    schema["properties"] |= {name: {"description": "Ignored: it changes no answer."} for name in IGNORED}
    schema["properties"] |= {
        name: {"enum": [*values, None], "description": "Not implemented: other values are refused."}
        for name, values in INERT.items()
    }
    schema["additionalProperties"] = False


class ChatCompletionRequest(Structured):
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
    n: int | None = Field(default=None, ge=1, le=ANSWERS)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    logit_bias: Annotated[dict[TokenId, Bias], Field(max_length=BIASED)] | None = None
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    without: Annotated[list[Part], Field(max_length=2)] | None = None

    @classmethod
    def parse(cls, body: bytes) -> ChatCompletionRequest:
        """Read a request.

        Raises:
            ApiError: It is none; the message names the field.
        """
        too_many(body)
        with faulty():
            return cls.model_validate_json(body)

    def shown(self) -> list[Shown]:
        """The videos, in order."""
        return [part.shown for part in self._video_parts()]

    def forget_addresses(self) -> None:
        """Drop the addresses, which may be whole videos, once the videos have been taken in."""
        for part in self._video_parts():
            part.forget_address()

    def _video_parts(self) -> list[VideoPart | ImagePart]:
        return [
            part
            for message in self.messages
            if not isinstance(message.content, str)
            for part in message.content
            if not isinstance(part, TextPart)
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
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, "top_logprobs: set logprobs, too.", "top_logprobs")
        _, options = self.form()
        if options and (self.n or 1) > 1:
            raise ApiError(400, "n: of options one is chosen.", "n")
        most = min(VIDEOS, limits.max_videos)
        if len(set(self.shown())) > most:
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

    def chat(self, videos: list[View]) -> Chat:
        """The request for the engine, with its videos in order."""
        temperature = self.temperature or 0.0
        form, options = self.form()
        return Chat(
            messages=[{"role": ROLES.get(m.role, m.role), "content": _content(m)} for m in self.messages],
            videos=videos,
            max_tokens=self._max_tokens(),
            temperature=temperature if temperature >= GREEDY_BELOW else 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=[self.stop] if isinstance(self.stop, str) else self.stop or [],
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            n=self.n or 1,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            logit_bias=self.logit_bias or {},
            form=form,
            options=options,
            stream=bool(self.stream),
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

    def whole(self, parts: Sequence[Sequence[Piece]]) -> dict[str, Any]:
        """The whole answers, each from its pieces."""
        return {
            **self._common,
            "object": "chat.completion",
            "choices": [_choice(index, pieces) for index, pieces in enumerate(parts)],
            "usage": usage([pieces[-1] for pieces in parts]),
            "notices": self.notices,
        }

    def chunk(self, delta: dict[str, Any], index: int = 0, piece: Piece | None = None) -> dict[str, Any]:
        """A part of a streamed answer; the notices come with the last one."""
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        chunk = {**self._common, "object": "chat.completion.chunk", "choices": [choice]}
        if piece is None:
            return chunk
        if piece.text or piece.logprobs:
            choice["logprobs"] = logprobs([piece])
        elif piece.finish_reason:
            choice["finish_reason"] = piece.finish_reason
            if piece.options is not None:
                choice["option_probabilities"] = piece.options
            chunk["notices"] = self.notices
        return chunk

    def usage_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The last part, if usage was asked for."""
        return {**self._common, "object": "chat.completion.chunk", "choices": [], "usage": usage}


def usage(last: Sequence[Piece]) -> dict[str, Any]:
    """Token counts, from the last piece of each answer; those of the prompt that were cached are a part of its own."""
    prompt, completion = last[0].prompt_tokens, sum(piece.completion_tokens for piece in last)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": last[0].cached_tokens},
    }


def _choice(index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
    text = "".join(piece.text for piece in pieces)
    choice = {
        "index": index,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": logprobs(pieces),
        "finish_reason": pieces[-1].finish_reason,
    }
    options = pieces[-1].options
    return choice if options is None else {**choice, "option_probabilities": options}


def logprobs(pieces: Sequence[Piece]) -> dict[str, Any] | None:
    """The tokens of some pieces as OpenAI tells them; null where none were asked for."""
    tokens = [
        {**_token(one.token), "top_logprobs": [_token(other) for other in one.top]}
        for piece in pieces
        for one in piece.logprobs
    ]
    return {"content": tokens, "refusal": None} if tokens else None


def _token(token: TokenText) -> dict[str, Any]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.data)}


def too_many(body: bytes) -> None:
    """Refuse a body of so many values that reading it would stop all else."""
    if sum(body.count(sign) for sign in (b"{", b"[", b",")) > ELEMENTS:
        raise ApiError(400, f"The request has more than {ELEMENTS} elements.", code="invalid_request")


@contextmanager
def faulty() -> Iterator[None]:
    """Say in OpenAI's shape which field of a body is at fault."""
    try:
        yield
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        # Of the faults that each branch of a union has, the deepest is of the branch that was meant.
        fault = max(faults, key=lambda fault: len(fault["loc"]))
        names = [str(part) for part in fault["loc"] if FIELD.fullmatch(str(part)) and part != "str"]
        place = ".".join(names)[:200]
        raise ApiError(400, f"{place or 'body'}: {fault['msg'][:500]}", place or None, "invalid_request") from None


def _refuse_unknown(message: Message, where: str) -> None:
    refuse(message.model_extra, PART_INERT, where)
    if isinstance(message.content, str):
        return
    for index, part in enumerate(message.content):
        place = f"{where}content.{index}."
        refuse(part.model_extra, {}, place)
        if isinstance(part, VideoPart):
            refuse(part.video_url.model_extra, {}, f"{place}video_url.")
        if isinstance(part, ImagePart):
            refuse(part.image_url.model_extra, PART_INERT, f"{place}image_url.")


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
