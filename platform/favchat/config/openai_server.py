"""The settings of an OpenAI-compatible server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from favchat.config.section import Section


class ServerConfig(Section):
    """A server that speaks the OpenAI chat API."""

    base_url: str | None = None
    """Its address, such as ``http://127.0.0.1:8000/v1``."""
    model: str | None = None
    """The model's name there."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is never written anywhere. Servers that ask
    for none need no such variable."""
    parameters: dict[str, Any] = {"max_tokens": 128, "temperature": 0}
    """Further fields of a request as the server knows them, such as ``temperature``."""
    concurrency: int = Field(default=8, ge=1)
    """Requests under way at once, in each process that asks."""
    timeout_s: float = Field(default=120, gt=0)
    """Seconds after which a request that has no reply counts as failed."""
    attempts: int = Field(default=4, ge=1)
    """How often a request is tried before it is given up."""

    @field_validator("base_url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("an address begins with http:// or https://, such as http://127.0.0.1:8000/v1")
            if parts.username or parts.password:
                raise ValueError("put no password into the address, it would be logged; name a variable in api_key_env")
        return url
