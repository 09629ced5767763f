"""Limits on request bodies, which Ray Serve does not have: their size, their pace, and how many come at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError, busy, error_response
from serve.health import ALWAYS

PACE = 32_000
"""Bytes a second that a body must come at."""
BODIES = 512
"""Bodies that may be on their way at once."""
ROOM = 8
"""Bodies of the largest size that all requests under way may hold together in memory."""


@dataclass
class Traffic:
    """What the application is busy with.

    Attributes:
        coming: Bodies that are on their way.
        held: Bytes of all requests under way.
        requests: Requests under way.
        draining: Whether the application ends: what comes now is turned away.
        idle: Set while no request is under way.
    """

    coming: int = 0
    held: int = 0
    requests: int = 0
    draining: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        """A request begins."""
        self.requests += 1
        self.idle.clear()

    def end(self) -> None:
        """A request ends."""
        self.requests -= 1
        if not self.requests:
            self.idle.set()

    async def drain(self, seconds: float) -> None:
        """Turn away what comes, and wait at most so long for what is under way."""
        self.draining = True
        if self.requests:
            try:
                await asyncio.wait_for(self.idle.wait(), seconds)
            except TimeoutError:
                return


class BodyLimit:
    """ASGI middleware that lets a body in only as long as it is small enough and comes fast enough.

    A body that is too large is answered with 413, one that comes too slowly with 408, and one for which there is no
    room now with 503, as is everything while the application drains.

    Args:
        app: The application.
        max_bytes: Largest body.
        patience: Seconds that a body may take, beside those that it takes at `PACE`.
        traffic: Counts what is under way.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, patience: float, traffic: Traffic) -> None:
        self.app, self.max_bytes, self.patience, self.traffic = app, max_bytes, patience, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and watch its body as it comes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await error_response(refusal)(scope, receive, send)
            return
        self.traffic.begin()
        body = _Body(self, receive, coming=has_body(scope))

        async def unless_refused(message: Message) -> None:
            # The application answers the error that it gets from reading the body, too late and in its own words.
            if body.fault is None:
                await send(message)

        try:
            await self.app(scope, body.receive, unless_refused)
        except ApiError as error:
            if error is not body.fault:
                raise
        finally:
            body.close()
            self.traffic.end()
        if body.fault is not None:
            await error_response(body.fault)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        """Why a request is turned away before it is read."""
        if self.traffic.draining and scope["path"] not in ALWAYS:
            return ApiError(503, "The server is shutting down. Try again later.", code="shutting_down")
        if self.traffic.coming >= BODIES and has_body(scope):
            return busy("Too many requests are on their way. Try again in a moment.")
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced[:20]) > self.max_bytes:
            return self.too_large()
        return None

    def too_large(self) -> ApiError:
        """The refusal of a body beyond the limit."""
        return ApiError(
            413,
            f"The request body exceeds {self.max_bytes / 1e6:g} MB. Send a shorter or smaller video.",
            code="body_too_large",
        )


def has_body(scope: Scope) -> bool:
    """Whether a request announces a body."""
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def body_of(request: Request) -> bytes:
    """A request's body, which the request does not keep: with videos in it, it is large, and answers take long."""
    return b"".join([part async for part in request.stream()])


class _Body:
    """One body on its way."""

    def __init__(self, limit: BodyLimit, receive: Receive, *, coming: bool) -> None:
        self.fault: ApiError | None = None
        self._limit, self._receive = limit, receive
        self._seen, self._coming = 0, coming
        limit.traffic.coming += coming
        self._began = asyncio.get_running_loop().time()

    async def receive(self) -> Message:
        """The next part.

        Raises:
            ApiError: The body is not let in.
        """
        if not self._coming:
            return await self._receive()  # only the client's leaving can come
        traffic, limit = self._limit.traffic, self._limit
        try:
            async with asyncio.timeout_at(self._began + limit.patience + self._seen / PACE):
                message = await self._receive()
        except TimeoutError:
            seconds = asyncio.get_running_loop().time() - self._began
            raise self._refuse(
                ApiError(
                    408,
                    f"Of the request body {self._seen} bytes came in {seconds:.0f} s: too slow.",
                    code="body_too_slow",
                )
            ) from None
        size = len(message.get("body", b""))
        self._seen += size
        traffic.held += size
        if self._seen > limit.max_bytes:
            raise self._refuse(limit.too_large())
        if traffic.held > ROOM * limit.max_bytes:
            raise self._refuse(busy("The requests under way fill the server's memory. Try again in a moment."))
        if not message.get("more_body", False):
            self._arrived()
        return message

    def close(self) -> None:
        """The request is over."""
        self._arrived()
        self._limit.traffic.held -= self._seen

    def _arrived(self) -> None:
        if self._coming:
            self._coming = False
            self._limit.traffic.coming -= 1

    def _refuse(self, fault: ApiError) -> ApiError:
        self.fault = fault
        return fault
