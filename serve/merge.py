"""Several streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")


async def merged(streams: Sequence[AsyncGenerator[Item]]) -> AsyncGenerator[Item]:
    """What all streams give, as it comes; the first gives something before the others begin.

    So that several answers to one prompt find in the cache what the first one computed. An error of one ends all, and
    so does leaving early.
    """
    first, *rest = streams
    items: asyncio.Queue[Item | BaseException | None] = asyncio.Queue()

    async def pump(stream: AsyncGenerator[Item]) -> None:
        try:
            async with aclosing(stream):
                async for item in stream:
                    items.put_nowait(item)
        except Exception as error:
            items.put_nowait(error)
        else:
            items.put_nowait(None)

    tasks: list[asyncio.Task[None]] = []
    try:
        async for item in first:
            yield item
            break
        tasks = [asyncio.create_task(pump(stream)) for stream in (first, *rest)]
        running = len(tasks)
        while running:
            got = await items.get()
            if isinstance(got, BaseException):
                raise got
            if got is None:
                running -= 1
            else:
                yield got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in streams:
            await stream.aclose()
