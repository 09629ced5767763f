"""Batches of requests."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serve.batcher import Batcher


class Work:
    """Doubles numbers, the first batch when it is let; notes the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        assert self.free.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


async def begun(batcher: Batcher[int, int], work: Work, *items: int) -> list[asyncio.Task[tuple[int, int]]]:
    """Tasks of items, the first one of which is being worked on."""
    first = asyncio.create_task(batcher.do(items[0]))
    while not work.batches:
        await asyncio.sleep(0.001)
    tasks = [first, *(asyncio.create_task(batcher.do(item)) for item in items[1:])]
    await asyncio.sleep(0)
    return tasks


def test_who_comes_alone_waits_for_nobody_and_others_share_the_next_batches() -> None:
    async def main() -> list[tuple[int, int]]:
        tasks = await begun(Batcher(work, 3), work, 1, 2, 3, 4, 5)
        work.free.set()
        return await asyncio.gather(*tasks)

    work = Work()
    assert asyncio.run(main()) == [(2, 1), (4, 3), (6, 3), (8, 3), (10, 1)]
    assert work.batches == [[1], [2, 3, 4], [5]]


def test_who_is_cancelled_is_left_out() -> None:
    async def main() -> list[tuple[int, int]]:
        tasks = await begun(Batcher(work, 3), work, 1, 2, 3)
        tasks[1].cancel()
        await asyncio.sleep(0)
        work.free.set()
        return await asyncio.gather(tasks[0], tasks[2])

    work = Work()
    assert asyncio.run(main()) == [(2, 1), (6, 1)]
    assert work.batches == [[1], [3]]


def test_an_error_is_that_of_its_batch_and_work_goes_on() -> None:
    async def main() -> list[tuple[int, int] | BaseException]:
        tasks = await begun(Batcher(work, 2), work, 1, 13, 2, 3)
        work.free.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    work = Work()
    first, *failed, last = asyncio.run(main())
    assert (first, last) == ((2, 1), (6, 1))
    for error in failed:
        with pytest.raises(ValueError, match="13"):
            raise error
