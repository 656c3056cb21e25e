"""The rollup: folds new events into the cubes, makes partitions ahead, drops those past the retention.

Folding goes by transaction id: every event carries the id of the transaction that stored it, and a fold takes those
from the watermark up to the oldest transaction that may still write. Cubes and watermark change in one transaction,
so that a question, which reads both in one statement, counts each event once at any moment.
"""

from dataclasses import dataclass
from functools import cache

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import Insert, insert

from tally import partitions
from tally.cubes import CUBES, MEASURES, Cube, bucket_of_event, key_of_event, usage_events
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
        folded: int = connection.execute(statement("rollup", "count_events"), bounds).scalar_one()
        if folded:
            for cube in CUBES:
                connection.execute(_fold_into(cube), bounds)
            connection.execute(statement("rollup", "touch_tokens"), bounds)
        if bounds["high"] > low:
            connection.execute(statement("rollup", "advance"), {"high": bounds["high"]})
        return folded


@cache
def _fold_into(cube: Cube) -> Insert:
    keys = [bucket_of_event(cube.grain), *(key_of_event(key) for key in cube.keys)]
    sums = [measure.aggregate(measure.of_event) for measure in MEASURES]
    rows = (
        select(*keys, *sums)
        .where(usage_events.c.txid >= bindparam("low"), usage_events.c.txid < bindparam("high"))
        .group_by(*keys)
    )
    names = ["bucket", *cube.keys, *(measure.name for measure in MEASURES)]
    fold = insert(cube.table).from_select(names, rows)
    return fold.on_conflict_do_update(
        index_elements=["bucket", *cube.keys],
        set_={measure.name: _combined(cube, fold, measure.name, measure.combine) for measure in MEASURES},
    )


def _combined(cube: Cube, fold: Insert, name: str, combine: str) -> object:
    """The figure of a bucket that is there and the one to be added. Costs not given in a currency stay NULL."""
    there, added = cube.table.c[name], fold.excluded[name]
    if combine == "sum":
        return there + added
    return func.least(there, added) if combine == "min" else func.greatest(there, added)
