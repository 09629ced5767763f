"""The size, the pace and the number of request bodies."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve.body_limit import BODIES, ROOM, BodyLimit, Traffic, body_of


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await Response(str(len(body)))(scope, receive, send)


class Client:
    """A request whose body comes in parts."""

    def __init__(self, *parts: bytes | None, length: int | None = None) -> None:
        self.parts, self.sent = parts, []
        headers = [(b"transfer-encoding", b"chunked")] if length is None else [(b"content-length", b"%d" % length)]
        self.scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        self._messages = self._come()

    async def _come(self) -> AsyncIterator[dict]:
        for index, part in enumerate(self.parts):
            if part is None:
                await asyncio.Event().wait()  # never
            yield {"type": "http.request", "body": part, "more_body": index < len(self.parts) - 1}

    async def receive(self) -> dict:
        return await anext(self._messages)

    async def send(self, message: dict) -> None:
        self.sent.append(message)

    async def ask(self, limit: BodyLimit) -> tuple[int, bytes]:
        await limit(self.scope, self.receive, self.send)
        assert [message["type"] for message in self.sent] == ["http.response.start", "http.response.body"]
        return self.sent[0]["status"], self.sent[1]["body"]


def ask(client: Client, traffic: Traffic | None = None, patience: float = 60.0) -> tuple[int, bytes]:
    traffic = traffic or Traffic()
    before = (traffic.coming, traffic.held, traffic.requests)
    answer = asyncio.run(client.ask(BodyLimit(echo, max_bytes=1000, patience=patience, traffic=traffic)))
    assert (traffic.coming, traffic.held, traffic.requests) == before
    return answer


def test_a_body_within_the_limit_passes() -> None:
    assert ask(Client(b"a" * 600, b"b" * 400)) == (200, b"1000")
    assert ask(Client(b"", length=0)) == (200, b"0")


@pytest.mark.parametrize("client", [Client(b"a" * 600, b"b" * 600), Client(b"a", length=1001)])
def test_a_body_beyond_the_limit_is_refused(client) -> None:
    status, body = ask(client)
    assert status == 413 and b"body_too_large" in body


@pytest.mark.parametrize("parts", [(None,), (b"a", None), (b"a" * 999, None)])
def test_a_body_that_stops_coming_is_refused(parts) -> None:
    status, body = ask(Client(*parts, b""), patience=0.05)
    assert status == 408 and b"body_too_slow" in body


def test_bodies_that_fill_the_memory_together_are_put_off() -> None:
    status, body = ask(Client(b"a" * 900), Traffic(held=ROOM * 1000 - 100))
    assert status == 503 and b"server_busy" in body


def test_too_many_bodies_at_once_are_put_off() -> None:
    assert ask(Client(b"a"), Traffic(coming=BODIES))[0] == 503
    assert ask(Client(b"a"), Traffic(coming=BODIES - 1))[0] == 200
    assert ask(Client(b"", length=0), Traffic(coming=BODIES))[0] == 200  # it brings none


def test_a_server_that_drains_turns_new_requests_away_and_waits_for_the_others() -> None:
    async def drain() -> list:
        traffic, go = Traffic(), asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await go.wait()
            await echo(scope, receive, send)

        limit = BodyLimit(slow, max_bytes=1000, patience=60, traffic=traffic)
        first = asyncio.create_task(Client(b"a").ask(limit))
        await asyncio.sleep(0)
        drained = asyncio.create_task(traffic.drain(60))
        await asyncio.sleep(0)
        refused = Client(b"b")
        status, body = await refused.ask(limit)
        assert (status, b"shutting_down" in body) == (503, True)
        assert dict(refused.sent[0]["headers"])[b"retry-after"] == b"2"
        assert not drained.done()
        go.set()
        await drained
        return [*await first]

    assert asyncio.run(drain()) == [200, b"1"]


def test_draining_ends_although_a_request_does_not() -> None:
    async def drain() -> bool:
        traffic = Traffic()
        traffic.begin()
        await traffic.drain(0.01)
        return traffic.draining

    assert asyncio.run(drain())


def test_a_body_is_read_and_not_kept() -> None:
    client = Client(b"ab", b"c")
    request = Request(client.scope, client.receive)
    assert asyncio.run(body_of(request)) == b"abc"
    with pytest.raises(RuntimeError, match="Stream consumed"):
        asyncio.run(request.body())
