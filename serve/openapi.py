"""What the API's own description says of requests and answers beside what FastAPI finds out by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serve.health import PROBES
from serve.protocol import ChatCompletionRequest
from serve.responses import ResponsesRequest

REFERENCE = "#/components/schemas/{model}"

MEANINGS = {
    400: "The request cannot be answered; `code` and `message` say why.",
    401: "The API key is missing or unknown.",
    404: "There is no such model, file or video.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    429: "The key has used up its requests or tokens: try again after `Retry-After` seconds.",
    500: "The server failed.",
    503: "The server is busy, is restarting a part, or shuts down: try again after `Retry-After` seconds.",
    504: "The request took longer than `serve.request_timeout`.",
}

ERROR = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "request_id": {"type": "string", "description": "As `X-Request-ID` says it."},
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        },
    },
}
"""The body of every error."""

CHAT_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model=ChatCompletionRequest.__name__)}}},
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these errors, and with those that any may."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(model="Error")}}}
    common = (400, 401, 408, 413, 429, 500, 503, 504)  # any request may carry a body
    return {status: {"description": MEANINGS[status], "content": content} for status in sorted({*common, *statuses})}


EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}


def file_of(media_type: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with a file."""
    return {200: {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}}


def text_of(content_type: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with text."""
    return {200: {"content": {content_type.partition(";")[0]: {"schema": {"type": "string"}}}}}


def describe_api(app: FastAPI, models: list[str]) -> dict[str, Any]:
    """The OpenAPI description of the application, whose models have these names."""
    schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
    parts = schema.setdefault("components", {}).setdefault("schemas", {})
    parts["Error"] = ERROR
    kinds: tuple[type[BaseModel], ...] = (ChatCompletionRequest, ResponsesRequest)
    _, described = models_json_schema([(kind, "validation") for kind in kinds], ref_template=REFERENCE)
    parts |= described["$defs"]
    for kind in kinds:
        parts[kind.__name__]["properties"]["model"] = {"enum": models}
    for path in schema["paths"].values():
        for operation in path.values():
            # FastAPI's own answer to a faulty request, which this API gives as 400.
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        parts.pop(name, None)
    schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"key": []}]
    for path in PROBES:
        schema["paths"][path]["get"]["security"] = []
    return schema
