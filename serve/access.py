"""Who is let in: keys, their rates, and where there are no keys this machine alone."""

from __future__ import annotations

import ipaddress
import math

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError, error_response
from serve.health import PROBES
from serve.keys import KeyRing, Rates
from serve.request_record import current

FORGET = 1024
"""Keys whose rates are remembered at most; those of keys that are gone go first."""


class Guard:
    """ASGI middleware before everything that reads a request.

    Args:
        app: The application.
        ring: The keys.
        open_to_all: Whether nobody is asked for one (``serve.auth=off``).
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, *, open_to_all: bool) -> None:
        self.app, self.ring, self.open_to_all = app, ring, open_to_all
        self._rates: dict[str, Rates] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer 401 or 429."""
        if scope["type"] != "http" or self.open_to_all or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        refusal = self._stranger(scope)
        if refusal is not None:
            await error_response(refusal, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        key = current().key
        if key is None:
            await self.app(scope, receive, send)
            return
        rates = self._rates_of(key.name)
        seconds, wanting = rates.wait()
        if seconds > 0:
            limit = key.requests_per_minute if wanting == "requests" else key.tokens_per_minute
            error = ApiError(
                429,
                f"The key '{key.name}' may have {limit:g} {wanting} a minute. Try again in {math.ceil(seconds)} s.",
                code="rate_limit_exceeded",
            )
            headers = {"Retry-After": str(math.ceil(seconds)), **rates.headers()}
            await error_response(error, headers)(scope, receive, send)
            return
        if rates.requests is not None:
            rates.requests.take(1)

        async def with_rates(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(rates.headers())
            await send(message)

        record = current()
        try:
            await self.app(scope, receive, with_rates)
        finally:
            if rates.tokens is not None:
                rates.tokens.take(record.tokens)

    def _stranger(self, scope: Scope) -> ApiError | None:
        """Why a request is not let in; notes its key where it is."""
        if not len(self.ring):
            if _from_here(scope):
                return None
            return ApiError(
                401,
                "This server has no keys, so that only its own machine may ask. Give it some with serve.keys_file=..., "
                "or serve.auth=off.",
                code="no_keys",
            )
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return ApiError(401, "This server asks for an API key: Authorization: Bearer KEY.", code="missing_api_key")
        key = self.ring.find(token.strip())
        if key is None:
            return ApiError(401, "There is no such API key.", code="invalid_api_key")
        current().key = key
        return None

    def _rates_of(self, name: str) -> Rates:
        """The rates of the key that was shown, anew where its settings changed."""
        key = current().key
        assert key is not None  # noqa: S101 - who calls this has seen it
        wanted = (key.requests_per_minute, key.tokens_per_minute)
        rates = self._rates.get(name)
        held = rates and tuple(kind.per_minute if kind else None for kind in (rates.requests, rates.tokens))
        if rates is None or held != wanted:
            if len(self._rates) >= FORGET:
                self._rates.pop(next(iter(self._rates)))
            rates = self._rates[name] = Rates.of(key)
        return rates


def _from_here(scope: Scope) -> bool:
    """Whether a request comes from this machine."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
