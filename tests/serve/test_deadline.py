"""Requests that take too long."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve.deadline import Deadline, until_deadline
from serve.errors import ApiError
from serve.request_record import begin
from tests.serve.test_body_limit import Client


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    if b"slow" in body:
        await asyncio.Event().wait()
    await Response(body)(scope, receive, send)


class Sender(Client):
    """One whose body takes a while to come."""

    async def receive(self) -> dict:
        await asyncio.sleep(0.04)
        return await super().receive()


def ask(client: Client, seconds: float = 0.1) -> tuple[int, bytes]:
    async def run() -> tuple[int, bytes]:
        begin("a")
        return await client.ask(Deadline(slow, seconds))

    return asyncio.run(run())


def test_what_takes_too_long_is_given_up() -> None:
    status, body = ask(Client(b"slow"))
    assert status == 504 and b"request_timeout" in body
    assert ask(Client(b"fast")) == (200, b"fast")


def test_the_time_begins_when_the_body_has_come() -> None:
    assert ask(Sender(b"a", b"b", b"c", b"d")) == (200, b"abcd")


def test_without_a_body_it_begins_at_once() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def run() -> tuple[int, bytes]:
        begin("a")
        return await Client(b"", length=0).ask(Deadline(deaf, 0.02))

    assert asyncio.run(run())[0] == 504


def test_an_answer_that_has_begun_is_given_up_where_it_is() -> None:
    closed = []

    async def words() -> AsyncGenerator[str]:
        try:
            yield "one"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def run() -> list[str]:
        record = begin("a")
        record.deadline = asyncio.get_running_loop().time() + 0.05
        read = []
        with pytest.raises(ApiError) as caught:
            async for word in until_deadline(words()):
                read.append(word)
        assert caught.value.status == 504
        return read

    assert asyncio.run(run()) == ["one"] and closed == [True]


def test_without_a_deadline_all_comes() -> None:
    async def words() -> AsyncGenerator[str]:
        for word in ("one", "two"):
            yield word

    async def run() -> list[str]:
        begin("a")
        return [word async for word in until_deadline(words())]

    assert asyncio.run(run()) == ["one", "two"]
