"""Events of all four systems through the recorder, one connection, 500 rows a transaction."""

from collections.abc import Sequence
from datetime import timedelta

import orjson

from benchmarks import payloads, takers
from benchmarks.databases import Database
from benchmarks.harness import Bench
from tally import partitions
from tally.database import Store
from tally.local.sample import generate
from tally.message import Message
from tally.recorder import RECORDER_OPTIONS, Contents, Recorder, read

ROWS_A_TRANSACTION = 500
_EVENTS_A_SECOND = 12_000
_RETENTION_DAYS = 400


def transactions(bench: Bench, run: int) -> list[Sequence[Contents]]:
    """The parsed events of one run: the same events whenever it is asked for."""
    count = int(_EVENTS_A_SECOND * bench.seconds)
    events = generate(count, 1, payloads.SEED, payloads.end_of(bench.started, run))
    return [
        [read(Message(f"{run}-{number}", bench.started, {}, orjson.dumps(chunk)), _RETENTION_DAYS)]
        for number, chunk in enumerate(payloads.chunks(events, ROWS_A_TRANSACTION))
    ]


def database(bench: Bench, name: str) -> Database:
    """A migrated database with a partition for every day that a run may write to."""
    made = takers.tally_database(bench, name)
    days = [bench.started - timedelta(days=age) for age in range(payloads.MOST_RUNS + 1)]
    partitions.ensure(Store(takers.settings_of(made), "tally benchmark"), _RETENTION_DAYS, days)
    return made


def recorder(database: Database, made: type[Recorder] = Recorder) -> Recorder:
    """As `record` makes it, but with the one connection that is measured."""
    settings = takers.settings_of(database)
    return made(Store(settings, "tally benchmark", pool_size=1, options=RECORDER_OPTIONS), _RETENTION_DAYS)
