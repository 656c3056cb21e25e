"""The recorder: messages in, events stored exactly once, what cannot be read kept as dead letters.

Everything here may be repeated: a message that is recorded twice changes nothing the second time. Nothing returns
before the database has committed.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tally import intake, jsontext, partitions, prices
from tally.costing import Pricing, has_price
from tally.database import PartitionMissing, PricesChanged, QuestionTooLarge, Store, statement
from tally.dimensions import CURRENCY, Dimensions, Value
from tally.errors import DataRefused, FieldError, RequestError, StoreUnavailable
from tally.estimation import Estimation
from tally.event import UsageEvent, Window
from tally.message import SOURCE, TENANT, Message
from tally.rows import Costing, Received, scoped_values, to_row, unscoped_values

DEFAULT_SOURCE = "pubsub"
MAX_NAME = 200
# How often events are priced anew, when prices change just then.
_PRICINGS = 5
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
    source = message.attributes.get(SOURCE) or DEFAULT_SOURCE
    if len(source) > MAX_NAME or "\0" in source:
        reason = f"The attribute source has more than {MAX_NAME} characters or a NUL character."
        return Contents(message, [], [DeadLetter(message, 0, reason, message.data)])
    batch = intake.take(items, message.data, Window.around(message.publish_time, retention_days))
    tenant = message.attributes.get(TENANT, "")
    received = [
        Received(_named(event, source, f"{message.id}-{index}"), tenant, message.publish_time, index)
        for index, event in batch.events
    ]
    dead = [
        DeadLetter(message, rejected.index + 1, _reason(rejected.errors), rejected.data) for rejected in batch.rejected
    ]
    return Contents(message, received, dead)


class Recorder:
    """Writes messages to the store, a batch in one transaction. Threads may share it."""

    def __init__(self, store: Store, retention_days: int, estimation: Estimation | None = None) -> None:
        self._store = store
        self._retention_days = retention_days
        self._estimation = estimation or Estimation({})
        self._dimensions = Dimensions(store)
        self._pricing: Pricing | None = None

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
        try:
            stored = self._write(received)
        except StoreUnavailable:
            # The connection may only have been stale. Writing again is safe: what was committed is a duplicate. Keys
            # are asked for again, because the database may be another one: restored from a backup.
            self._store.dispose()
            self._dimensions = Dimensions(self._store)
            self._pricing = None
            stored = self._write(received)
        return Outcome(stored=stored, duplicate=len(received) - stored)

    def _write(self, received: Sequence[Received]) -> int:
        for _ in range(_PRICINGS):
            pricing = self._pricing_of(received)
            rows = self._rows(received, Costing(self._estimation, pricing))
            try:
                return self._insert(rows, None if pricing is None else str(pricing.book.version))
            except PricesChanged:
                self._pricing = None
        raise StoreUnavailable("The prices in force change all the time.")

    def _insert(self, rows: Sequence[dict[str, Any]], book: str | None) -> int:
        events = jsontext.dump(rows).decode()
        try:
            try:
                [[stored]] = self._store.run_prepared("recorder", "record_events", events=events, book=book)
            except PartitionMissing:
                partitions.ensure(self._store, self._retention_days, times=[row["time"] for row in rows])
                [[stored]] = self._store.run_prepared("recorder", "record_events", events=events, book=book)
        except QuestionTooLarge as error:
            raise StoreUnavailable("The database did not store the events in time.") from error
        return int(stored)

    def _pricing_of(self, received: Sequence[Received]) -> Pricing | None:
        """The prices in force, if any of the events may have one. Threads may find them at the same time."""
        if not any(has_price(one.event) for one in received):
            return None
        pricing = self._pricing
        if pricing is None:
            with self._store.connect() as connection:
                book = prices.load(connection)
            keys = self._dimensions.keys((CURRENCY, 0, code) for code in book.currencies)
            own = {code: keys[CURRENCY, 0, code] for code in book.currencies}
            pricing = self._pricing = Pricing(book, own)
        return pricing

    def _rows(self, received: Sequence[Received], costing: Costing) -> list[dict[str, Any]]:
        """One row for each (sender, key), the first to come, sorted by it."""
        try:
            # Mostly every value is known, and looking for unknown ones would take as long as making the rows.
            rows = [to_row(one, self._dimensions.known, costing) for one in received]
        except KeyError:
            keys = self._keys(received)
            rows = [to_row(one, keys, costing) for one in received]
        by_key: dict[tuple[int, str], dict[str, Any]] = {}
        for row in rows:
            by_key.setdefault((row["sender_key"], row["key"]), row)
        return [by_key[key] for key in sorted(by_key)]

    def _keys(self, received: Sequence[Received]) -> Mapping[Value, int]:
        keys = self._dimensions.keys({value for one in received for value in unscoped_values(one)})
        scoped = self._dimensions.keys({value for one in received for value in scoped_values(one, keys)})
        return scoped if scoped is keys else {**keys, **scoped}

    def _bury(self, dead: Iterable[DeadLetter]) -> None:
        letters = [
            {
                "received_at": letter.message.publish_time,
                "message_id": _storable(letter.message.id),
                "position": letter.position,
                "source": _storable(letter.message.attributes.get(SOURCE, "")) or None,
                "reason": _storable(letter.reason[:10_000]),
                "attributes": {_storable(name): _storable(value) for name, value in letter.message.attributes.items()},
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


def _storable(text: str) -> str:
    """`text` with a visible sign for NUL, which PostgreSQL cannot store."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def _reason(errors: Iterable[FieldError]) -> str:
    return "; ".join(f"{error['field'] or 'event'}: {error['message']}" for error in errors)
