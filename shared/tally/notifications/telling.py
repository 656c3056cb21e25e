"""Tells what is due: everybody at once, so that a receiver that takes its time holds up nobody else."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Literal

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
    try:
        while time.monotonic() < until and (claimed := await asyncio.to_thread(outbox.claim, store)):
            outcomes += Counter(await asyncio.gather(*(_attempt(store, function, tellers, one) for one in claimed)))
    finally:
        for teller in tellers.values():
            await teller.close()
    return outcomes


async def _attempt(store: Store, function: str, tellers: Mapping[Channel, Teller], delivery: Delivery) -> Outcome:
    try:
        await tellers[delivery.channel].tell(delivery)
    except NotTold as error:
        return await asyncio.to_thread(_failed, store, function, delivery, error)
    await asyncio.to_thread(outbox.told, store, delivery)
    return "told"


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
