"""Places in the engine, given in turn: the many requests of one key do not hold up the few of another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from serve.errors import ApiError, busy


class Places:
    """So many places, and a queue for each key before them.

    A place that gets free goes to the next key that waits, whatever how many of its requests wait. Where all queues
    together are full, one of a key whose queue is the longest gives way to one of a key with a shorter queue.

    Args:
        places: How many.
        queue: Requests that may wait, all keys together.
        waiting: Told how many wait whenever that changes.
    """

    def __init__(self, places: int, queue: int, waiting: Callable[[int], object] = lambda count: None) -> None:
        self._free, self._queue, self._tell = places, queue, waiting
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}
        """Of each key that waits; the one whose turn is next first."""

    @asynccontextmanager
    async def place(self, owner: str | None) -> AsyncIterator[None]:
        """Hold a place as long as the context lasts.

        Args:
            owner: Name of the key that asks.

        Raises:
            ApiError: Too many wait already.
        """
        await self._take(owner)
        try:
            yield
        finally:
            self._give()

    async def _take(self, owner: str | None) -> None:
        if self._free:
            self._free -= 1
            return
        if self._count() >= self._queue:
            self._displace(owner)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._tell(self._count())
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._give()  # the place came at the same moment
            else:
                self._forget(owner, turn)
            raise

    def _give(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        owner = next(iter(self._waiting))
        turns = self._waiting.pop(owner)
        turns.popleft().set_result(None)
        if turns:
            self._waiting[owner] = turns  # behind all others
        self._tell(self._count())

    def _displace(self, owner: str | None) -> None:
        """Make room in the queues for one more of a key.

        Raises:
            ApiError: No other key has more in its queue.
        """
        longest = max(self._waiting, key=lambda other: len(self._waiting[other]), default=owner)
        if longest not in self._waiting or len(self._waiting[longest]) <= len(self._waiting.get(owner, ())) + 1:
            raise full()
        turns = self._waiting[longest]
        turns.pop().set_exception(full())  # the one that came last
        self._tell(self._count())

    def _forget(self, owner: str | None, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(owner)
        if turns is not None and turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[owner]
        self._tell(self._count())

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))


def full() -> ApiError:
    """Too many wait."""
    return busy("Too many requests are waiting. Try again in a moment.")
