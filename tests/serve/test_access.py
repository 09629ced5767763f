"""Who is let in."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serve.access import Guard
from serve.health import PROBES
from serve.keys import KeyRing
from serve.metrics import Metrics
from serve.observe import Observer
from serve.request_record import current
from tests.serve.test_keys import known


async def whose(request: Request) -> JSONResponse:
    current().tokens += int(request.query_params.get("tokens", 0))
    return JSONResponse(current().owner)


def asker(*keys, open_to_all: bool = False, client: str = "10.0.0.7") -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/ask", whose), *(Route(path, whose) for path in PROBES)])
    app.add_middleware(Guard, ring=KeyRing(keys), open_to_all=open_to_all)
    app.add_middleware(Observer, metrics=Metrics(lambda: True))
    transport = httpx.ASGITransport(app, client=(client, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://server")


def ask(client: httpx.AsyncClient, *queries: str, key: str | None = None, path: str = "/ask") -> list[httpx.Response]:
    headers = {} if key is None else {"Authorization": key}

    async def all_of_them() -> list[httpx.Response]:
        return [await client.get(path + query, headers=headers) for query in queries or ("",)]

    return asyncio.run(all_of_them())


def test_a_key_opens() -> None:
    client = asker(known("ann", "a"), known("bob", "b"))
    assert ask(client, key="Bearer b")[0].json() == "bob"
    assert ask(client, key="bearer  a ")[0].json() == "ann"


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "missing_api_key"),
        ("Basic a", "missing_api_key"),
        ("Bearer ", "missing_api_key"),
        ("Bearer c", "invalid_api_key"),
    ],
)
def test_without_one_nobody_is_let_in_from_anywhere(key, code) -> None:
    for where in ("10.0.0.7", "127.0.0.1"):
        [answer] = ask(asker(known("ann", "a"), client=where), key=key)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == code and answer.json()["request_id"]


def test_where_there_are_no_keys_this_machine_alone_may_ask() -> None:
    for where in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert ask(asker(client=where))[0].status_code == 200
    for where in ("10.0.0.7", "::ffff:10.0.0.7", "fe80::1", "nobody"):
        [answer] = ask(asker(client=where), key="Bearer a")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_keys")


def test_where_they_are_off_all_may_ask() -> None:
    assert ask(asker(known("ann", "a"), open_to_all=True))[0].json() is None


def test_probes_need_no_key() -> None:
    for path in PROBES:
        assert ask(asker(known("ann", "a")), path=path)[0].status_code == 200


def test_requests_beyond_the_rate_wait() -> None:
    client = asker(known("ann", "a", requests_per_minute=2), known("bob", "b"))
    first, second, third = ask(client, "", "", "", key="Bearer a")
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second)] == ["1", "0"]
    assert third.status_code == 429 and 25 <= int(third.headers["retry-after"]) <= 30
    assert third.json()["error"]["code"] == "rate_limit_exceeded"
    assert third.json()["error"]["type"] == "rate_limit_error"
    assert ask(client, key="Bearer b")[0].status_code == 200  # another key is another matter


def test_tokens_are_counted_when_they_are_written() -> None:
    client = asker(known("ann", "a", tokens_per_minute=100))
    answers = ask(client, "?tokens=60", "?tokens=60", "", key="Bearer a")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "100 tokens a minute" in answers[2].json()["error"]["message"]
