"""Tells what is due: everybody at once, so that a receiver that takes its time holds up nobody else."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Literal, ParamSpec, TypeVar

from tally.database import Store
from tally.log import logger
from tally.notifications import outbox
from tally.notifications.backoff import delay
from tally.notifications.channels import LogChannel, NotTold, Teller, TopicChannel
from tally.notifications.outbox import Channel, Delivery
from tally.notifications.webhooks import WebhookChannel

# No further deliveries are taken up after so many seconds; those under way take up to half a minute more.
_SECONDS = 20.0
_MOST_OF_REASON = 500

Outcome = Literal["told", "not told", "given up"]
Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def tell(store: Store, function: str, *, private_webhooks: bool) -> Counter[Outcome]:
    """Tells what is due now, and how often what came out of it. Does no harm beside another one.

    Args:
        store: needs one connection.
        function: whose log lines go to.
        private_webhooks: as `WebhookChannel`.

    Raises:
        StoreUnavailable: the database is away.
    """
    return asyncio.run(_tell(store, function, private_webhooks=private_webhooks))


async def _tell(store: Store, function: str, *, private_webhooks: bool) -> Counter[Outcome]:
    outcomes: Counter[Outcome] = Counter()
    until = time.monotonic() + _SECONDS
    tellers: Mapping[Channel, Teller] = {
        "log": LogChannel(function),
        "topic": TopicChannel(),
        "webhook": WebhookChannel(private=private_webhooks),
    }
    # A thread of its own: those of the event loop may all be waiting for names to be resolved.
    with ThreadPoolExecutor(1) as database:
        notes = _Notes(store, function, database)
        try:
            while time.monotonic() < until and (claimed := await notes.claim()):
                attempts = (_attempt(tellers[one.channel], notes, one) for one in claimed)
                for outcome in await asyncio.gather(*attempts, return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
                    outcomes[outcome] += 1
        finally:
            for teller in tellers.values():
                await teller.close()
    return outcomes


async def _attempt(teller: Teller, notes: "_Notes", delivery: Delivery) -> Outcome:
    try:
        await teller.tell(delivery)
    except NotTold as error:
        return await notes.not_told(delivery, error)
    return await notes.told(delivery)


class _Notes:
    """What is noted in the outbox, from a coroutine."""

    def __init__(self, store: Store, function: str, executor: Executor) -> None:
        self._store = store
        self._function = function
        self._executor = executor

    async def claim(self) -> list[Delivery]:
        return await self._run(outbox.claim, self._store)

    async def told(self, delivery: Delivery) -> Outcome:
        await self._run(outbox.told, self._store, delivery)
        return "told"

    async def not_told(self, delivery: Delivery, error: NotTold) -> Outcome:
        return await self._run(_failed, self._store, self._function, delivery, error)

    async def _run(self, work: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *given, **named))


def _failed(store: Store, function: str, delivery: Delivery, error: NotTold) -> Outcome:
    wait = delay(delivery.attempts, random.random())  # noqa: S311 - spreads attempts, hides nothing
    reason = str(error)[:_MOST_OF_REASON]
    given_up = outbox.not_told(store, delivery, reason, wait, is_final=error.is_final)
    said = {
        "notification_id": delivery.notification_id,
        "channel": delivery.channel,
        "attempts": delivery.attempts,
        "reason": reason,
    }
    if given_up:
        logger(function).error("notification given up", **said)
        return "given up"
    logger(function).warning("notification not told", **said)
    return "not told"
