"""Events put into a store as record puts them there."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tally.database import Store
from tally.message import TENANT, Message
from tally.recorder import RECORDER_OPTIONS, Contents, Outcome, Recorder, read
from tally.settings import Settings
from tests.support.functions import write_json

RETENTION_DAYS = 400
_numbers = itertools.count(1)


def message_of(
    events: object, published: datetime, *, tenant: str = "", message_id: str | None = None, **attributes: str
) -> Message:
    """A message whose data is `events` as JSON (or bytes as they are)."""
    data = events if isinstance(events, bytes) else write_json(events)
    given = {**attributes, TENANT: tenant} if tenant else attributes
    return Message(message_id or f"message-{next(_numbers)}", published, given, data)


def contents_of(events: object, published: datetime, **options: Any) -> Contents:
    """The same, taken apart as record does."""
    return read(message_of(events, published, **options), RETENTION_DAYS)


def recorder_store(settings: Settings) -> Store:
    """A store with the options of record."""
    return Store(settings, "tests recorder", options=RECORDER_OPTIONS, check=False)


def record(store: Store, events: Sequence[Mapping[str, Any]], published: datetime, **options: Any) -> Outcome:
    """Stores events, a thousand a message, by a recorder of its own."""
    recorder = Recorder(store, RETENTION_DAYS)
    outcome = Outcome()
    for part in batches(events, 1000):
        outcome += recorder.record([contents_of(part, published, **options)])
    return outcome


def batches(events: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """`events` in parts of at most `size`."""
    return (events[start : start + size] for start in range(0, len(events), size))
