"""The rollup: folds new events into the cubes, makes partitions ahead, drops those past the retention.

Folding goes by transaction id: every event carries the id of the transaction that stored it, and a fold takes those
from the watermark up to the oldest transaction that may still write. Cubes and watermark change in one transaction,
so that a question, which reads both in one statement, counts each event once at any moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from tally import partitions
from tally.database import Store, statement
from tally.folding import folding, folding_of_detailed_users
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
        folded: int = connection.execute(folding(), bounds).scalar_one()
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
        connection.execute(folding_of_detailed_users(), {"users": users, "high": given["high"]})
