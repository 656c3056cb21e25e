"""The rollup: folds new events into the cubes, makes partitions ahead, drops those past the retention.

Folding goes by transaction id: every event carries the id of the transaction that stored it, and a fold takes those
from the watermark up to the oldest transaction that may still write. Cubes and watermark change in one transaction,
so that a question, which reads both in one statement, counts each event once at any moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, Integer, Select, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from tally import partitions
from tally.cubes import CUBES, MEASURES, Cube, bucket_of, detailed_users, key_of_event, usage_events
from tally.database import Store, statement
from tally.schema import SchemaGuard
from tally.settings import Settings

# What a fold sums up fits into memory.
ROLLUP_OPTIONS = {"work_mem": "64MB"}
EVENTS_A_STEP = 50_000
# Up to so many events of a user are read about as quickly as the buckets that they would fall into.
DETAILED_FROM_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class RollupReport:
    """What one run did: events folded, partitions made and partitions dropped."""

    folded: int
    partitions_made: int
    partitions_dropped: tuple[str, ...]


def run_once(settings: Settings) -> RollupReport:
    """One run of the job `rollup`. Does no harm beside another one.

    Raises:
        StoreUnavailable, SchemaMismatch: the database is away or behind.
    """
    store = Store(settings, "tally rollup", pool_size=2, options=ROLLUP_OPTIONS)
    try:
        SchemaGuard(store).check()
        return run(store, settings.raw_retention_days)
    finally:
        store.dispose()


def run(store: Store, retention_days: int) -> RollupReport:
    """As `run_once`, on an open store."""
    made = partitions.ensure(store, retention_days)
    folded = 0
    while step := fold_step(store):
        folded += step
    return RollupReport(folded, made, tuple(partitions.drop_expired(store, retention_days)))


def fold_step(store: Store, events: int = EVENTS_A_STEP, *, detailed_from: int = DETAILED_FROM_EVENTS) -> int:
    """Folds the oldest unfolded events, about `events` of them; returns how many. 0: none, or another fold runs.

    A user with `detailed_from` events is detailed from then on.
    """
    with store.transaction() as connection:
        state = connection.execute(statement("rollup", "lock_fold_state")).one_or_none()
        if state is None:
            return 0
        if state.behind:
            connection.execute(statement("rollup", "start_epoch"))
            return 0
        low, high = state.watermark, state.horizon
        end = connection.execute(
            statement("rollup", "step_end"), {"low": low, "high": high, "events": events}
        ).scalar_one_or_none()
        bounds = {"low": low, "high": high if end is None else end}
        folded: int = connection.execute(_fold(), bounds).scalar_one()
        if folded:
            connection.execute(statement("rollup", "touch_tokens"), bounds)
            _detail_users(connection, {**bounds, "events": detailed_from})
        if bounds["high"] > low:
            connection.execute(statement("rollup", "advance"), {"high": bounds["high"]})
        return folded


def _detail_users(connection: Connection, given: Mapping[str, int]) -> None:
    """Makes users detailed whose events have become many: their detailed cubes are filled from all folded events."""
    users = connection.execute(statement("rollup", "add_detailed_users"), given).scalars().all()
    if users:
        connection.execute(_fold_detailed(), {"users": users, "high": given["high"]})


@cache
def _fold() -> Select[Any]:
    """Adds the events from `low` up to `high` to every cube, and returns how many they are."""
    return _folding(usage_events.c.txid >= bindparam("low"), usage_events.c.txid < bindparam("high"), cubes=CUBES)


@cache
def _fold_detailed() -> Select[Any]:
    """Adds the events of `users` up to `high` to the detailed cubes."""
    users = usage_events.c.user_key == func.any(bindparam("users", type_=ARRAY(Integer)))
    detailed = [cube for cube in CUBES if cube.detailed]
    return _folding(users, usage_events.c.txid < bindparam("high"), cubes=detailed)


def _folding(*which: ColumnElement[bool], cubes: Sequence[Cube]) -> Select[Any]:
    """Adds events to cubes, and returns how many they are.

    One statement: the columns of an event that count are computed once and kept for all cubes, and a cube of coarser
    buckets is summed up from what is added to the finer one.
    """
    events = (
        select(
            *(key_of_event(key).label(key) for key in dict.fromkeys(key for cube in cubes for key in cube.keys)),
            bucket_of("hour", usage_events.c.time).label("bucket"),
            *(measure.of_event.label(measure.name) for measure in MEASURES),
        )
        .where(*which)
        .cte("events")
        .prefix_with("MATERIALIZED")
    )
    added: dict[str, CTE] = {}
    count = select(func.count()).select_from(events)
    for cube in cubes:
        rows = _added_rows(cube, events, added.get(cube.finer.table.name) if cube.finer else None)
        added[cube.table.name] = rows
        count = count.add_cte(_adding(cube, rows))
    return count


def _added_rows(cube: Cube, events: CTE, finer: CTE | None) -> CTE:
    """What the events add to a cube, a row for each bucket and its keys; with what coarser cubes need besides."""
    rows = events if finer is None else finer
    bucket = rows.c.bucket if cube.grain == "hour" else bucket_of(cube.grain, rows.c.bucket)
    groups = [bucket, *(rows.c[key] for key in cube.keys)]
    needed = {measure.name for other in CUBES if other is cube or other.finer is cube for measure in other.measures}
    sums = [
        (measure.aggregate_events if finer is None else measure.aggregate)(rows.c[measure.name]).label(measure.name)
        for measure in MEASURES
        if measure.name in needed
    ]
    added = select(bucket.label("bucket"), *groups[1:], *sums).group_by(*groups)
    if cube.detailed and finer is None:
        added = added.where(rows.c.user_key.in_(select(detailed_users.c.user_key)))
    return added.cte(f"{cube.table.name}_rows")


def _adding(cube: Cube, rows: CTE) -> CTE:
    names = ["bucket", *cube.keys, *(measure.name for measure in cube.measures)]
    add = insert(cube.table).from_select(names, select(*(rows.c[name] for name in names)))
    return add.on_conflict_do_update(
        index_elements=["bucket", *cube.keys],
        set_={
            measure.name: measure.add(cube.table.c[measure.name], add.excluded[measure.name])
            for measure in cube.measures
        },
    ).cte(f"{cube.table.name}_added")
