"""Filling the stores with the same calls, on both cores."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from benchmarks import takers
from benchmarks.databases import Database
from benchmarks.harness import Bench, agree
from benchmarks.history import tally_store, usage_log
from benchmarks.history.clickhouse import ClickHouse
from benchmarks.history.loading import at_once


@dataclass(frozen=True)
class Quarter:
    """A database with the calls of a quarter both flat and as Tally has them.

    Attributes:
        end: the full hour before which they all are.
        user: the one with the most calls.
    """

    database: Database
    events: int
    end: datetime
    user: str


def load(bench: Bench, events: int, clickhouse: ClickHouse | None = None) -> Quarter:
    """Fill a database, and ClickHouse if it is given; without it, the flat table gets no indexes."""
    end = bench.started.replace(minute=0, second=0, microsecond=0)
    database = takers.tally_database(bench, f"bench_{events}")
    stage = _Stages(bench, f"{events:,} events")
    stage("made", lambda: usage_log.create(database, events, end))
    stage("stored by Tally", lambda: tally_store.add_events(database, end))

    def fold() -> None:
        agree("events folded and events made", tally_store.fold(database), events)

    def fill_others() -> None:
        if clickhouse is not None:
            stage("flat table indexed and vacuumed", lambda: usage_log.finish(database))
            stage("copied to ClickHouse", lambda: clickhouse.fill(database))

    at_once(lambda: stage("folded and vacuumed", fold), fill_others)
    stage.sum_up()
    return Quarter(database, events, end, usage_log.heaviest_user(database))


class _Stages:
    """Times the stages of loading, which may overlap, and says so."""

    def __init__(self, bench: Bench, what: str) -> None:
        self._bench = bench
        self._what = what
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def __call__(self, name: str, do: Callable[[], object]) -> None:
        started = time.perf_counter()
        do()
        self._seconds[name] = time.perf_counter() - started
        self._bench.say(f"{self._what} {name}: {self._seconds[name]:.0f} s")

    def sum_up(self) -> None:
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self._seconds.items())
        total = time.perf_counter() - self._started
        self._bench.note(f"Loading {self._what} took {total:.0f} s: {parts}; the last ones side by side.")
