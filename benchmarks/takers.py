"""Services that take usage events, with the database where one can see what they stored."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

from pydantic import SecretStr

from benchmarks import payloads, services
from benchmarks.databases import Database
from benchmarks.harness import Bench, Disagreement, Figure, Measured, Side, Target, agree
from benchmarks.load import Plan, Report, drive
from benchmarks.payloads import Event
from tally import migrate
from tally.settings import Settings

CONNECTIONS = 64
_CHECKED_CALLS = 3_000
_CHECK_DAY = 0
_CHECK_SECONDS = 600.0

_TALLY_SUMMARY: LiteralString = """
    SELECT token.value, route.value, method.value, status, count(*), round(sum(response_time_ms), 1),
           count(error_message)
    FROM usage_events
    LEFT JOIN dimensions AS token ON token.key = token_key
    LEFT JOIN dimensions AS route ON route.key = route_key
    LEFT JOIN dimensions AS method ON method.key = method_key
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
_NAIVE_SUMMARY: LiteralString = """
    SELECT token_hash, route_path, request_method, response_status, count(*),
           round(sum(response_time_ms::numeric), 1), count(error_message)
    FROM token_usage_logs GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""


@dataclass(frozen=True)
class Taker:
    """A service that takes events, and how to see in its database what it stored."""

    service: services.Service
    database: Database
    table: LiteralString
    summary: LiteralString

    def stored(self) -> int:
        """The number of events in the database."""
        return self.database.count(f"SELECT count(*) FROM {self.table}")  # noqa: S608 - a constant

    def report(self) -> list[tuple[Any, ...]]:
        """What an analysis would show: calls, time and errors by token, route, method and status."""
        return self.database.rows(self.summary)

    def send(self, requests: Iterable[bytes], seconds: float) -> Report:
        """Send requests over 64 connections.

        Raises:
            Disagreement: one of them failed.
        """
        report = drive(Plan(self.service.host, self.service.port, CONNECTIONS, seconds), requests)
        if report.errors:
            words = self.service.last_words()
            raise Disagreement(f"not every request was answered with success: {report.statuses}\n{words}")
        return report


@dataclass(frozen=True)
class Load:
    """Requests of `events_each` calls for a service; `request` makes one of them.

    `calls_a_second` is more than the service takes: a run that has sent them all would end early.
    """

    name: str
    taker: Taker
    request: Callable[[Sequence[Event]], bytes]
    calls_a_second: int
    events_each: int = 1

    def requests(self, calls: Iterable[Event]) -> Iterator[bytes]:
        return map(self.request, payloads.chunks(calls, self.events_each))

    def run(self, bench: Bench, number: int) -> Measured:
        """Send calls of their own day for the time of a run.

        Raises:
            Disagreement: what was confirmed is not what was stored.
        """
        before = self.taker.stored()
        calls = payloads.calls(bench.started, number + 1, int(self.calls_a_second * bench.seconds))
        report = self.taker.send(self.requests(calls), bench.seconds)
        confirmed = report.ok * self.events_each
        agree("events stored and events confirmed", self.taker.stored() - before, confirmed)
        return {
            "requests/s": report.requests_per_second,
            "events/s": report.requests_per_second * self.events_each,
            "p50 ms": report.p50_ms,
            "p99 ms": report.p99_ms,
            "client CPU %": 100 * report.client_cpu_seconds / report.seconds,
        }


def compare(bench: Bench, ours: Load, theirs: Load, targets: Mapping[str, Target | None]) -> list[Figure]:
    """Check that both services report the same of the same calls, then measure them in turn."""
    _check_reports(bench, ours, theirs)
    return bench.compare(
        Side(ours.name, lambda number: ours.run(bench, number)),
        Side(theirs.name, lambda number: theirs.run(bench, number)),
        targets,
    )


def _check_reports(bench: Bench, ours: Load, theirs: Load) -> None:
    """Send the same calls to both, to Tally twice and shuffled, and compare what each then reports."""
    calls = list(payloads.calls(bench.started, _CHECK_DAY, _CHECKED_CALLS))
    again = list(ours.requests(calls)) * 2
    random.Random(payloads.SEED).shuffle(again)
    ours.taker.send(again, _CHECK_SECONDS)
    theirs.taker.send(theirs.requests(calls), _CHECK_SECONDS)
    agree("events stored and distinct events sent", ours.taker.stored(), len(calls))
    agree("reports of both services", ours.taker.report(), theirs.taker.report())
    bench.say(f"{len(calls):,} calls, sent twice to Tally: both services report the same")


@contextmanager
def record(bench: Bench) -> Iterator[Taker]:
    """`record` alone, pushed to as Pub/Sub does."""
    database = tally_database(bench, "bench_record")
    with services.function("record", bench.log_dir, {"TALLY_DATABASE_URL": database.url}) as service:
        yield Taker(service, database, "usage_events", _TALLY_SUMMARY)


@contextmanager
def ingest(bench: Bench) -> Iterator[Taker]:
    """`ingest` with the embedded publisher, which hands on to `record`."""
    database = tally_database(bench, "bench_ingest")
    url = {"TALLY_DATABASE_URL": database.url}
    with (
        services.function("record", bench.log_dir, url) as behind,
        services.function("ingest", bench.log_dir, {**url, "TALLY_RECORD_URL": behind.url}) as service,
    ):
        yield Taker(service, database, "usage_events", _TALLY_SUMMARY)


@contextmanager
def naive(bench: Bench) -> Iterator[Taker]:
    """The naive service, which knows all tokens."""
    database = bench.databases.create("bench_naive")
    with services.naive(database, bench.log_dir) as service:
        with database.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO tokens (name, team_id, token_hash) VALUES (%s, %s, %s)",
                [(token.name, token.team_id, token.token_hash) for token in payloads.TOKENS],
            )
        yield Taker(service, database, "token_usage_logs", _NAIVE_SUMMARY)


def tally_database(bench: Bench, name: str) -> Database:
    """A database with Tally's migrations."""
    database = bench.databases.create(name)
    migrate.upgrade(settings_of(database))
    return database


def settings_of(database: Database) -> Settings:
    return Settings(database_url=SecretStr(database.url))
