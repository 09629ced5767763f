"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from serve.request_record import current

RETRY_AFTER = 2
"""Seconds that a client should wait after a 503."""


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        message: What is wrong and what to do, for a person.
        param: The request's field that is at fault.
        code: A word that programs can compare.
    """

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        # All go to Exception.args, which is what pickle rebuilds an exception from (it crosses Ray processes).
        super().__init__(status, message, param, code)
        self.status, self.message, self.param, self.code = status, message, param, code

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, Any]:
        """The JSON body of the response."""
        kind = "rate_limit_error" if self.status == 429 else "invalid_request_error"
        kind = kind if self.status < 500 else "server_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error, "request_id": current().id}


class AsciiJSON(JSONResponse):
    """JSON that can be sent whatever it holds: a text may quote half a surrogate pair, which UTF-8 has no bytes for."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def error_response(error: ApiError, headers: Mapping[str, str] | None = None) -> AsciiJSON:
    """The response to a request that fails; where trying again helps, it says when."""
    current().code = error.code
    retry = {"Retry-After": str(RETRY_AFTER)} if error.status == 503 else {}
    return AsciiJSON(error.body(), error.status, {**(headers or {}), **retry})


def busy(message: str) -> ApiError:
    """The server has no room for the request now; trying again later helps."""
    return ApiError(503, message, code="server_busy")
