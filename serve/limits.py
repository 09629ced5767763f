"""A limit on the size of request bodies, which Ray Serve does not have."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError


class BodyLimit:
    """ASGI middleware that answers a body beyond a limit with 413, before it is held in memory.

    Args:
        app: The application.
        max_bytes: The limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count its body as it comes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        error = ApiError(
            413,
            f"The request body exceeds {self.max_bytes / 1e6:g} MB. Send a shorter or smaller video.",
            code="body_too_large",
        )
        refusal = JSONResponse(error.body(), error.status)
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self.max_bytes:
            await refusal(scope, receive, send)
            return
        seen, refused = 0, False

        async def counted() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes:
                refused = True
                await refusal(scope, receive, send)
                raise error
            return message

        async def unless_refused(message: Message) -> None:
            # The application answers the error that it gets from reading the body, too late.
            if not refused:
                await send(message)

        try:
            await self.app(scope, counted, unless_refused)
        except ApiError:
            if not refused:
                raise
