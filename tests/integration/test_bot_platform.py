"""What system B is told of accounts and of what was received lately equals a count by hand."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tally import jsontext
from tally.database import Store
from tally.principal import Principal
from tally.recorder import Recorder
from tally.rollup import fold_step
from tally.usage import bot_platform
from tally.usage.inquiry import Inquiry
from tests.support import bot_oracle
from tests.support.bot_oracle import Organization, Received
from tests.support.callers import CALLERS, is_own
from tests.support.events import random_event
from tests.support.functions import read_json
from tests.support.half_folded import EVERYBODY, MOMENTS, NOW, HalfFolded, half_folded
from tests.support.oracle import Oracle
from tests.support.postgres import Server, rows, settings_of
from tests.support.store import RETENTION_DAYS, batches, contents_of, record

ZONES = (
    "UTC", "Europe/Moscow", "Asia/Taipei", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe",
    "America/Santiago",
)  # fmt: skip
LONG_AGO = datetime.fromisoformat("2020-01-01T00:00Z")


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    with half_folded(postgres) as made:
        yield made


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest) -> Principal:
    return CALLERS[request.param]


@contextmanager
def registered(url: str, organizations: Iterable[Organization]) -> Iterator[None]:
    """With these rows in `organizations`."""
    with psycopg.connect(url, autocommit=True) as connection:
        for one in organizations:
            connection.execute(
                "INSERT INTO organizations"
                " (id, name, updated_at, timezone, period_start_day, plan, free_requests_limit)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                astuple(one),
            )
        yield
        connection.execute("TRUNCATE organizations")


def accounts(store: Store, caller: Principal, now: datetime = NOW, limit: int = 200) -> list[dict[str, Any]]:
    """The pages of the accounts put together, as a client reads them."""
    items: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        with store.snapshot() as connection:
            page, after = bot_platform.accounts(Inquiry(connection, caller, now), limit, after)
        assert len(page) <= limit
        items += read_json(jsontext.dump_answer(page))
    return items


@pytest.mark.parametrize("zone", ZONES)
def test_requests_count_in_the_running_period_of_the_organizations_own_zone(
    half: HalfFolded, caller: Principal, zone: str
) -> None:
    facts = [fact for fact in half.oracle.facts if is_own(fact, caller)]
    for start_day in (1, 5, 28):
        organizations = [
            Organization("acme", "Acme", LONG_AGO, zone, start_day, "starter", 7),
            Organization("globex", "Globex", NOW, "Asia/Kolkata", 5),
            Organization("idle", "Idle", LONG_AGO, zone, start_day, None, 5),
        ]
        visible = [one for one in organizations if caller is EVERYBODY or one.id == caller.organization_id]
        with registered(half.url, organizations):
            # Where clocks change, where months begin, and just before and after.
            for now in (
                NOW,
                *(moment + timedelta(microseconds=step) for moment in MOMENTS[4:21:5] for step in (-1, 0)),
            ):
                assert accounts(half.store, caller, now) == bot_oracle.accounts(facts, visible, now)


def test_one_page_holds_periods_of_every_zone_and_day(half: HalfFolded) -> None:
    organizations = [
        Organization(f"{zone} {day}", zone, LONG_AGO, zone, day, None, 0) for zone in ZONES for day in (1, 14, 28)
    ]
    organizations += [Organization("acme", "Acme", LONG_AGO, "Asia/Kathmandu", 14)]
    with registered(half.url, organizations):
        assert accounts(half.store, EVERYBODY) == bot_oracle.accounts(half.oracle.facts, organizations, NOW)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_put_together_are_all_accounts(half: HalfFolded, limit: int) -> None:
    organizations = [Organization(name, name, LONG_AGO) for name in ("Z", "a", "acme", "Ω", "😀")]
    with registered(half.url, organizations):
        expected = bot_oracle.accounts(half.oracle.facts, organizations, NOW)
        assert accounts(half.store, EVERYBODY, limit=limit) == expected


def test_an_organization_of_which_no_event_was_stored_has_no_account(postgres: Server) -> None:
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    # The organization becomes known before its event, which is a duplicate here.
    record(store, [{"id": "1", "source": "s", "route": "/", "organization_id": "acme"}], NOW)
    record(store, [{"id": "1", "source": "s", "route": "/", "organization_id": "globex"}], NOW)
    assert [account["organization_id"] for account in accounts(store, EVERYBODY, limit=1)] == ["acme"]
    store.dispose()
    postgres.drop(url)


AGES = [
    *(timedelta(minutes=minutes, microseconds=by) for minutes in (10, 60, 24 * 60) for by in (-1, 0, 1)),
    *(timedelta(seconds=seconds) for seconds in (0, 1, 500, 700, 3000, 3700, 80_000, 87_000, 400_000)),
]


@pytest.fixture(scope="module")
def received(postgres: Server) -> Iterator[tuple[str, Store, list[Received]]]:
    """A database of events that were received at different times and stored in another order, half of them folded."""
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    rng = random.Random(7)
    ages = AGES + [timedelta(seconds=rng.choice([600, 3600, 86_400]) * rng.random()) for _ in range(300)]
    rng.shuffle(ages)
    events, oracle = [], Oracle()
    for age in ages:
        event = random_event(rng, rng.choice([None, NOW - age, NOW - age - timedelta(days=rng.random() * 90)]))
        if "error_message" in event:
            event["error_message"] += f" {event['id']}"
        events.append((event, NOW - age))
        oracle.add(event, NOW - age)
    recorder = Recorder(store, RETENTION_DAYS)
    half = len(events) // 2
    for part in (events[:half], events[half:]):
        while fold_step(store):
            pass
        for batch in batches(part, 40):
            recorder.record([contents_of([event], at) for event, at in batch])
    yield url, store, [
        Received(fact, at, event.get("error_message"))
        for fact, (event, at) in zip(oracle.facts, events, strict=True)
    ]  # fmt: skip
    store.dispose()
    postgres.drop(url)


def diagnosed(store: Store, caller: Principal, now: datetime = NOW) -> Any:
    """The answer as a client reads it."""
    with store.snapshot() as connection:
        return read_json(jsontext.dump_answer(bot_platform.diagnostics(Inquiry(connection, caller, now))))


@pytest.mark.parametrize("later", [0, 300, 3600, 86_000, 30 * 86_400])
def test_diagnostics_go_by_the_time_of_receipt(
    received: tuple[str, Store, list[Received]], caller: Principal, later: int
) -> None:
    url, store, events = received
    now = NOW + timedelta(seconds=later)
    known = dict(rows(url, "SELECT value, key FROM dimensions WHERE kind IN ('route', 'method')"))
    organizations = [
        Organization("acme", "Acme", NOW),
        Organization("fresh", "Fresh", now - timedelta(minutes=10, microseconds=-1)),
        Organization("stale", "Stale", now - timedelta(minutes=10)),
    ]
    own = [one for one in events if is_own(one.fact, caller)]
    visible = [one for one in organizations if caller is EVERYBODY or one.id == caller.organization_id]
    with registered(url, organizations):
        assert diagnosed(store, caller, now) == bot_oracle.diagnostics(own, visible, known, now)


def test_an_empty_database_has_nothing_to_diagnose(postgres: Server) -> None:
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    assert diagnosed(store, EVERYBODY) == bot_oracle.diagnostics([], [], {}, NOW)
    assert accounts(store, EVERYBODY) == []
    store.dispose()
    postgres.drop(url)


def test_no_more_than_fifty_errors_are_listed(postgres: Server) -> None:
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    events = [{"id": str(n), "source": "s", "route": f"/{min(n, 59)}", "status": 500} for n in range(70)]
    record(store, events, NOW)
    errors = diagnosed(store, EVERYBODY)["errors"]
    assert len(errors) == 50
    assert errors[0] == {"status_code": 500, "endpoint": "/59", "error_count": 11, "last_error": None}
    store.dispose()
    postgres.drop(url)
