"""Group commit: what arrives while one batch is being written becomes the next batch."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tally.errors import Unavailable

Item = TypeVar("Item")


class Overloaded(Unavailable):
    """More is waiting to be written than may wait."""

    title = "Too much at once"
    retry_after_seconds = 1


class GroupCommit(Generic[Item]):
    """Writes items in batches and answers each when its batch is written.

    Nothing waits for a batch to fill: an idle writer takes a single item at once, busy ones leave many for the next.

    Args:
        write: writes a batch of one key; returns when it is durable. What it raises, every item of the batch gets.
        capacity: weight of a batch at most; a heavier item goes alone.
        writers: batches in flight at most.
        queue: weight that may wait at most; above it `submit` raises `Overloaded`.
    """

    def __init__(
        self,
        write: Callable[[str, Sequence[Item]], Awaitable[object]],
        *,
        capacity: int,
        writers: int,
        queue: int,
    ) -> None:
        self._write = write
        self._capacity = capacity
        self._free_writers = writers
        self._queue = queue
        self._waiting: dict[str, list[tuple[Item, int, asyncio.Future[None]]]] = {}
        self._waiting_weight = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item, weight: int = 1, key: str = "") -> None:
        """Returns when `item` is durable; raises what its batch raised. Only items of one key share a batch."""
        if self._waiting_weight and self._waiting_weight + weight > self._queue:
            raise Overloaded("More is waiting to be stored than this instance takes; send it again in a moment.")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(key, []).append((item, weight, done))
        self._waiting_weight += weight
        if self._free_writers:
            self._free_writers -= 1
            task = loop.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done

    async def _drain(self) -> None:
        while self._waiting:
            key, batch = self._next_batch()
            try:
                await self._write(key, [item for item, _, _ in batch])
            except BaseException as error:  # noqa: BLE001 - every waiting request gets it; none is left waiting
                _answer(batch, error)
            else:
                _answer(batch, None)
        self._free_writers += 1

    def _next_batch(self) -> tuple[str, list[tuple[Item, int, asyncio.Future[None]]]]:
        key = next(iter(self._waiting))
        waiting = self._waiting.pop(key)
        total = count = 0
        for _, weight, _ in waiting:
            if count and total + weight > self._capacity:
                break
            total += weight
            count += 1
        if count < len(waiting):
            # Behind the other keys, so that a busy one does not hold them up.
            self._waiting[key] = waiting[count:]
        self._waiting_weight -= total
        return key, waiting[:count]


def _answer(batch: Sequence[tuple[object, int, asyncio.Future[None]]], error: BaseException | None) -> None:
    for _, _, done in batch:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
