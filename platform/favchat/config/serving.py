"""Who may use the HTTP API, and how much."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from favchat.config.section import Section


def _word(value: Any) -> Any:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


Auth = Annotated[Literal["keys", "off"], BeforeValidator(_word)]


class ApiKeyConfig(Section):
    """One key of the API, known by its hash, and what its holder may do. ``favchat key NAME`` makes one."""

    name: str = Field(pattern=r"^[\w.-]{1,64}$")
    """Whose it is, for logs and metrics."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the key, in hexadecimal; the key itself is written nowhere."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Requests a minute, of which that many may come at once; null: any number."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Tokens of prompts and answers a minute; null: any number."""
    max_uploads: int | None = Field(default=None, ge=1)
    """Uploaded files at a time; null: as many as the store takes."""
