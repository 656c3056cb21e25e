"""Questions about usage: Tally, GROUP BY on a flat table with the four systems' indexes, and ClickHouse.

All hold the same calls of a quarter. What is timed is from the question in Python to the rows as Python values, on an
open connection or session: with Tally that includes turning texts into keys and keys into texts, and composing the
statement. Before a question is timed, all sides have to give the same answer.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import LiteralString

from benchmarks import questions, takers
from benchmarks.harness import Bench, Figure, Measured, Result, Side, Target, agree, values_of
from benchmarks.history.clickhouse import ClickHouse
from benchmarks.history.load import Quarter, load
from benchmarks.questions import Question, Row
from tally.database import Store
from tally.usage.engine import QUERY_OPTIONS

NAME = "queries"
OURS = "questions about the heaviest user and about all tenants"
AGAINST = "GROUP BY on raw rows; ClickHouse; Tally with fewer events; and the disk that it takes"

_RAW = "GROUP BY on raw rows with the four systems' indexes, psycopg"
_CLICKHOUSE = "ClickHouse (chdb), MergeTree ordered by user and time"
_USER_TARGETS = {_RAW: Target(30, 100), _CLICKHOUSE: Target(7, 15)}
_ALL_TARGETS = {_RAW: Target(10, 40), _CLICKHOUSE: Target(5, 12)}
_GROWTH = Target(1.5, 1.1, more_is_better=False)
_DISK = Target(0.25, 0.10, more_is_better=False)
_TURNS_A_RUN = 12  # a side's turn with one question takes this part of the time of a run

_SIZES: LiteralString = """
    SELECT name, sum(reltuples)::bigint AS rows, sum(pg_total_relation_size(oid))::bigint AS bytes
    FROM (
        SELECT oid, greatest(reltuples, 0) AS reltuples,
               CASE WHEN relname ~ '^usage_events_' THEN 'usage_events' ELSE relname END AS name
        FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
          AND (relname ~ '^(cube|usage_events)_' OR relname = 'dimensions')
    ) AS tables
    GROUP BY name ORDER BY bytes DESC
"""
Ask = Callable[[Question], list[Row]]


def measure(bench: Bench) -> list[Result]:
    few, many = bench.events
    with ClickHouse(bench.log_dir / "clickhouse") as clickhouse:
        return compare(bench, load(bench, many, clickhouse), clickhouse, load(bench, few))


def compare(bench: Bench, quarter: Quarter, clickhouse: ClickHouse, lesser: Quarter) -> list[Result]:
    """The figures of stores that are loaded; `lesser` is a quarter with fewer events."""
    ours, with_few = f"Tally, {quarter.events:,} events", f"Tally, {lesser.events:,} events"
    with ExitStack() as stack:
        sides: dict[str, Ask] = {
            ours: stack.enter_context(_tally(quarter)),
            _RAW: stack.enter_context(_raw(quarter)),
            _CLICKHOUSE: lambda question: clickhouse.rows(*questions.sql(question, questions.CLICKHOUSE)),
            with_few: stack.enter_context(_tally(lesser)),
        }
        targets = dict.fromkeys(questions.about_user(quarter.user, quarter.end), _USER_TARGETS)
        targets |= dict.fromkeys(questions.about_all(quarter.end), _ALL_TARGETS)
        raw_with_few = stack.enter_context(_raw(lesser))
        for question in targets:
            _agree(question, sides[ours], sides[_RAW], sides[_CLICKHOUSE])
            _agree(question, sides[with_few], raw_with_few)
        bench.say(f"{len(targets)} questions: all sides give the same answers")
        times = {question: _times(bench, question, sides) for question in targets}

    def figure(question: Question, theirs: str, target: Target) -> Figure:
        of = times[question]
        return Figure(f"{question.name}, ms", of[ours], of[theirs], target, speedup=theirs != with_few)

    return [
        Result(ours, _RAW, [figure(question, _RAW, of[_RAW]) for question, of in targets.items()]),
        Result(ours, _CLICKHOUSE, [figure(question, _CLICKHOUSE, of[_CLICKHOUSE]) for question, of in targets.items()]),
        Result(ours, with_few, [figure(question, with_few, _GROWTH) for question in targets]),
        _disk(bench, quarter),
    ]


@contextmanager
def _tally(quarter: Quarter) -> Iterator[Ask]:
    """The connection is as the function `query` makes it."""
    settings = takers.settings_of(quarter.database)
    options = {**QUERY_OPTIONS, "statement_timeout": f"{settings.query_timeout_seconds:.0f}s"}
    store = Store(settings, "tally query", options=options)
    with store.connect() as connection:
        yield partial(questions.ask_tally, connection)
    store.dispose()


@contextmanager
def _raw(quarter: Quarter) -> Iterator[Ask]:
    with quarter.database.connect() as connection:

        def ask(question: Question) -> list[Row]:
            query, parameters = questions.sql(question, questions.POSTGRES)
            return connection.execute(query.encode(), parameters).fetchall()

        yield ask


def _agree(question: Question, ours: Ask, *others: Ask) -> None:
    """Raise `Disagreement` unless all answers are the same and there is one."""
    answer = questions.comparable(question, ours(question))
    agree(f"{question.name}: whether there are rows", bool(answer), True)
    for other in others:
        agree(question.name, answer, questions.comparable(question, other(question)))


def _times(bench: Bench, question: Question, sides: Mapping[str, Ask]) -> dict[str, tuple[float, ...]]:
    """The milliseconds that each side takes for a question, a mean over many repetitions a run."""
    seconds = bench.seconds / _TURNS_A_RUN

    def turn(ask: Ask, _: int) -> Measured:
        repetitions = 0
        started = time.perf_counter()
        while True:
            ask(question)
            repetitions += 1
            elapsed = time.perf_counter() - started
            if elapsed >= seconds:
                return {"ms": elapsed / repetitions * 1000}

    bench.say(question.name)
    measured = bench.take_turns([Side(name, partial(turn, ask)) for name, ask in sides.items()])
    return {name: values_of("ms", runs) for name, runs in measured.items()}


def _disk(bench: Bench, quarter: Quarter) -> Result:
    """What answers come from, against the raw events; both with their indexes."""
    sizes = {name: (rows, size / 1e6) for name, rows, size in quarter.database.rows(_SIZES)}
    shown = ", ".join(f"{name} {size:,.1f} MB ({rows:,} rows)" for name, (rows, size) in sizes.items())
    bench.note(f"Disk with indexes, {quarter.events:,} events: {shown}.")
    _, raw = sizes.pop("usage_events")
    folded = sum(size for _, size in sizes.values())
    figure = Figure(f"MB, {quarter.events:,} events", (folded,), (raw,), _DISK)
    return Result("cubes and dimensions with indexes", "raw events with indexes", [figure])
