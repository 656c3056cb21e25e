"""Tally's side: the calls of the flat table as raw events, folded by the rollup.

Set-based, because a quarter of a busy service through the recorder would take an hour. The rows are those that it would
have stored but for the dedupe keys, which no question reads.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from benchmarks import takers
from benchmarks.databases import Database
from benchmarks.history.loading import Connection, connect, share_out, statement
from tally import partitions, rollup
from tally.database import Store

RETENTION_DAYS = 400
_EVENTS_A_TRANSACTION = 50_000  # a fold takes whole transactions


def add_events(database: Database, end: datetime) -> None:
    """Store the calls of `service.usage_log` as events, in the order of time."""
    store = Store(takers.settings_of(database), "tally benchmark", pool_size=1)
    # As many partitions as there are after a year: looking into each takes time, also where it is empty.
    partitions.ensure(store, RETENTION_DAYS, [end - timedelta(days=age) for age in range(367)])
    store.dispose()
    with connect(database) as connection:
        connection.execute(statement("dimensions"))
    share_out(database, _transactions(database), _add)


def _transactions(database: Database) -> Iterator[tuple[int, int]]:
    events = database.count("SELECT count(*) FROM service.usage_log")
    for first in range(0, events, _EVENTS_A_TRANSACTION):
        yield first, first + _EVENTS_A_TRANSACTION


def _add(connection: Connection, ids: tuple[int, int]) -> None:
    connection.execute(statement("usage_events"), dict(zip(("first", "last"), ids, strict=True)))


def fold(database: Database) -> int:
    """Run the rollup, then what autovacuum would do in time; returns the number of events folded."""
    folded = rollup.run_once(takers.settings_of(database)).folded
    with connect(database) as connection:
        connection.execute("VACUUM (ANALYZE)")
    return folded
