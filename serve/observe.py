"""Each request in one line of the log: when, how long, how it ended, and nothing of what the client said."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.health import ALWAYS
from serve.metrics import Metrics
from serve.request_record import RequestRecord, begin

logger = logging.getLogger("ray.serve")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ID = re.compile(r"[ -~]{1,200}")
"""What a log line may quote of a client's ``X-Request-ID``."""
QUIET = ALWAYS
"""What is asked every few seconds by machines; logged only where it fails."""


class Observer:
    """ASGI middleware around all others.

    Ray Serve's proxy gives a request without an ``X-Request-ID`` one, and puts it into the answer and into the log
    lines of all deployments that work on it.

    Args:
        app: The application.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and write down how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        record = begin(given if ID.fullmatch(given) else uuid.uuid4().hex)
        status = 0
        self.metrics.under_way.inc()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except BaseException as error:
            # The client left, or the server failed, which is answered further outside.
            status = status or (500 if isinstance(error, Exception) else 499)
            record.facts["error"] = type(error).__name__
            raise
        finally:
            self.metrics.under_way.dec()
            self._note(scope, record, status)

    def _note(self, scope: Scope, record: RequestRecord, status: int) -> None:
        endpoint, seconds = endpoint_of(scope), time.monotonic() - record.began
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(method, endpoint, status).inc()
        self.metrics.seconds.labels(endpoint).observe(seconds)
        if record.code is not None:
            self.metrics.refused.labels(record.code).inc()
        if endpoint in QUIET and status == 200:
            return
        facts = {
            "request_id": record.id,
            "method": method,
            "endpoint": endpoint,
            "status": status,
            "ms": round(1e3 * seconds, 1),
            "key": record.owner,
            "code": record.code,
            **record.facts,
        }
        told = {name: value for name, value in facts.items() if value is not None}
        level = logging.WARNING if status >= 500 else logging.INFO
        logger.log(level, "%s %s %d", method, endpoint, status, extra=told)


def endpoint_of(scope: Scope) -> str:
    """The route's pattern: a path may hold anything that the client wrote."""
    route = scope.get("route")
    if route is None and "app" in scope:
        # What was turned away before it came to a route.
        matching = (route for route in scope["app"].routes if route.matches(scope)[0] == Match.FULL)
        route = next(matching, None)
    return getattr(route, "path", "other")
