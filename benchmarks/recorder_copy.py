"""The recorder, one connection, 500 rows a transaction, against COPY of the very rows that it wrote.

Both start from Python values: the recorder from parsed events, COPY from finished rows whose texts are keys
already. COPY claims no ids, so it cannot tell a repeated event from a new one. It is psycopg's, in binary,
the faster of its two formats here. Beside it stands COPY of bytes made beforehand: what the server alone
can take.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, LiteralString

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from benchmarks import payloads, recording
from benchmarks.harness import Bench, Measured, Result, Side, Target, agree
from benchmarks.recording import ROWS_A_TRANSACTION

NAME = "recorder"
OURS = "recorder, one connection, 500 rows a transaction"
AGAINST = "`COPY` of the same rows into the same table and indexes, 500 rows a transaction"

_READY_MADE = "rows/s, against COPY of bytes made beforehand"

_COLUMNS: LiteralString = """
    SELECT column_name FROM information_schema.columns
    WHERE table_name = 'usage_events' AND column_name <> 'seq' ORDER BY ordinal_position
"""
_TOTALS: LiteralString = """
    SELECT count(*), count(DISTINCT id), min(time), max(time), sum(status), sum(response_time_ms),
           sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cost), sum(cost_usd), sum(cost_rub),
           count(user_key), count(token_key), count(labels), count(error_message), count(user_name)
    FROM usage_events
"""
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class _Finished:
    """The rows of one run as the recorder wrote them, and the same as binary COPY data by transaction."""

    rows: Rows
    types: list[int]
    data: list[bytes]


class _Source:
    """A database of its own in which the recorder makes the rows for COPY."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._database = recording.database(bench, "bench_rows")
        self._recorder = recording.recorder(self._database)
        self._columns = [name for (name,) in self._database.rows(_COLUMNS)]
        self.finished = lru_cache(maxsize=1)(self._make)

    @property
    def columns(self) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, self._columns))

    def _make(self, run: int) -> _Finished:
        last = self._database.count("SELECT coalesce(max(seq), 0) FROM usage_events")
        for transaction in recording.transactions(self._bench, run):
            self._recorder.record(transaction)
        query = sql.SQL("SELECT {} FROM usage_events WHERE seq > {} ORDER BY seq").format(self.columns, last)
        with self._database.connect() as connection:
            cursor = connection.execute(query)
            types = [column.type_code for column in cursor.description or ()]
            rows = [tuple(Jsonb(v) if isinstance(v, dict) else v for v in row) for row in cursor]
            data = _binary(connection, query)
        return _Finished(rows, types, data)


def measure(bench: Bench) -> list[Result]:
    source = _Source(bench)
    names = ("bench_recorder", "bench_copy", "bench_copy_ready")
    recorded, copied, ready = (recording.database(bench, name) for name in names)
    recorder = recording.recorder(recorded)
    statement = sql.SQL("COPY usage_events ({}) FROM STDIN (FORMAT binary)").format(source.columns)

    def record(run: int) -> Measured:
        transactions = recording.transactions(bench, run)
        started = time.perf_counter()
        stored = sum(recorder.record(transaction).stored for transaction in transactions)
        rate = stored / (time.perf_counter() - started)
        agree("rows stored and events given", stored, len(transactions) * ROWS_A_TRANSACTION)
        return {"rows/s": rate, _READY_MADE: rate}

    def copy(run: int) -> Measured:
        finished = source.finished(run)
        with copied.connect() as connection, ready.connect() as other:
            rate = len(finished.rows) / _copy_rows(connection, statement, finished)
            bench.databases.checkpoint()
            ready_rate = len(finished.rows) / _copy_bytes(other, statement, finished.data)
        return {"rows/s": rate, _READY_MADE: ready_rate}

    figures = bench.compare(
        Side("recorder", record), Side("COPY", copy), {"rows/s": Target(0.35, 0.6), _READY_MADE: None}
    )
    for database in (copied, ready):
        agree("sums over both tables", recorded.rows(_TOTALS), database.rows(_TOTALS))
    bench.say("the sums over all three tables are the same")
    return [Result(OURS, AGAINST, figures)]


def _copy_rows(connection: Connection[Any], statement: sql.Composed, finished: _Finished) -> float:
    """Seconds to copy rows, each transaction its own COPY."""
    transactions = list(payloads.chunks(finished.rows, ROWS_A_TRANSACTION))
    cursor = connection.cursor()
    started = time.perf_counter()
    for rows in transactions:
        with cursor.copy(statement) as copy:
            copy.set_types(finished.types)
            for row in rows:
                copy.write_row(row)
    return time.perf_counter() - started


def _copy_bytes(connection: Connection[Any], statement: sql.Composed, data: Iterable[bytes]) -> float:
    """Seconds to copy ready-made data, each transaction its own COPY."""
    cursor = connection.cursor()
    started = time.perf_counter()
    for transaction in data:
        with cursor.copy(statement) as copy:
            copy.write(transaction)
    return time.perf_counter() - started


def _binary(connection: Connection[Any], query: sql.Composed) -> list[bytes]:
    """The rows of a query by transaction, as binary COPY data (format: PostgreSQL's manual, COPY)."""
    header, trailer = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
    with connection.cursor().copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)) as copy:
        rows = [bytes(row) for row in copy]
    rows = [rows[0].removeprefix(header), *rows[1:]]
    rows = [row for row in rows if row not in (trailer, b"")]
    return [b"".join((header, *chunk, trailer)) for chunk in payloads.chunks(rows, ROWS_A_TRANSACTION)]
