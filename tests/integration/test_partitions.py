"""Partitions are made ahead and on demand; retention drops whole ones and leaves the cubes alone."""

import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tally import migrate, partitions
from tally.database import Store
from tally.partitions import Span, missing_spans, span_of
from tally.recorder import Outcome, Recorder
from tally.rollup import fold_step, run, run_once
from tally.settings import Settings
from tests.support.events import random_events
from tests.support.postgres import Server, execute, rows, scalar, settings_of
from tests.support.store import contents_of, record, recorder_store
from tests.support.waiting import eventually

DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def stores(settings: Settings) -> Iterator[list[Store]]:
    stores = [recorder_store(settings) for _ in range(4)]
    yield stores
    for store in stores:
        store.dispose()


def partition_names(url: str, parent: str = "usage_events") -> list[str]:
    found = rows(url, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [parent])
    return sorted(name for (name,) in found)


def tables(url: str) -> set[str]:
    return {name for (name,) in rows(url, "SELECT relname FROM pg_class WHERE relkind = 'r'")}


def spread(now: datetime, days: int, number: int = 60) -> list[dict[str, Any]]:
    """Events of the last `days` days."""
    rng = random.Random(7)
    return list(random_events(rng, [now - rng.random() * days * DAY for _ in range(number)]))


def test_five_weeks_ahead_have_partitions(database_url: str, now: datetime) -> None:
    last = scalar(
        database_url,
        "SELECT max(pg_get_expr(relpartbound, oid)) FROM pg_class WHERE relispartition AND relname ~ %s",
        ["^usage_events_[0-9]+$"],
    )
    end = datetime.fromisoformat(last.split("TO ('")[1][:10]).replace(tzinfo=UTC)
    assert end > now + 35 * DAY


def test_a_late_event_makes_the_partition_that_it_needs(stores: list[Store], database_url: str, now: datetime) -> None:
    before = partition_names(database_url)
    late = now - 300 * DAY
    event = {"id": "1", "source": "s", "route": "/", "time": late.isoformat()}
    assert Recorder(stores[0], 400).record([contents_of(event, now)]) == Outcome(stored=1)
    [made] = set(partition_names(database_url)) - set(before)
    assert made == f"usage_events_{late:%Y%m}01"


def test_a_generation_of_keys_without_partition_gets_one(stores: list[Store], database_url: str, now: datetime) -> None:
    """Where the rollup has not run for months."""
    for name in (*partition_names(database_url, "dedupe_keys"), *partition_names(database_url)):
        execute(database_url, f"DROP TABLE {name}")
    event = {"id": "1", "source": "s", "route": "/"}
    assert Recorder(stores[0], 400).record([contents_of(event, now)]) == Outcome(stored=1)
    assert Recorder(stores[1], 400).record([contents_of(event, now)]) == Outcome(duplicate=1)


def test_late_events_on_several_connections_make_a_partition_once(
    stores: list[Store], database_url: str, now: datetime
) -> None:
    events = spread(now, 399)
    barrier = threading.Barrier(4)

    def store_all(store: Store) -> Outcome:
        recorder = Recorder(store, 400)
        barrier.wait()
        return recorder.record([contents_of(events, now)])

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(store_all, stores))
    assert sum(outcomes, Outcome()) == Outcome(stored=60, duplicate=180)
    assert scalar(database_url, "SELECT count(*) FROM usage_events") == 60


def test_the_same_event_in_another_partition_is_the_same_event(
    stores: list[Store], database_url: str, now: datetime
) -> None:
    recorder = Recorder(stores[0], 400)
    for days in (300, 5, 100):
        event = {"id": "1", "source": "s", "route": "/", "time": (now - days * DAY).isoformat()}
        recorder.record([contents_of(event, now)])
    assert scalar(database_url, "SELECT count(*) FROM usage_events") == 1


def test_retention_drops_whole_partitions_and_leaves_the_cubes(store: Store, database_url: str, now: datetime) -> None:
    record(store, spread(now, 395), now)
    old = int((now - 300 * DAY).timestamp() // 86400 // partitions.GENERATION_DAYS)
    execute(database_url, f"CREATE TABLE dedupe_keys_{old} PARTITION OF dedupe_keys FOR VALUES IN ({old})")
    assert run(store, 400).folded == 60
    cube = rows(database_url, "SELECT sum(requests), sum(total_tokens), sum(input_tokens) FROM cube_user_hour")
    report = run(store, 120)
    assert f"dedupe_keys_{old}" in report.partitions_dropped
    assert len(report.partitions_dropped) >= 7
    assert not set(report.partitions_dropped) & tables(database_url)
    left = scalar(database_url, "SELECT min(time) FROM usage_events")
    assert now - 152 * DAY < left
    assert rows(database_url, "SELECT sum(requests), sum(total_tokens), sum(input_tokens) FROM cube_user_hour") == cube
    assert run(store, 120).partitions_dropped == ()


def test_a_short_retention_drops_weeks_as_soon_as_they_are_past(postgres: Server, now: datetime) -> None:
    url = postgres.create_empty()
    short = settings_of(url, raw_retention_days=20)
    migrate.upgrade(short)
    store = recorder_store(short)
    events = spread(now, 19)
    Recorder(store, 20).record([contents_of(events, now)])
    run(store, 20)
    week = now - timedelta(days=now.weekday()) - 7 * DAY
    report = run(store, (now - week).days - 1)
    assert f"usage_events_{week - 7 * DAY:%Y%m%d}" in report.partitions_dropped
    assert not set(report.partitions_dropped) & tables(url)
    assert scalar(url, "SELECT sum(requests) FROM cube_user_day") == len(events)
    store.dispose()
    postgres.drop(url)


def test_keys_stay_claimed_as_long_as_events_are_kept(store: Store, database_url: str, now: datetime) -> None:
    generation = int(now.timestamp() // 86400 // partitions.GENERATION_DAYS)
    oldest = int((now - 400 * DAY).timestamp() // 86400 // partitions.GENERATION_DAYS)
    for old in range(oldest - 2, generation - 1):
        execute(database_url, f"CREATE TABLE dedupe_keys_{old} PARTITION OF dedupe_keys FOR VALUES IN ({old})")
    run(store, 400)
    kept = {int(name.removeprefix("dedupe_keys_")) for name in partition_names(database_url, "dedupe_keys")}
    assert kept == set(range(oldest, generation + 2))


def test_an_event_that_is_not_folded_yet_is_not_dropped(store: Store, database_url: str, now: datetime) -> None:
    """Another fold may be running, or an old transaction may hold folding up: what is dropped is in the cubes."""
    record(store, spread(now, 395), now)
    assert partitions.drop_expired(store, 120) == []
    assert scalar(database_url, "SELECT count(*) FROM usage_events") == 60
    while fold_step(store):
        pass
    assert partitions.drop_expired(store, 120) != []


def test_two_runs_at_once_drop_each_partition_once(
    settings: Settings, store: Store, database_url: str, now: datetime
) -> None:
    record(store, spread(now, 395), now)
    run(store, 400)
    short = settings_of(database_url, raw_retention_days=100)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: run_once(short), range(4)))
    dropped = [name for report in reports for name in report.partitions_dropped]
    assert len(dropped) == len(set(dropped)) >= 7
    assert run_once(settings).folded == 0


def test_a_drop_that_was_interrupted_is_finished_by_the_next_run(
    store: Store, stores: list[Store], database_url: str, now: datetime
) -> None:
    """Detaching waits for questions that are running; a job may be ended meanwhile."""
    record(store, spread(now, 395), now)
    run(store, 400)
    with psycopg.connect(database_url) as question, ThreadPoolExecutor(1) as pool:
        question.execute("SELECT count(*) FROM usage_events")
        job = pool.submit(partitions.drop_expired, stores[0], 120)
        pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
        eventually(lambda: scalar(database_url, pending), "a partition is being detached")
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%DETACH%'"
        question.execute(ended.encode())
        with pytest.raises(Exception, match=r"cannot be (used|reached)"):
            job.result()
    assert scalar(database_url, pending)
    run(store, 120)
    assert not scalar(database_url, pending)
    assert scalar(database_url, "SELECT min(time) FROM usage_events") > now - 152 * DAY


def test_a_partition_detached_but_not_dropped_is_dropped_by_the_next_run(
    store: Store, database_url: str, now: datetime
) -> None:
    record(store, spread(now, 395), now)
    run(store, 400)
    oldest = partition_names(database_url)[0]
    execute(database_url, f"ALTER TABLE usage_events DETACH PARTITION {oldest}")
    assert oldest in run(store, 120).partitions_dropped
    assert oldest not in tables(database_url)


@pytest.mark.parametrize("retention_days", [1, 30, 91, 92, 400])
def test_spans_cover_every_time_once_whatever_retention_they_were_made_under(retention_days: int) -> None:
    rng = random.Random(retention_days)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    times = [start + rng.random() * 500 * DAY for _ in range(200)]
    spans: list[Span] = []
    for part in range(10):
        other = retention_days if part % 2 else rng.choice([7, 400])
        spans += missing_spans(spans, times[part * 20 : part * 20 + 20], other)
    assert all(sum(span.lower <= time < span.upper for span in spans) == 1 for time in times)
    ordered = sorted(spans, key=lambda span: span.lower)
    assert all(before.upper <= after.lower for before, after in itertools.pairwise(ordered))


def test_a_span_is_a_month_or_for_short_retentions_a_week_from_monday() -> None:
    time = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert span_of(time, 400) == Span(datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert span_of(time, 30) == Span(datetime(2026, 12, 28, tzinfo=UTC), datetime(2027, 1, 4, tzinfo=UTC))
