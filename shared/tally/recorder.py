"""The recorder: messages in, events stored exactly once, what cannot be read kept as dead letters.

Everything here may be repeated: a message that is recorded twice changes nothing the second time. Nothing returns
before the database has committed.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tally import intake, jsontext, partitions
from tally.database import PartitionMissing, Store, statement
from tally.dimensions import Dimensions
from tally.errors import DataRefused, FieldError, RequestError, StoreUnavailable
from tally.event import UsageEvent, Window
from tally.message import SOURCE, TENANT, Message
from tally.rows import Received, scoped_values, to_row, unscoped_values

DEFAULT_SOURCE = "pubsub"
# Claims are few against many keys: an index, never a scan of all keys, whatever the planner guesses of a JSON array.
RECORDER_OPTIONS = {"enable_seqscan": "off", "statement_timeout": "30000"}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What can never be stored: a whole message (`position` 0) or one event of it (its index + 1)."""

    message: Message
    position: int
    reason: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch of messages, in events."""

    stored: int = 0
    duplicate: int = 0
    dead: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.stored + other.stored, self.duplicate + other.duplicate, self.dead + other.dead)


@dataclass(frozen=True, slots=True)
class Contents:
    """A message taken apart: its good events, and what of it can never be stored."""

    message: Message
    received: list[Received]
    dead: list[DeadLetter]


def read(message: Message, retention_days: int) -> Contents:
    """Takes a message apart. Pure; a message that cannot be read at all becomes one dead letter."""
    try:
        items = intake.read_message(message.data, message.attributes)
    except RequestError as error:
        return Contents(message, [], [DeadLetter(message, 0, error.detail, message.data)])
    if not items:
        return Contents(message, [], [DeadLetter(message, 0, "The message holds no event.", message.data)])
    batch = intake.take(items, message.data, Window.around(message.publish_time, retention_days))
    tenant = message.attributes.get(TENANT, "")
    source = message.attributes.get(SOURCE) or DEFAULT_SOURCE
    received = [
        Received(_named(event, source, f"{message.id}-{index}"), tenant, message.publish_time, index)
        for index, event in batch.events
    ]
    dead = [
        DeadLetter(message, rejected.index + 1, _reason(rejected.errors), rejected.data) for rejected in batch.rejected
    ]
    return Contents(message, received, dead)


class Recorder:
    """Writes messages to the store, a batch in one transaction. One thread at a time may use it."""

    def __init__(self, store: Store, retention_days: int) -> None:
        self._store = store
        self._retention_days = retention_days
        self._dimensions = Dimensions(store)

    def record(self, batch: Sequence[Contents]) -> Outcome:
        """Stores the contents of messages; returns when they are committed.

        Raises:
            StoreUnavailable, SchemaMismatch: nothing is known to be stored; the messages should come again.
        """
        dead = [letter for contents in batch for letter in contents.dead]
        events = [(contents.message, one) for contents in batch for one in contents.received]
        outcome = self._store_or_bury(events, dead)
        self._bury(dead)
        return outcome + Outcome(dead=len(dead))

    def _store_or_bury(self, events: Sequence[tuple[Message, Received]], dead: list[DeadLetter]) -> Outcome:
        """Stores `events`; one that PostgreSQL refuses does not hold up the others: halves until it stands alone."""
        try:
            return self.store([received for _, received in events])
        except DataRefused as error:
            if len(events) > 1:
                half = len(events) // 2
                return self._store_or_bury(events[:half], dead) + self._store_or_bury(events[half:], dead)
            message, received = events[0]
            dead.append(DeadLetter(message, received.index + 1, str(error), jsontext.dump(received.event)))
            return Outcome()

    def store(self, received: Sequence[Received]) -> Outcome:
        """Stores events that were read already.

        Raises:
            DataRefused: PostgreSQL refuses a value; nothing is stored.
            StoreUnavailable, SchemaMismatch: as `record`.
        """
        if not received:
            return Outcome()
        rows = self._rows(received)
        events = jsontext.dump(rows).decode()
        try:
            stored = self._write(events)
        except PartitionMissing:
            partitions.ensure(self._store, self._retention_days, times=[row["time"] for row in rows])
            stored = self._write(events)
        return Outcome(stored=stored, duplicate=len(received) - stored)

    def _rows(self, received: Sequence[Received]) -> list[dict[str, Any]]:
        """One row for each (sender, key), the first to come, sorted by it."""
        keys = self._dimensions.keys({value for one in received for value in unscoped_values(one)})
        scoped = self._dimensions.keys({value for one in received for value in scoped_values(one, keys)})
        keys = scoped if scoped is keys else {**keys, **scoped}
        by_key: dict[tuple[int, str], dict[str, Any]] = {}
        for one in received:
            row = to_row(one, keys)
            by_key.setdefault((row["sender_key"], row["key"]), row)
        return [by_key[key] for key in sorted(by_key)]

    def _write(self, events: str) -> int:
        try:
            [[stored]] = self._store.run_prepared("recorder", "record_events", events=events)
        except StoreUnavailable:
            # The connection may only have been stale. Writing again is safe: what was committed is a duplicate.
            self._store.dispose()
            [[stored]] = self._store.run_prepared("recorder", "record_events", events=events)
        return int(stored)

    def _bury(self, dead: Iterable[DeadLetter]) -> None:
        letters = [
            {
                "received_at": letter.message.publish_time,
                "message_id": letter.message.id,
                "position": letter.position,
                "source": letter.message.attributes.get(SOURCE),
                "reason": letter.reason[:10_000].replace("\0", "\N{SYMBOL FOR NULL}"),
                "attributes": {
                    name.replace("\0", "\N{SYMBOL FOR NULL}"): value.replace("\0", "\N{SYMBOL FOR NULL}")
                    for name, value in letter.message.attributes.items()
                },
                "data": base64.b64encode(letter.data).decode(),
            }
            for letter in dead
        ]
        if letters:
            with self._store.connect() as connection:
                connection.execute(
                    statement("recorder", "keep_dead_letters"), {"letters": jsontext.dump(letters).decode()}
                )


def _named(event: UsageEvent, source: str, event_id: str) -> UsageEvent:
    """`event` with an id and a source; the id is made from the message's, which stays the same when it comes again."""
    event.setdefault("source", source)
    event.setdefault("id", event_id)
    return event


def _reason(errors: Iterable[FieldError]) -> str:
    return "; ".join(f"{error['field'] or 'event'}: {error['message']}" for error in errors)
