"""Requests that are worked on together: what comes while a batch is worked on is the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Makes batches of what tasks of one event loop want done.

    `ray.serve.batch` makes a batch before the one ahead of it has ended, and so has to wait for company: 20 ms that
    somebody who comes alone would lose.

    Args:
        work: Gives a result for each item; runs in a thread, one batch at a time.
        most: Items of a batch at most.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], most: int) -> None:
        self._work, self._most = work, most
        self._waiting: deque[tuple[Item, asyncio.Future[tuple[Result, int]]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> tuple[Result, int]:
        """The result of an item, and how many the batch had.

        Raises:
            Exception: What `work` raised; so for all of the batch.
        """
        done: asyncio.Future[tuple[Result, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await done

    async def _run(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
            batch = [(item, done) for item, done in taken if not done.done()]  # who is cancelled wants no more
            if not batch:
                continue
            try:
                results = await asyncio.to_thread(self._work, [item for item, _ in batch])
            except Exception as error:
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            for (_, done), result in zip(batch, results, strict=True):
                if not done.done():
                    done.set_result((result, len(batch)))
