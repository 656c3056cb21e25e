"""Folding events into all cubes, against recording the same events.

The rollup folds at once what the recorder has stored in a run, in steps as it always does. The recorder that is timed
has a database of its own, in which nothing is folded.
"""

import time
from collections.abc import Mapping
from typing import LiteralString

from psycopg import sql

from benchmarks import recording, takers
from benchmarks.databases import Database
from benchmarks.harness import Bench, Measured, Result, Side, Target, agree
from benchmarks.recording import ROWS_A_TRANSACTION
from tally.cubes import CUBES, Kind
from tally.database import Store
from tally.rollup import ROLLUP_OPTIONS, fold_step

NAME = "folding"
OURS = "folding into all cubes, in steps of 50,000 events"
AGAINST = "recorder, one connection, 500 rows a transaction, same events"

# What all events add up to, and the same of a cube; of those that cost something or should, where it is one of costs.
_OF_EVENTS: Mapping[Kind, LiteralString] = {
    "calls": "SELECT count(*), count(response_time_ms), sum(response_time_ms) FROM usage_events",
    "costs": "SELECT count(*), sum(cost), sum(cost_usd) FROM usage_events"
    " WHERE model_key IS NOT NULL OR total_tokens IS NOT NULL OR currency_key IS NOT NULL",
}
_OF_CUBE: Mapping[Kind, LiteralString] = {
    "calls": "SELECT sum(requests), sum(timed_requests), sum(response_time_ms) FROM {}",
    "costs": "SELECT sum(billed_requests), sum(cost), sum(cost_usd) FROM {}",
}


def measure(bench: Bench) -> list[Result]:
    recorded, folded = (recording.database(bench, name) for name in ("bench_recorded", "bench_folded"))
    timed, untimed = recording.recorder(recorded), recording.recorder(folded)
    store = Store(takers.settings_of(folded), "tally benchmark", pool_size=1, options=ROLLUP_OPTIONS)

    def record(run: int) -> Measured:
        transactions = recording.transactions(bench, run)
        started = time.perf_counter()
        stored = sum(timed.record(transaction).stored for transaction in transactions)
        rate = stored / (time.perf_counter() - started)
        agree("rows stored and events given", stored, len(transactions) * ROWS_A_TRANSACTION)
        return {"events/s": rate}

    def fold(run: int) -> Measured:
        stored = sum(untimed.record(transaction).stored for transaction in recording.transactions(bench, run))
        bench.databases.checkpoint()
        count, started = 0, time.perf_counter()
        while step := fold_step(store):
            count += step
        rate = count / (time.perf_counter() - started)
        agree("events folded and rows stored", count, stored)
        return {"events/s": rate}

    figures = bench.compare(Side("rollup", fold), Side("recorder", record), {"events/s": Target(2, 4)})
    _check(folded)
    bench.say("every cube adds up to the events")
    return [Result(OURS, AGAINST, figures)]


def _check(database: Database) -> None:
    """Every cube that has all users sums up to all events."""
    with database.connect() as connection:
        for cube in CUBES:
            if not cube.detailed:
                expected = connection.execute(_OF_EVENTS[cube.of]).fetchone()
                query = sql.SQL(_OF_CUBE[cube.of]).format(sql.Identifier(cube.table.name))
                agree(f"{cube.table.name} and the events", connection.execute(query).fetchone(), expected)
