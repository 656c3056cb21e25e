"""The outbox: what is to be told is stored in the transaction that makes it true, and told from there.

Each delivery is told until it is taken or given up. Whoever tells claims it first, in a transaction of its own, so that
nobody else does and no transaction is open, which would hold up folding, while a receiver takes its time. An attempt
of which nothing is noted within `LEASE` is made again, with the same id: a process that ends between telling and noting
is the one case in which a receiver is told twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import uuid_utils
from sqlalchemy import Connection

from tally import jsontext
from tally.database import Store, statement

Channel = Literal["log", "webhook", "topic"]
# More than any attempt takes.
LEASE = timedelta(minutes=2)
# After so long nobody waits for it any more.
PATIENCE = timedelta(days=3)
_MOST_CLAIMED = 50
_MOST_OF_ONE_WEBHOOK = 5


@dataclass(frozen=True, slots=True)
class Target:
    """To whom: `name` is the id of a webhook, the name of a topic, nothing for the log."""

    channel: Channel
    name: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt to tell a notification to one target.

    Attributes:
        notification_id: stays the same over all attempts.
        payload: JSON of what is told.
        created_at: when the notification was made.
        attempts: how many there were, this one included.
        url, secret: of a webhook; None where it is gone.
    """

    id: int
    notification_id: str
    kind: str
    payload: str
    created_at: datetime
    channel: Channel
    target: str
    attempts: int
    url: str | None = None
    secret: str | None = field(default=None, repr=False)

    def body(self) -> bytes:
        """What is sent to a webhook or a topic: JSON, in the form that Standard Webhooks recommends."""
        told = {"type": self.kind, "timestamp": self.created_at, "data": jsontext.raw(self.payload)}
        return jsontext.dump(told)


def new_id() -> str:
    """An id for a notification."""
    return str(uuid_utils.uuid7())


def notify(
    connection: Connection, notification_id: str, kind: str, payload: Mapping[str, Any], targets: Iterable[Target]
) -> None:
    """Makes something to be told once the open transaction is committed.

    Args:
        connection: an open transaction.
        notification_id: from `new_id`.
        kind: what it is about, such as `budget.crossed`.
        payload: what is told; amounts have up to 10 decimals. The log has its scalars; what is nested is not logged,
            since it may be personal.
        targets: to whom, each once.
    """
    told = {"id": notification_id, "kind": kind, "payload": jsontext.dump_answer(payload).decode()}
    connection.execute(statement("notifications", "add"), told)
    for target in targets:
        given = {"notification_id": notification_id, "channel": target.channel, "target": target.name}
        connection.execute(statement("notifications", "add_delivery"), given)


def claim(store: Store) -> list[Delivery]:
    """Deliveries that are due, for the caller alone to attempt; none where none is."""
    with store.connect() as connection:
        rows = connection.execute(
            statement("notifications", "claim"),
            {"most": _MOST_CLAIMED, "of_one_webhook": _MOST_OF_ONE_WEBHOOK, "lease": LEASE},
        )
        return [Delivery(**row) for row in rows.mappings()]


def told(store: Store, delivery: Delivery) -> None:
    """Notes that a delivery was taken."""
    with store.connect() as connection:
        connection.execute(statement("notifications", "told"), {"id": delivery.id})


def not_told(store: Store, delivery: Delivery, reason: str, delay: timedelta, *, is_final: bool = False) -> bool:
    """Notes that a delivery was not taken, and why; it is due again after `delay`.

    Returns:
        Whether it is given up: because `is_final`, or it has been tried for `PATIENCE`.
    """
    with store.connect() as connection:
        given_up_at = connection.execute(
            statement("notifications", "not_told"),
            {
                "id": delivery.id,
                "attempts": delivery.attempts,
                "reason": reason,
                "delay": delay,
                "patience": PATIENCE,
                "is_final": is_final,
            },
        ).scalar_one_or_none()
    return given_up_at is not None
