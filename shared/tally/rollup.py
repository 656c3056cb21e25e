"""The rollup: folds new events into the cubes, makes partitions ahead, drops those past the retention.

Folding goes by transaction id: every event carries the id of the transaction that stored it, and a fold takes those
from the watermark up to the oldest transaction that may still write. Cubes and watermark change in one transaction,
so that a question, which reads both in one statement, counts each event once at any moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import CTE, Select, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from tally import partitions
from tally.cubes import CUBES, MEASURES, Cube, bucket_of, key_of_event, usage_events
from tally.database import Store, statement
from tally.schema import SchemaGuard
from tally.settings import Settings

EVENTS_A_STEP = 50_000


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
    store = Store(settings, "tally rollup", pool_size=2, options={"work_mem": "64MB"})
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


def fold_step(store: Store, events: int = EVENTS_A_STEP) -> int:
    """Folds the oldest unfolded events, about `events` of them; returns how many. 0: none, or another fold runs."""
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
        if bounds["high"] > low:
            connection.execute(statement("rollup", "advance"), {"high": bounds["high"]})
        return folded


@cache
def _fold() -> Select[Any]:
    """Adds the events from `low` up to `high` to every cube, and returns how many they are.

    One statement: the columns of an event that count are computed once and kept for all cubes, and a cube of coarser
    buckets is summed up from what is added to the finer one.
    """
    events = (
        select(
            *(key_of_event(key).label(key) for key in _keys()),
            bucket_of("hour", usage_events.c.time).label("bucket"),
            *(measure.of_event.label(measure.name) for measure in MEASURES),
        )
        .where(usage_events.c.txid >= bindparam("low"), usage_events.c.txid < bindparam("high"))
        .cte("events")
        .prefix_with("MATERIALIZED")
    )
    added: dict[str, CTE] = {}
    count = select(func.count()).select_from(events)
    for cube in CUBES:
        rows = _added_rows(cube, events, added.get(cube.finer.table.name) if cube.finer else None)
        added[cube.table.name] = rows
        count = count.add_cte(_adding(cube, rows))
    return count


def _keys() -> Sequence[str]:
    return tuple(dict.fromkeys(key for cube in CUBES for key in cube.keys))


def _added_rows(cube: Cube, events: CTE, finer: CTE | None) -> CTE:
    """What the events add to a cube, a row for each bucket and its keys."""
    rows = events if finer is None else finer
    bucket = rows.c.bucket if cube.grain == "hour" else bucket_of(cube.grain, rows.c.bucket)
    keys = [bucket, *(rows.c[key] for key in cube.keys)]
    sums = [
        (measure.aggregate_events if finer is None else measure.aggregate)(rows.c[measure.name]).label(measure.name)
        for measure in cube.measures
    ]
    return select(bucket.label("bucket"), *keys[1:], *sums).group_by(*keys).cte(f"{cube.table.name}_rows")


def _adding(cube: Cube, rows: CTE) -> CTE:
    add = insert(cube.table).from_select([*rows.c.keys()], select(rows))
    return add.on_conflict_do_update(
        index_elements=["bucket", *cube.keys],
        set_={
            measure.name: measure.add(cube.table.c[measure.name], add.excluded[measure.name])
            for measure in cube.measures
        },
    ).cte(f"{cube.table.name}_added")
