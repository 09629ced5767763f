"""Requests to an OpenAI-compatible server: with retries, rate and token limits, and a cache of replies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pyarrow as pa
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI
from pydantic import BaseModel, Field, SecretStr, ValidationError
from upath import UPath

from favchat.config import EndpointConfig
from favchat.data.annotate.endpoint_prompt import Prompts, spread
from favchat.data.annotate.endpoint_replies import Reply, ReplyError, read_reply, reply_format
from favchat.data.annotate.known_labels import known_labels_of
from favchat.data.corpus.clip import clip_from_row
from favchat.io.files import write_text_whole
from favchat.runtime.openai_retries import is_refusal, meaning_of, retry_wait, said

SETTINGS, REQUEST, REPLY, SPENT = "settings", "request", "reply", "spent"
"""Stages of a failure: a setting that is wrong for all clips; a request that the server never answered or refused;
replies that cannot be used; and a limit of tokens that was reached before."""

OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("reply", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("path", pa.string()),
    ]
)
"""A clip's reply as JSON, or the stage and the reason of its failure; and its shard, where the batch has that."""

_LONGEST_WAIT_S = 60.0
_PICTURE_TOKENS = 1000  # assumed if a server reports no usage; a high estimate
_CHARACTERS_A_TOKEN = 4


class GivenUpError(Exception):
    """A clip that gets no reply in this run."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    total_tokens: int


class _Completion(BaseModel):
    """The fields that are read from a response; validated here, since the client accepts any JSON."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class KeptReply(BaseModel):
    """A cached reply, one file each."""

    reply: Reply
    tokens: int


class EndpointCaller:
    """An asynchronous actor of Ray Data that sends requests, ``settings.concurrency`` of them concurrently."""

    def __init__(
        self,
        settings: EndpointConfig,
        prompts: Prompts,
        cache: UPath,
        key: SecretStr | None = None,
        progress: Any = None,
    ) -> None:
        """Open the client.

        Args:
            settings: The server.
            prompts: The prompt templates.
            cache: Folder of the cached replies.
            key: The server's API key, if it needs one.
            progress: A ``favchat.runtime.progress.ClipCounter``, told of every clip.
        """
        self._settings = settings
        self._prompts = prompts
        self._cache = cache
        self._progress = progress
        self._client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=key.get_secret_value() if key else "none",
            timeout=settings.timeout_s,
            max_retries=0,  # retried here, so that the limits count every attempt
        )
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._next_start = 0.0
        self._heard = False
        self._fault: str | None = None
        self.spent = 0
        """Tokens used so far."""
        self.sent = 0
        """Requests sent so far."""

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        """Request the clips of a batch.

        Args:
            batch: The columns of ``schema.LABEL_COLUMNS``, ``timestamps`` and ``frames``.

        Yields:
            One row per clip, in order of completion, with the columns of ``OUTCOME_SCHEMA``.
        """
        for done in asyncio.as_completed([self.outcome(row) for row in batch.to_pylist()]):
            yield pa.Table.from_pylist([await done], schema=OUTCOME_SCHEMA)

    async def outcome(self, row: dict[str, Any]) -> dict[str, Any]:
        """Request one clip: a row of ``OUTCOME_SCHEMA``."""
        outcome: dict[str, Any] = {"clip_id": row["clip_id"], "reply": None, "stage": None, "reason": None}
        outcome["path"] = row.get("path")
        body = self._body(row)
        try:
            async with self._slots:
                outcome["reply"] = (await self._reply(body)).model_dump_json()
        except GivenUpError as error:
            outcome |= {"stage": error.stage, "reason": str(error)}
        if self._progress is not None:
            self._progress.finished.remote(row["clip_id"], outcome["stage"] is not None)
        return outcome

    def _body(self, row: dict[str, Any]) -> dict[str, Any]:
        places = spread(len(row["frames"]), self._settings.frames)
        frames, times = ([row[name][place] for place in places] for name in ("frames", "timestamps"))
        return {
            "model": self._settings.model,
            "messages": self._prompts.messages(known_labels_of(clip_from_row(row)), frames, times),
            **reply_format(self._settings.reply_format),
            **self._settings.parameters,
        }

    async def _reply(self, body: dict[str, Any]) -> Reply:
        """The reply to a request, from the cache or the server.

        Raises:
            GivenUpError: There is none.
        """
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        file = self._cache / digest[:2] / f"{digest}.json"
        kept = _kept(file)
        if kept is not None:
            return kept
        for attempt in range(1, self._settings.attempts + 1):
            try:
                reply, tokens = await self._attempt(body)
            except (ReplyError, APIError) as error:
                stage, reason = self._judge(error)
                if attempt == self._settings.attempts:
                    if isinstance(error, APIConnectionError) and not self._heard:
                        # Stop the run if the server is down, instead of retrying every single clip.
                        self._fault = f"annotate.endpoint: {self._settings.base_url} does not answer: {reason}"
                        stage, reason = SETTINGS, self._fault
                    raise GivenUpError(stage, f"{reason} ({attempt} attempts)") from error
                await asyncio.sleep(retry_wait(attempt, error, first=self._settings.backoff_s, longest=_LONGEST_WAIT_S))
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text_whole(file, KeptReply(reply=reply, tokens=tokens).model_dump_json())
                return reply
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, body: dict[str, Any]) -> tuple[Reply, int]:
        """Send a request once, when the rate limit allows it."""
        self._check_limits()  # also before the wait, so that clips over the limit need not wait to fail
        await self._turn()
        self._check_limits()
        self.sent += 1
        try:
            answer = await self._client.chat.completions.with_raw_response.create(**body)
        except APIStatusError:
            self._heard = True
            raise
        self._heard = True
        completion = _completion(answer.http_response.text)
        choice = completion.choices[0]
        tokens = completion.usage.total_tokens if completion.usage else _guess(body, choice.message.content or "")
        self.spent += tokens
        if choice.finish_reason == "length":
            raise ReplyError("the reply is cut off: raise max_tokens in annotate.endpoint.parameters")
        return read_reply(choice.message.content), tokens

    def _check_limits(self) -> None:
        """Raise GivenUpError if no further request may be sent."""
        if self._fault is not None:
            raise GivenUpError(SETTINGS, self._fault)
        limit = self._settings.token_limit
        if limit is not None and self.spent >= limit:
            raise GivenUpError(SPENT, f"{self.spent:,} tokens are used, annotate.endpoint.token_limit is {limit:,}")

    async def _turn(self) -> None:
        """Wait until the rate limit allows another request."""
        rate = self._settings.requests_per_minute
        if rate is not None:
            start = max(time.monotonic(), self._next_start)
            self._next_start = start + 60 / rate
            await asyncio.sleep(start - time.monotonic())

    def _judge(self, error: Exception) -> tuple[str, str]:
        """Stage and reason of a transient error.

        Raises:
            GivenUpError: The error is permanent.
        """
        if isinstance(error, ReplyError):
            return REPLY, str(error)
        self._fault = self._fault or meaning_of(error, self._settings, "annotate.endpoint")
        if self._fault is not None:
            raise GivenUpError(SETTINGS, self._fault)
        if is_refusal(error):
            raise GivenUpError(REQUEST, f"the server refuses the request: {said(error)}")
        return REQUEST, said(error)


def _kept(file: UPath) -> Reply | None:
    try:
        return KeptReply.model_validate_json(file.read_text(encoding="utf-8")).reply
    except (FileNotFoundError, ValidationError):
        return None


def _completion(body: str) -> _Completion:
    try:
        return _Completion.model_validate_json(body)
    except ValidationError as error:
        raise ReplyError(f"the server's answer is no chat completion: {body[:80]!r}") from error


def _guess(body: dict[str, Any], words: str) -> int:
    """Estimated tokens of a request whose server reports no usage."""
    system, user = (message["content"] for message in body["messages"])
    texts = len(system) + len(user[0]["text"]) + len(words)
    return texts // _CHARACTERS_A_TOKEN + _PICTURE_TOKENS * (len(user) - 1)
