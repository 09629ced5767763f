"""In what order places are given."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serve.errors import ApiError
from serve.request_queue import Places


class Crowd:
    """Requests that hold a place until they are told to end; `served` are those that got one, in order."""

    def __init__(self, places: Places) -> None:
        self.places, self.served, self.refused = places, [], []
        self.tasks: dict[str, asyncio.Task] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def come(self, *names: str) -> None:
        """The letter of a name is its key."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._hold(name))
            await asyncio.sleep(0)

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def _hold(self, name: str) -> None:
        try:
            async with self.places.place(name[0]):
                self.served.append(name)
                await self._ends[name].wait()
        except ApiError as error:
            assert error.status == 503
            self.refused.append(name)


def crowded(act: Callable[[Crowd], Awaitable[None]], places: int = 1, queue: int = 8) -> Crowd:
    async def run() -> Crowd:
        crowd = Crowd(Places(places, queue))
        await act(crowd)
        return crowd

    return asyncio.run(run())


def test_keys_take_turns() -> None:
    async def act(crowd: Crowd) -> None:
        await crowd.come("a1", "a2", "a3", "a4", "b1", "c1", "b2")
        await crowd.end("a1", "a2", "b1", "c1", "a3", "b2", "a4")

    assert crowded(act).served == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]


def test_as_many_as_there_are_places_at_once() -> None:
    async def act(crowd: Crowd) -> None:
        await crowd.come("a1", "a2", "a3", "b1")
        assert crowd.served == ["a1", "a2", "a3"]
        await crowd.end("a2")
        assert crowd.served[3:] == ["b1"]
        await crowd.end("a1", "a3", "b1")
        await crowd.come("a4", "a5", "a6", "a7")
        assert crowd.served[4:] == ["a4", "a5", "a6"]

    crowded(act, places=3)


def test_of_full_queues_the_longest_gives_way_to_a_shorter_one() -> None:
    async def act(crowd: Crowd) -> None:
        await crowd.come("a0", "a1", "a2", "a3", "a4", "a5")
        assert crowd.refused == ["a5"]
        await crowd.come("b1", "b2", "b3")
        await crowd.settle()
        assert crowd.refused == ["a5", "a4", "a3", "b3"]  # two of each wait: nobody has more than b
        await crowd.end("a0", "a1", "b1", "a2", "b2")

    assert crowded(act, queue=4).served == ["a0", "a1", "b1", "a2", "b2"]


@pytest.mark.parametrize("given", [False, True])
def test_who_leaves_takes_no_place(given) -> None:
    """Whether it is given the place at the same moment or not."""

    async def act(crowd: Crowd) -> None:
        await crowd.come("a1", "b1", "c1")
        if given:
            crowd._ends["a1"].set()
            while not crowd.tasks["a1"].done():
                await asyncio.sleep(0)
        crowd.tasks["b1"].cancel()
        await crowd.settle()
        if not given:
            await crowd.end("a1")
        assert crowd.served[-1] == "c1"
        await crowd.end("c1")
        await crowd.come("d1")
        assert crowd.served[-1] == "d1"

    crowded(act)


def test_how_many_wait_is_told() -> None:
    told: list[int] = []

    async def run() -> None:
        crowd = Crowd(Places(1, 8, told.append))
        await crowd.come("a1", "a2", "b1")
        await crowd.end("a1", "a2", "b1")

    asyncio.run(run())
    assert told == [1, 2, 1, 0]
