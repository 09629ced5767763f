"""How long a request may take, from its last byte to the answer's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.body_limit import has_body
from serve.errors import ApiError, error_response
from serve.request_record import current

Item = TypeVar("Item")


class Deadline:
    """ASGI middleware that gives a request up and answers 504 where the answer has not begun in time.

    The time begins with the last part of the body, whose pace has a limit of its own. An answer that has begun is
    given up by :func:`until_deadline`.

    Args:
        app: The application.
        seconds: How long.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, for so long."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        loop, record, begun = asyncio.get_running_loop(), current(), False
        try:
            async with asyncio.timeout(None) as limit:

                def begin() -> None:
                    record.deadline = loop.time() + self.seconds
                    limit.reschedule(record.deadline)

                async def received() -> Message:
                    message = await receive()
                    if record.deadline is None and message["type"] == "http.request" and not message.get("more_body"):
                        begin()
                    return message

                async def sent(message: Message) -> None:
                    nonlocal begun
                    if not begun:
                        begun = True
                        limit.reschedule(None)
                    await send(message)

                if not has_body(scope):
                    begin()
                await self.app(scope, received, sent)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            await error_response(too_long())(scope, receive, send)


async def until_deadline(items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
    """The items of a generator as long as the request's time lasts.

    Raises:
        ApiError: The time is over.
    """
    deadline = current().deadline
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                item = await anext(items)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise too_long() from None
        yield item


def too_long() -> ApiError:
    """The request's time is over."""
    return ApiError(
        504, "The request took longer than this server gives one. Ask for less at once.", code="request_timeout"
    )
