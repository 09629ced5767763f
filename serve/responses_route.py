"""``POST /v1/responses``: whole or as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from serve.body_limit import body_of
from serve.chat import Piece
from serve.deadline import until_deadline
from serve.error_handler import as_api_error
from serve.openapi import EVENTS, REFERENCE, errors
from serve.protocol import Answer, ChatCompletionRequest
from serve.request_record import current
from serve.responses import Response, ResponsesRequest

BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model=ResponsesRequest.__name__)}}},
}


class ResponsesRoute:
    """The route, which answers as the route of chats does.

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
            "/v1/responses",
            response_model=None,
            responses={
                200: {"description": "The answer; with `stream`, server-sent events.", "content": EVENTS},
                **errors(404),
            },
            openapi_extra={"requestBody": BODY},
        )(self.responses)

    async def responses(self, request: Request) -> dict[str, Any] | StreamingResponse:
        """Answer a chat about videos in the words of OpenAI's responses."""
        asked, chat = await asyncio.to_thread(self._read, await body_of(request))
        answer, response = Answer(chat.model), Response(asked)
        pieces = self._answer(chat, answer)
        await anext(pieces)  # what is refused is refused before a streamed response has begun
        if asked.stream:
            return StreamingResponse(self._events(response, answer, pieces), media_type="text/event-stream")
        async with aclosing(pieces):
            return response.whole([piece async for piece in pieces], answer.notices)

    def _read(self, body: bytes) -> tuple[ResponsesRequest, ChatCompletionRequest]:
        asked = ResponsesRequest.parse(body)
        chat = asked.chat()
        asked.input = ""  # the chat has it, and drops the videos when they have been taken in
        self._check(chat)
        return asked, chat

    async def _events(self, response: Response, answer: Answer, pieces: AsyncGenerator[Piece]) -> AsyncIterator[str]:
        for event in _written(response.opening()):
            yield event
        told: list[Piece] = []
        try:
            async with aclosing(pieces):
                async for piece in until_deadline(pieces):
                    told.append(piece)
                    if piece.text or piece.logprobs:
                        yield _written([response.delta(piece)])[0]
            for event in _written(response.closing(told, answer.notices)):
                yield event
        except Exception as error:  # the status line is gone: the error is an event
            fault = as_api_error(error)
            current().code = fault.code
            yield _written([response.failed(fault)])[0]


def _written(events: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in events]
