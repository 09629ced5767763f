"""``POST /v1/chat/completions``: whole or as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from serve.body_limit import body_of
from serve.chat import Piece
from serve.deadline import until_deadline
from serve.error_handler import as_api_error
from serve.openapi import CHAT_BODY, EVENTS, errors
from serve.protocol import Answer, ChatCompletionRequest, usage
from serve.request_record import current


class ChatRoute:
    """The route.

    Args:
        check: Refuses a chat that cannot be answered.
        answer: The pieces of a chat's answer, the first one empty; it adds notices to the second argument.
    """

    def __init__(
        self,
        check: Callable[[ChatCompletionRequest], None],
        answer: Callable[[ChatCompletionRequest, Answer], AsyncGenerator[Piece]],
    ) -> None:
        self._check, self._answer = check, answer

    def add_to(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.post(
            "/v1/chat/completions",
            response_model=None,
            responses={
                200: {"description": "The answer; with `stream`, server-sent events.", "content": EVENTS},
                **errors(404),
            },
            openapi_extra={"requestBody": CHAT_BODY},
        )(self.chat_completions)

    async def chat_completions(self, request: Request) -> dict[str, Any] | StreamingResponse:
        """Answer a chat about videos, in one piece or streamed."""
        body = await asyncio.to_thread(self._read, await body_of(request))
        answer = Answer(body.model)
        pieces = self._answer(body, answer)
        # What is refused is refused here, before a streamed response has begun.
        await anext(pieces)
        if body.stream:
            with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
            return StreamingResponse(_events(answer, pieces, body.n or 1, with_usage), media_type="text/event-stream")
        parts: list[list[Piece]] = [[] for _ in range(body.n or 1)]
        async with aclosing(pieces):
            async for piece in pieces:
                parts[piece.index].append(piece)
        return answer.whole(parts)

    def _read(self, body: bytes) -> ChatCompletionRequest:
        request = ChatCompletionRequest.parse(body)
        self._check(request)
        return request


async def _events(answer: Answer, pieces: AsyncGenerator[Piece], count: int, with_usage: bool) -> AsyncIterator[str]:
    """Server-sent events of streamed answers."""
    for index in range(count):
        yield _event(answer.chunk({"role": "assistant", "content": ""}, index))
    last: dict[int, Piece] = {}
    try:
        async with aclosing(pieces):
            async for piece in until_deadline(pieces):
                last[piece.index] = piece
                if piece.text or piece.logprobs:
                    yield _event(answer.chunk({"content": piece.text}, piece.index, piece))
                if piece.finish_reason:
                    yield _event(answer.chunk({}, piece.index, replace(piece, text="", logprobs=[])))
        if with_usage:
            yield _event(answer.usage_chunk(usage([*last.values()])))
    except Exception as error:  # the status line is gone: the error is an event
        fault = as_api_error(error)
        current().code = fault.code
        yield _event(fault.body())
        return
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
