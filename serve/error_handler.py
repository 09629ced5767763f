"""What clients are told of any error."""

from __future__ import annotations

import errno

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from ray.exceptions import RayTaskError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from serve.errors import ApiError, busy, error_response


def handle_errors(app: FastAPI) -> None:
    """Have an application answer all errors in OpenAI's shape."""
    # A full disk by itself: what only `Exception` catches goes on through the middleware, which counts it as a fault.
    for kind in (ApiError, RequestValidationError, HTTPException, OSError, Exception):
        app.add_exception_handler(kind, _on_error)


def as_api_error(error: Exception) -> ApiError:
    """Bring any error to OpenAI's shape."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
        error = error.cause  # Ray's own looks like it and has lost its numbers
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"][1:])
        return ApiError(400, f"{place or 'body'}: {fault['msg']}", place or None, "invalid_request")
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, str(error.detail))
    if isinstance(error, ClientDisconnect):
        return ApiError(400, "The client left before its request had come.", code="invalid_request")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return busy("The server's disk is full. Try again later.")
    return ApiError(500, f"The server failed: {type(error).__name__}.", code="internal_error")


async def _on_error(request: Request, error: Exception) -> Response:
    answer = as_api_error(error)
    return error_response(answer, {"Allow": ", ".join(_methods(request))} if answer.status == 405 else None)


def _methods(request: Request) -> list[str]:
    """The methods that a request's path takes; Starlette names those of one of its routes alone."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    fitting = [route for route in routes if route.matches(request.scope)[0] != Match.NONE]
    return sorted({method for route in fitting for method in route.methods or ()})
