"""Classifies errors of OpenAI-compatible servers: permanent for all requests, for one request, or transient."""

from __future__ import annotations

import random

from openai import (
    APIStatusError,
    AuthenticationError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)

from favchat.config import ServerConfig


def said(error: Exception) -> str:
    """The error message of the server or the connection, as one line for a log."""
    status = f"status {error.status_code}: " if isinstance(error, APIStatusError) else ""
    return (status + (str(error) or type(error).__name__))[:300]


def meaning_of(error: Exception, settings: ServerConfig, key: str) -> str | None:
    """Why all requests to this server will fail, naming the setting; None if others may succeed.

    Args:
        error: What a request raised.
        settings: The server.
        key: Its place in the configuration, such as ``evaluation.judge``.
    """
    place = f"{key}: {settings.base_url}"
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return f"{place} refuses the key in {settings.api_key_env}: {said(error)}"
    if isinstance(error, NotFoundError):
        return f"{place} knows no such model ({settings.model}) or address: {said(error)}"
    if isinstance(error, RateLimitError) and error.code == "insufficient_quota":
        return f"{place} says that the quota is used up: {said(error)}"
    return None


def is_refusal(error: Exception) -> bool:
    """Whether the same request would be refused again."""
    may_pass = RateLimitError | InternalServerError | ConflictError
    return isinstance(error, APIStatusError) and not isinstance(error, may_pass)


def retry_wait(attempt: int, error: Exception, *, first: float, longest: float) -> float:
    """Seconds before the next attempt: what the server asks for, else `first`, doubled each time, with jitter.

    Args:
        attempt: The attempt that failed, from 1.
        error: What it raised.
        first: Seconds before the second attempt.
        longest: No wait is longer.
    """
    if isinstance(error, APIStatusError):
        try:
            return min(float(error.response.headers.get("retry-after", "")), longest)
        except ValueError:
            pass  # none, or a date
    return min(first * 2 ** (attempt - 1), longest) * random.uniform(0.5, 1)
