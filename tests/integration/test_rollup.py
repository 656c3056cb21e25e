"""Folding never changes a figure: while it runs, whoever else writes, and after a restore."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import sql

from tally import jsontext, tokens
from tally.cubes import CUBES, Kind
from tally.database import Store
from tally.errors import StoreUnavailable
from tally.principal import Principal
from tally.recorder import Recorder
from tally.rollup import fold_step, run, run_once
from tally.settings import Settings
from tally.usage import content_platform
from tally.usage.answer import answer
from tally.usage.inquiry import Inquiry
from tally.usage.question import parse_question
from tests.support.events import random_events
from tests.support.functions import read_json
from tests.support.oracle import METRICS, Oracle, Question, sort_key
from tests.support.postgres import Server, execute, rows, settings_of
from tests.support.store import RETENTION_DAYS, contents_of, record, recorder_store
from tests.support.waiting import eventually

EVERYBODY = Principal("t", "reader", frozenset({"read", "read:all"}))
NOW = datetime(2026, 4, 6, 12, 34, 56, tzinfo=UTC)
# What a cube counts, and the events that cost something or should.
COUNT: Mapping[Kind, sql.Identifier] = {"calls": sql.Identifier("requests"), "costs": sql.Identifier("billed_requests")}
BILLED = "(model_key IS NOT NULL OR total_tokens IS NOT NULL OR currency_key IS NOT NULL)"


@pytest.fixture
def second_store(settings: Settings) -> Iterator[Store]:
    store = recorder_store(settings)
    yield store
    store.dispose()


def fold_all(store: Store, events: int = 50_000) -> int:
    folded = 0
    while step := fold_step(store, events):
        folded += step
    return folded


def requests(store: Store, *parameters: tuple[str, str]) -> int:
    """All requests of an answer."""
    question = parse_question([("metrics", "requests"), ("from", "2025-04-01"), ("to", "2026-05-01"), *parameters], NOW)
    with store.connect() as connection:
        return sum(row["requests"] for row in answer(Inquiry(connection, EVERYBODY, NOW), question)["rows"])


def everything(store: Store) -> Any:
    """System A's totals of all time, which come from cubes and unfolded events only."""
    with store.connect() as connection:
        found = content_platform.summary(Inquiry(connection, EVERYBODY, NOW), ZoneInfo("UTC"), {})
    return read_json(jsontext.dump_answer(found["all_time"]))


def some_events(number: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return list(random_events(rng, [NOW - timedelta(seconds=rng.uniform(0, 90 * 86400)) for _ in range(number)]))


def in_cubes(url: str, of: Kind = "calls") -> set[int]:
    """What each cube of all users has; all of one kind have the same number of events."""
    every = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT coalesce(sum({}), 0) FROM {}").format(COUNT[of], sql.Identifier(cube.table.name))
        for cube in CUBES
        if cube.of == of and not cube.detailed
    )
    with psycopg.connect(url) as connection:
        return {int(requests) for (requests,) in connection.execute(every)}


def test_every_cube_holds_every_event_once(store: Store, database_url: str) -> None:
    record(store, some_events(300), NOW)
    assert in_cubes(database_url) == {0}
    assert fold_all(store, events=7) == 300
    assert in_cubes(database_url) == {300}
    assert fold_step(store) == 0
    assert in_cubes(database_url) == {300}
    [[billed]] = rows(database_url, f"SELECT count(*) FROM usage_events WHERE {BILLED}")
    assert in_cubes(database_url, "costs") == {billed}
    assert 0 < billed < 300


def test_detailed_cubes_hold_every_event_of_users_with_many_and_none_of_the_others(
    store: Store, database_url: str
) -> None:
    record(store, some_events(600), NOW)
    while fold_step(store, events=50, detailed_from=16):
        pass
    by_user = rows(
        database_url,
        f"SELECT user_key, count(*), count(*) FILTER (WHERE {BILLED}) FROM usage_events WHERE user_key > 0 GROUP BY 1",
    )
    many = [(user, {"calls": requests, "costs": billed}) for user, requests, billed in by_user if requests >= 16]
    assert 0 < len(many) < len(by_user)
    for cube in CUBES:
        if cube.detailed:
            query = sql.SQL("SELECT user_key, sum({}) FROM {} GROUP BY 1")
            with psycopg.connect(database_url) as connection:
                held = connection.execute(query.format(COUNT[cube.of], sql.Identifier(cube.table.name))).fetchall()
            assert set(held) == {(user, counts[cube.of]) for user, counts in many if counts[cube.of]}


def test_a_step_takes_about_as_many_events_as_asked_for_and_whole_transactions(store: Store) -> None:
    events = some_events(60)
    for start in range(0, 60, 3):
        record(store, events[start : start + 3], NOW)
    steps = []
    while step := fold_step(store, events=10):
        steps.append(step)
    assert sum(steps) == 60
    assert all(step % 3 == 0 and step <= 12 for step in steps)


def test_what_folding_at_any_point_cannot_change(store: Store) -> None:
    oracle = Oracle()
    for part in range(6):
        events = some_events(50, seed=part)
        record(store, events, NOW)
        for event in events:
            oracle.add(event, NOW)
        expected = oracle.summary("UTC", {}, NOW)["all_time"]
        assert everything(store) == expected
        fold_step(store, events=20)
        assert everything(store) == expected


@pytest.mark.parametrize(
    "group_by",
    [
        (),
        ("user_id",),
        ("token", "organization_id"),
        ("route", "method", "status_class"),
        ("model", "provider", "operation"),
        ("user_id", "agent_id"),
    ],
)
@pytest.mark.parametrize("window", ["none", "hour", "day"])
def test_a_bucket_that_is_folded_into_many_times_has_every_figure_right(
    folded_one_by_one: tuple[Store, Oracle], group_by: tuple[str, ...], window: str
) -> None:
    store, oracle = folded_one_by_one
    metrics = [name for name in METRICS if not name.startswith("p")]
    for currency in ("USD", "RUB", "EUR"):
        question = Question(
            metrics, group_by=group_by, window=window, range=("2026-04-06", "2026-04-07"), currency=currency
        )
        with store.connect() as connection:
            found = answer(Inquiry(connection, EVERYBODY, NOW), parse_question(question.parameters(), NOW))
        rows_found = read_json(jsontext.dump_answer(found))["rows"]
        assert sorted(rows_found, key=lambda row: sort_key(question, row)) == oracle.usage(question, NOW)


@pytest.fixture(scope="module")
def folded_one_by_one(postgres: Server) -> Iterator[tuple[Store, Oracle]]:
    """Events of two hours, each folded by itself."""
    url = postgres.create()
    store, oracle, rng = Store(settings_of(url), "tests"), Oracle(), random.Random(3)
    for event in random_events(rng, [NOW - timedelta(minutes=rng.uniform(0, 90)) for _ in range(80)]):
        event["user_id"] = rng.choice(["anna", "boris"])
        oracle.add(event, NOW)
        record(store, [event], NOW)
        assert fold_step(store) == 1
    yield store, oracle
    store.dispose()
    postgres.drop(url)


def test_an_older_transaction_that_commits_later_is_still_counted(store: Store, database_url: str) -> None:
    """Folding stops before the oldest transaction that may still write."""
    events = some_events(2)
    record(store, [{**events[0], "id": "warm"}], NOW)
    with psycopg.connect(database_url) as older:
        older.execute(
            "INSERT INTO usage_events (time, txid, received_at, sender_key, source_key, id)"
            " SELECT time, event_txid(), received_at, sender_key, source_key, 'late' FROM usage_events"
        )
        record(store, events[1:], NOW)
        fold_all(store)
        assert in_cubes(database_url) == {1}
        assert everything(store)["requests_count"] == 2
        older.commit()
    assert everything(store)["requests_count"] == 3
    fold_all(store)
    assert in_cubes(database_url) == {3}
    assert everything(store)["requests_count"] == 3


def test_a_transaction_larger_than_a_step_is_folded_at_once(store: Store, database_url: str) -> None:
    record(store, some_events(100), NOW)
    record(store, some_events(100, seed=2), NOW)
    assert fold_step(store, events=7) == 100
    assert fold_step(store, events=7) == 100
    assert in_cubes(database_url) == {200}


def test_two_folds_at_once_do_no_harm(store: Store, database_url: str) -> None:
    for part in range(30):
        record(store, some_events(10, seed=part), NOW)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: [fold_step(store, events=10) for _ in range(30)], range(4)))
    fold_all(store)
    assert sum(map(sum, done)) <= 300
    assert in_cubes(database_url) == {300}


def test_sums_of_the_largest_counts_that_are_taken_are_folded(store: Store) -> None:
    """10^15 tokens an event are taken: some ten thousand such events are more than 64 bits hold."""
    event = {"id": "1", "source": "s", "route": "/", "user_id": "anna", "total_tokens": 10**15, "time": NOW.isoformat()}
    record(store, [event], NOW)
    fold_all(store)
    with store.connect() as connection:
        for cube in CUBES:
            if "total_tokens" in cube.table.c:
                connection.execute(cube.table.update().values(total_tokens=2**63 - 1))
    record(store, [{**event, "id": "2"}], NOW)
    fold_all(store)
    assert everything(store)["total_tokens"] == 2**63 - 1 + 10**15


def test_a_fold_that_fails_changes_nothing(store: Store, database_url: str) -> None:
    record(store, some_events(20), NOW)
    execute(database_url, "ALTER TABLE cube_user_model_month ADD CONSTRAINT refuse CHECK (requests < 0) NOT VALID")
    with pytest.raises(Exception, match="refuse"):
        fold_step(store)
    assert in_cubes(database_url) == {0}
    assert everything(store)["requests_count"] == 20
    execute(database_url, "ALTER TABLE cube_user_model_month DROP CONSTRAINT refuse")
    fold_all(store)
    assert in_cubes(database_url) == {20}


class Traffic:
    """Writers, folds and readers at once, and how much was begun and is committed at any moment."""

    def __init__(self, settings: Settings) -> None:
        self.sent = self.committed = self.readings = 0
        self.finished = threading.Event()
        self._settings = settings
        self._counting = threading.Lock()

    def write(self, seed: int) -> None:
        rng = random.Random(seed)
        with self._store() as store:
            recorder = Recorder(store, RETENTION_DAYS)
            for _ in range(60):
                times = [NOW - timedelta(seconds=rng.uniform(0, 5_000_000)) for _ in range(rng.randint(1, 12))]
                events = list(random_events(rng, times))
                again = rng.sample(events, rng.randint(1, len(events)))
                with self._counting:
                    self.sent += len(events)
                recorder.record([contents_of(events, NOW)])
                with self._counting:
                    self.committed += len(events)
                recorder.record([contents_of(again, NOW)])

    def fold(self, seed: int) -> None:
        rng = random.Random(seed)
        with self._store() as store:
            while not self.finished.is_set():
                fold_step(store, events=rng.choice([1, 5, 20]))

    def read(self, ask: Callable[[Store], int]) -> None:
        """Asks on and on. No answer is below an earlier one, what was committed before, or above what was sent."""
        latest = 0
        with self._store() as store:
            while not self.finished.is_set():
                with self._counting:
                    least = max(self.committed, latest)
                latest = ask(store)
                with self._counting:
                    most = self.sent
                    self.readings += 1
                assert least <= latest <= most

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store(self._settings, "tests traffic", pool_size=1)
        try:
            yield store
        finally:
            store.dispose()


def test_figures_are_the_truth_at_any_moment_while_writers_and_folds_run(settings: Settings, store: Store) -> None:
    traffic = Traffic(settings)
    asked: list[Callable[[Store], int]] = [
        requests,
        lambda own: requests(own, ("group_by", "route,status"), ("timezone", "Asia/Kathmandu"), ("window", "day")),
        lambda own: requests(own, ("group_by", "user_id,model"), ("timezone", "America/New_York"), ("window", "month")),
        lambda own: requests(own, ("group_by", "token"), ("window", "hour")),
        lambda own: int(everything(own)["requests_count"]),
    ]
    with ThreadPoolExecutor(12) as pool:
        others = [pool.submit(traffic.read, ask) for ask in asked] + [
            pool.submit(traffic.fold, seed) for seed in (8, 9)
        ]
        try:
            for writer in [pool.submit(traffic.write, seed) for seed in range(3)]:
                writer.result()
            eventually(lambda: traffic.readings >= 300 or any(other.done() for other in others), "300 readings")
        finally:
            traffic.finished.set()
        for other in others:
            other.result()
    fold_all(store)
    assert requests(store) == traffic.sent == traffic.committed


def test_a_restored_database_starts_a_new_epoch_and_counts_on(
    store: Store, second_store: Store, database_url: str
) -> None:
    """After a logical restore the ids of transactions are far below those that are stored."""
    oracle = Oracle()

    def check() -> None:
        assert everything(store) == oracle.summary("UTC", {}, NOW)["all_time"]

    for seed in (1, 2):
        for event in some_events(30, seed):
            oracle.add(event, NOW)
        record(store, some_events(30, seed), NOW)
        if seed == 1:
            fold_all(store)
    execute(
        database_url,
        "UPDATE usage_events SET txid = txid + 1000000000; UPDATE fold_state SET watermark = watermark + 1000000000",
    )
    check()
    recorder = Recorder(second_store, RETENTION_DAYS)
    with pytest.raises(StoreUnavailable, match="restored"):
        recorder.record([contents_of(some_events(30, 3), NOW)])
    check()
    run(store, 36_000)
    check()
    for event in some_events(30, 3):
        oracle.add(event, NOW)
    recorder.record([contents_of(some_events(30, 3), NOW)])
    check()
    run(store, 36_000)
    check()
    assert in_cubes(database_url) == {90}


def test_a_restored_database_whose_events_were_all_folded_counts_on(
    store: Store, second_store: Store, database_url: str
) -> None:
    record(store, some_events(30), NOW)
    fold_all(store)
    execute(
        database_url,
        "UPDATE usage_events SET txid = txid + 1000000000; UPDATE fold_state SET watermark = watermark + 1000000000",
    )
    run(store, 36_000)
    Recorder(second_store, RETENTION_DAYS).record([contents_of(some_events(30, 2), NOW)])
    assert everything(store)["requests_count"] == 60
    run(store, 36_000)
    assert in_cubes(database_url) == {60}


def test_a_token_was_used_last_when_its_latest_event_happened(store: Store, database_url: str) -> None:
    token_hash = "ab" * 32
    tokens.register_reported(store, [(token_hash, "gateway", "red")])
    times = [NOW - timedelta(days=days) for days in (5, 2, 9)]
    for number, time in enumerate(times):
        event = {"id": str(number), "source": "s", "route": "/", "token_hash": token_hash, "time": time.isoformat()}
        record(store, [event], NOW)
        fold_all(store)
    assert rows(database_url, "SELECT last_used_at FROM api_tokens") == [(times[1],)]


def test_an_empty_store_is_all_zeros(settings: Settings, store: Store) -> None:
    assert fold_step(store) == 0
    assert set(everything(store).values()) == {0}
    assert requests(store) == 0
    assert run_once(settings).folded == 0
