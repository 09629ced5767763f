"""What is known of the request that is being answered, for its log line, its metrics and its errors."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from favchat.config import ApiKeyConfig


@dataclass
class RequestRecord:
    """One request.

    Attributes:
        id: What ``X-Request-ID`` says.
        key: The key that was shown.
        code: Of the error that it is answered with.
        tokens: Of its prompts and answers, counted as they are written.
        facts: What else goes into the log line, none of it the client's words.
        began: On the monotonic clock.
        deadline: When it is given up, on the event loop's clock; None: not, or not yet.
    """

    id: str
    key: ApiKeyConfig | None = None
    code: str | None = None
    tokens: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    deadline: float | None = None

    @property
    def owner(self) -> str | None:
        """Name of the key that was shown."""
        return self.key.name if self.key else None


_CURRENT: ContextVar[RequestRecord | None] = ContextVar("request", default=None)


def begin(request_id: str) -> RequestRecord:
    """The record of a request that begins; what is done for the request finds it by :func:`current`."""
    record = RequestRecord(request_id)
    _CURRENT.set(record)
    return record


def current() -> RequestRecord:
    """The record of the request that is being answered; outside of one, a record that nobody reads."""
    return _CURRENT.get() or RequestRecord("")
