"""Group commit: each is answered when its batch is written, with what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tally.groupcommit import GroupCommit, Overloaded


class Writer:
    """Keeps the batches that it was given; each waits until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.at_once = 0
        self._go = asyncio.Event()
        self._held = held
        self._busy = 0

    async def write(self, key: str, items: Sequence[int]) -> None:
        self.batches.append((key, list(items)))
        self._busy += 1
        self.at_once = max(self.at_once, self._busy)
        if self._held:
            await self._go.wait()
        await asyncio.sleep(0)
        self._busy -= 1
        if -1 in items:
            raise ValueError("refused")

    def let_go(self) -> None:
        self._held = False
        self._go.set()


def group(
    write: Callable[[str, Sequence[int]], Awaitable[object]], capacity: int = 100, writers: int = 1, queue: int = 1000
) -> GroupCommit[int]:
    return GroupCommit(write, capacity=capacity, writers=writers, queue=queue)


async def until_idle() -> None:
    """Lets every task go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def held_writer(commit: GroupCommit[int], item: int = 0) -> "asyncio.Task[None]":
    first = asyncio.create_task(commit.submit(item))
    await until_idle()
    return first


def test_an_idle_writer_takes_a_single_item_at_once() -> None:
    async def run() -> list[tuple[str, list[int]]]:
        writer = Writer()
        await group(writer.write).submit(1)
        return writer.batches

    assert asyncio.run(run()) == [("", [1])]


def test_what_arrives_while_one_batch_is_written_is_the_next_in_order() -> None:
    async def run() -> list[tuple[str, list[int]]]:
        writer = Writer(held=True)
        commit = group(writer.write)
        first = await held_writer(commit)
        others = [asyncio.create_task(commit.submit(item)) for item in range(1, 6)]
        await until_idle()
        assert not any(one.done() for one in (first, *others))
        writer.let_go()
        await asyncio.gather(first, *others)
        return writer.batches

    assert asyncio.run(run()) == [("", [0]), ("", [1, 2, 3, 4, 5])]


def test_a_batch_weighs_at_most_its_capacity_and_a_heavier_item_goes_alone() -> None:
    async def run() -> list[list[int]]:
        writer = Writer(held=True)
        commit = group(writer.write, capacity=10)
        first = await held_writer(commit)
        tasks = [
            asyncio.create_task(commit.submit(item, weight))
            for item, weight in ((1, 6), (2, 4), (3, 1), (4, 50), (5, 2))
        ]
        await until_idle()
        writer.let_go()
        await asyncio.gather(first, *tasks)
        return [items for _, items in writer.batches]

    assert asyncio.run(run()) == [[0], [1, 2], [3], [4], [5]]


def test_keys_never_share_a_batch_and_a_busy_one_does_not_hold_up_the_others() -> None:
    async def run() -> list[tuple[str, list[int]]]:
        writer = Writer(held=True)
        commit = group(writer.write, capacity=2)
        first = await held_writer(commit)
        tasks = [asyncio.create_task(commit.submit(item, key="a")) for item in range(1, 6)]
        tasks.append(asyncio.create_task(commit.submit(9, key="b")))
        await until_idle()
        writer.let_go()
        await asyncio.gather(first, *tasks)
        return writer.batches

    assert asyncio.run(run()) == [("", [0]), ("a", [1, 2]), ("b", [9]), ("a", [3, 4]), ("a", [5])]


def test_what_a_batch_raised_each_of_its_items_gets_and_no_other() -> None:
    async def run() -> list[BaseException | None]:
        writer = Writer(held=True)
        commit = group(writer.write, capacity=2)
        first = await held_writer(commit)
        tasks = [asyncio.create_task(commit.submit(item)) for item in (-1, 1, 2, 3)]
        await until_idle()
        writer.let_go()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    first, *others = asyncio.run(run())
    assert first is None
    assert [type(one) for one in others] == [ValueError, ValueError, type(None), type(None)]


def test_after_a_failure_the_writer_goes_on() -> None:
    async def run() -> None:
        commit = group(Writer().write)
        with pytest.raises(ValueError, match="refused"):
            await commit.submit(-1)
        await commit.submit(1)

    asyncio.run(run())


def test_as_many_batches_are_in_flight_as_there_are_writers() -> None:
    async def run() -> int:
        writer = Writer(held=True)
        commit = group(writer.write, capacity=1, writers=3)
        tasks = [asyncio.create_task(commit.submit(item)) for item in range(10)]
        await until_idle()
        writer.let_go()
        await asyncio.gather(*tasks)
        return writer.at_once

    assert asyncio.run(run()) == 3


def test_more_than_may_wait_is_refused_and_what_waits_is_written() -> None:
    async def run() -> list[tuple[str, list[int]]]:
        writer = Writer(held=True)
        commit = group(writer.write, queue=10)
        first = await held_writer(commit)
        waiting = asyncio.create_task(commit.submit(1, 8))
        await until_idle()
        with pytest.raises(Overloaded):
            await commit.submit(2, 3)
        writer.let_go()
        await asyncio.gather(first, waiting)
        await commit.submit(3, 10)
        return writer.batches

    assert asyncio.run(run()) == [("", [0]), ("", [1]), ("", [3])]


def test_an_item_heavier_than_the_queue_is_taken_when_nothing_waits() -> None:
    async def run() -> list[tuple[str, list[int]]]:
        writer = Writer()
        await group(writer.write, queue=10).submit(1, 50)
        return writer.batches

    assert asyncio.run(run()) == [("", [1])]


def test_one_who_no_longer_waits_does_not_spoil_the_batch() -> None:
    async def run() -> list[tuple[str, list[int]]]:
        writer = Writer(held=True)
        commit = group(writer.write)
        first = await held_writer(commit)
        gone, stays = (asyncio.create_task(commit.submit(item)) for item in (1, 2))
        await until_idle()
        gone.cancel()
        writer.let_go()
        async with asyncio.timeout(30):
            await asyncio.gather(first, stays)
        return writer.batches

    assert asyncio.run(run()) == [("", [0]), ("", [1, 2])]
