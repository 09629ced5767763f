"""Client of a server with the OpenAI chat API, and its errors."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

from openai import APIConnectionError, APIError, APIStatusError, OpenAI
from pydantic import BaseModel, Field, ValidationError

from favchat.config import ServerConfig
from favchat.runtime.openai_retries import is_refusal, meaning_of, retry_wait, said

_LONGEST_WAIT_S = 30.0


class ServerFaultError(Exception):
    """The server answers no question: wrong key, unknown model, no server. The message names the setting."""


class RefusedError(Exception):
    """The server refuses this question permanently."""


class NoReplyError(Exception):
    """No usable reply in the allowed attempts; a later run may get one."""


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]


class ChatServer:
    """A thread-safe client.

    Args:
        settings: The server.
        key: Its setting, for messages: ``evaluation.server`` or ``evaluation.judge``.
    """

    def __init__(self, settings: ServerConfig, key: str) -> None:
        self._settings, self._key = settings, key
        self._heard = False
        self._client = OpenAI(
            base_url=settings.base_url,
            api_key=os.environ.get(settings.api_key_env) or "none",
            timeout=settings.timeout_s,
            max_retries=0,
        )

    def ask(self, messages: list[dict[str, Any]]) -> str:
        """Send a chat and return the answer's text.

        Raises:
            ServerFaultError: Nothing can be asked of this server.
            RefusedError: It refuses this chat.
            NoReplyError: It gave no usable reply.
        """
        body = {"model": self._settings.model, "messages": messages, **self._settings.parameters}
        for attempt in range(1, self._settings.attempts + 1):
            try:
                answer = self._client.chat.completions.with_raw_response.create(**body)
                self._heard = True
                return _Completion.model_validate_json(answer.http_response.text).choices[0].message.content.strip()
            except (APIError, ValidationError) as error:
                reason = self._judge(error)
                if attempt == self._settings.attempts:
                    if isinstance(error, APIConnectionError) and not self._heard:
                        raise ServerFaultError(
                            f"{self._key}: {self._settings.base_url} does not answer: {reason}"
                        ) from error
                    raise NoReplyError(f"{reason} ({attempt} attempts)") from error
                time.sleep(retry_wait(attempt, error, first=1, longest=_LONGEST_WAIT_S))
        raise AssertionError("the last attempt returns or raises")

    def _judge(self, error: Exception) -> str:
        """The reason of a transient error.

        Raises:
            ServerFaultError: The error is permanent for all questions.
            RefusedError: The error is permanent for this question.
        """
        if isinstance(error, ValidationError):
            return f"the answer is no chat completion: {error.errors()[0]['msg']}"
        if isinstance(error, APIStatusError):
            self._heard = True
        fault = meaning_of(error, self._settings, self._key)
        if fault is not None:
            raise ServerFaultError(fault) from error
        if is_refusal(error):
            raise RefusedError(said(error)) from error
        return said(error)
