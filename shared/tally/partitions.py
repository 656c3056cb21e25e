"""Partitions of raw events (by the event's time) and of dedupe keys (by generation): made ahead, on demand, dropped.

A store has about fourteen partitions of events whatever its retention: months (UTC), or weeks from Monday where the
retention is under a quarter. Planning a question costs time for every partition; retention works by dropping them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from tally.database import Store, statement

GENERATION_DAYS = 120
_MONTHS_FROM_DAYS = 92
_AHEAD = timedelta(days=35)
_LONGEST = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open times of a partition, UTC."""

    lower: datetime
    upper: datetime


def span_of(time: datetime, retention_days: int) -> Span:
    """The month or week that `time` falls into."""
    midnight = time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if retention_days < _MONTHS_FROM_DAYS:
        monday = midnight - timedelta(days=midnight.weekday())
        return Span(monday, monday + timedelta(days=7))
    first = midnight.replace(day=1)
    return Span(first, (first + timedelta(days=32)).replace(day=1))


def missing_spans(existing: Sequence[Span], times: Iterable[datetime], retention_days: int) -> list[Span]:
    """The spans to add, none overlapping an existing one, so that each of `times` has a partition.

    Where the existing ones were made under another retention, a new span is cut at its neighbours.
    """
    spans = list(existing)
    added = []
    for time in sorted(set(times)):
        if any(span.lower <= time < span.upper for span in spans):
            continue
        wanted = span_of(time, retention_days)
        lower = max([wanted.lower, *(span.upper for span in spans if span.upper <= time)])
        upper = min([wanted.upper, *(span.lower for span in spans if span.lower > time)])
        spans.append(Span(lower, upper))
        added.append(Span(lower, upper))
    return added


def ensure(store: Store, retention_days: int, times: Iterable[datetime] = ()) -> int:
    """Makes what is missing for `times` and for the five weeks ahead; returns how many partitions were made."""
    with store.transaction() as connection:
        connection.execute(statement("partitions", "lock_partitions"))
        clock = connection.execute(statement("partitions", "clock")).one()
        rows = connection.execute(statement("partitions", "event_partitions"))
        existing = [Span(row.lower, row.upper) for row in rows]
        wanted = [*times, *(clock.now + _AHEAD * step / 5 for step in range(6))]
        spans = missing_spans(existing, wanted, retention_days)
        for span in spans:
            connection.execute(statement("partitions", "make_event_partition"), asdict(span))
        present = {row.generation for row in connection.execute(statement("partitions", "key_partitions"))}
        generations = (clock.generation - 1, clock.generation, clock.generation + 1)
        for generation in generations:
            if generation not in present:
                connection.execute(statement("partitions", "make_key_partition"), {"generation": generation})
        return len(spans) + len(set(generations) - present)


def drop_expired(store: Store, retention_days: int) -> list[str]:
    """Drops the partitions all of whose events or keys are older than the retention; returns their names.

    One run at a time does it, the others return at once. What an interrupted run left half done is finished.
    Events that are not in the cubes yet keep their partition for a later run.
    """
    with store.connect() as connection:
        if not connection.execute(statement("partitions", "try_retention_lock")).scalar_one():
            return []
        try:
            return _drop_expired(connection, retention_days)
        finally:
            if not connection.invalidated:
                connection.execute(statement("partitions", "unlock_retention"))


def _drop_expired(connection: Connection, retention_days: int) -> list[str]:
    clock = connection.execute(statement("partitions", "clock")).one()
    oldest = clock.now - timedelta(days=retention_days)
    oldest_generation = int(oldest.timestamp() // 86400 // GENERATION_DAYS)
    events = [row for row in connection.execute(statement("partitions", "event_partitions")) if row.upper <= oldest]
    keys = connection.execute(statement("partitions", "key_partitions")).all()
    expired = [("usage_events", row) for row in events if row.detaching or not _has_unfolded(connection, row)]
    expired += [("dedupe_keys", row) for row in keys if row.generation < oldest_generation]
    for parent, row in sorted(expired, key=lambda one: not one[1].detaching):
        # Without CONCURRENTLY, detaching would wait for every running question and hold up all writers.
        how = "FINALIZE" if row.detaching else "CONCURRENTLY"
        connection.exec_driver_sql(f'ALTER TABLE {parent} DETACH PARTITION "{row.name}" {how}')
    # Those just detached, and those of a run that was interrupted here.
    detached = {row.name for _, row in expired}
    found = [row.name for row in connection.execute(statement("partitions", "detached_partitions"))]
    dropped = [name for name in found if name in detached or _is_expired(name, oldest, oldest_generation)]
    for name in dropped:
        connection.exec_driver_sql(f'DROP TABLE "{name}"')
    return dropped


def _has_unfolded(connection: Connection, partition: Row[Any]) -> bool:
    bounds = {"lower": partition.lower, "upper": partition.upper}
    return bool(connection.execute(statement("partitions", "has_unfolded"), bounds).scalar_one())


def _is_expired(name: str, oldest: datetime, oldest_generation: int) -> bool:
    """Whether a partition that was detached earlier is past the retention, by its name: its bounds are gone."""
    parent, _, suffix = name.rpartition("_")
    if parent == "dedupe_keys":
        return int(suffix) < oldest_generation
    return datetime.strptime(suffix, "%Y%m%d").replace(tzinfo=UTC) + _LONGEST <= oldest
