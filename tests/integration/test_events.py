"""Lists of single events show each event once, in order, whatever is stored meanwhile, and deep pages cost no more."""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, text

from tally import jsontext
from tally.cubes import IS_AI
from tally.database import Store
from tally.rollup import fold_step
from tally.usage import event_lists, events
from tally.usage.coverage import EVER, Span
from tally.usage.event_lists import Table
from tally.usage.event_question import answer, parse_event_question
from tally.usage.events import Place, Selection
from tally.usage.inquiry import Inquiry
from tally.usage.numbered import numbered_page
from tally.usage.search import search
from tests.support.event_oracle import FIELDS, SEARCHES, EventOracle, EventStore, event_store, oracle_of
from tests.support.functions import read_json
from tests.support.half_folded import EVERYBODY, MOMENTS, NOW
from tests.support.postgres import Server, settings_of
from tests.support.store import record

ZONES = (
    "UTC", "Europe/Moscow", "Asia/Taipei", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe",
)  # fmt: skip
TIMES = ("time", "received_at", "created_at", "used_at")
Filters = dict[str, tuple[str, ...]]
FILTERS: tuple[Filters, ...] = (
    {},
    {"model": ("gpt-4",)},
    {"provider": ("openai", ""), "agent_id": ("writer",)},
    {"status_class": ("5xx", "4xx")},
    {"status": ("200", "")},
    {"label:tier": ("pro",)},
    {"label:nobody": ("",), "method": ("GET",)},
    {"organization_id": ("acme",), "user_id": ("anna", "чен")},
    {"token": (f"{1:064x}",)},
    {"source": ("generated",), "operation": ("TEXT_GENERATION",)},
    {"platform": ("unheard-of",)},
)


@pytest.fixture(scope="module")
def made(postgres: Server) -> Iterator[EventStore]:
    """The events of this module."""
    with event_store(postgres) as found:
        yield found


@pytest.fixture(scope="module")
def oracle(made: EventStore) -> EventOracle:
    """Knows what its lists must show."""
    return made.oracle


@contextmanager
def asking(store: Store, now: datetime = NOW) -> Iterator[Inquiry]:
    """A question of somebody who may see everything."""
    with store.snapshot() as connection:
        yield Inquiry(connection, EVERYBODY, now)


def seen(content: object) -> Any:
    """An answer as a client reads it."""
    return read_json(jsontext.dump_answer(content))


def written(item: dict[str, Any]) -> dict[str, Any]:
    """What an oracle expects, as a client reads it; numbers in metadata keep every digit."""
    item = {name: value.isoformat() if name in TIMES else value for name, value in item.items()}
    return {name: read_json(jsontext.dump(value)) for name, value in item.items()}


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Whether items are equal, times written in whatever RFC 3339 form."""

    def times_read(item: dict[str, Any]) -> dict[str, Any]:
        return {
            name: datetime.fromisoformat(value).isoformat() if name in TIMES and value else value
            for name, value in item.items()
        }

    assert list(map(times_read, found)) == list(map(written, expected))
    return True


def spans(seed: int) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Ranges between moments, some open."""
    rng = random.Random(seed)
    while True:
        lower, upper = sorted(rng.sample(MOMENTS, 2))
        yield rng.choice([None, lower]), rng.choice([None, upper, upper + timedelta(microseconds=1)])


@pytest.mark.parametrize(
    ("zone", "filters"), [*((zone, {}) for zone in ZONES), *zip(itertools.cycle(ZONES), FILTERS, strict=False)], ids=str
)
def test_pages_put_together_are_all_events_of_the_question(
    made: EventStore, oracle: EventOracle, zone: str, filters: Filters
) -> None:
    rng = random.Random(f"{zone}{filters}")
    first, last = sorted(rng.sample(MOMENTS, 2))
    parameters = [("timezone", zone), ("from", first.isoformat()), ("to", last.isoformat())]
    parameters += [(name, value) for name, values in filters.items() for value in values]
    expected = oracle.chosen(filters, first, last)
    limit = rng.choice([1, 7, 100]) if len(expected) < 150 else rng.choice([40, 1000])
    items: list[dict[str, Any]] = []
    cursor: list[tuple[str, str]] = []
    while True:
        with asking(made.store) as inquiry:
            page = seen(answer(inquiry, parse_event_question([*parameters, ("limit", str(limit)), *cursor], NOW)))
        items += page["items"]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == limit
        cursor = [("cursor", page["next_cursor"])]
    assert same(items, [oracle.item(one, ZoneInfo(zone)) for one in expected])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("now", [NOW, MOMENTS[9], MOMENTS[13]], ids=str)
def test_without_a_range_the_30_local_days_that_end_today_are_listed(
    made: EventStore, oracle: EventOracle, zone: str, now: datetime
) -> None:
    where = ZoneInfo(zone)
    today = now.astimezone(where).date()
    with asking(made.store, now) as inquiry:
        question = parse_event_question([("timezone", zone), ("limit", "1000")], now)
        found = seen(answer(inquiry, question))["items"]
    days = {today - timedelta(days=number) for number in range(30)}
    expected = [one for one in oracle.chosen() if one.fact.time.astimezone(where).date() in days]
    assert same(found, [oracle.item(one, where) for one in expected])


def test_the_latest_events_have_every_field_under_its_own_name(made: EventStore, oracle: EventOracle) -> None:
    with asking(made.store) as inquiry:
        found = events.latest(inquiry, inquiry.filters({"token": (f"{1:064x}",)}), 100)
    assert same(seen(found), [oracle.whole_item(one, UTC) | estimated(one) for one in oracle.chosen(
        {"token": (f"{1:064x}",)})[:100]])  # fmt: skip


def estimated(one: Any) -> dict[str, Any]:
    return {"tokens_estimated": True if one.fact.estimated else None}


A_FILTERS: tuple[Filters, ...] = (
    {},
    {"agent_id": ("writer",)},
    {"provider": ("openai",), "model": ("gpt-4",)},
    {"model": ("unheard-of",)},
)


@pytest.mark.parametrize("zone", ZONES)
def test_system_a_s_pages_are_found_by_number_and_by_cursor(made: EventStore, oracle: EventOracle, zone: str) -> None:
    ranges = itertools.islice(spans(ZONES.index(zone)), 4)
    for filters, (lower, upper), size in zip(A_FILTERS, ranges, (7, 50, 200, 1), strict=True):
        chosen = oracle.chosen(filters, lower, upper)
        expected = [oracle.detailed(one, ZoneInfo(zone)) for one in chosen]
        table = Table(filters, Span(lower, upper), ZoneInfo(zone), size)
        check_pages(made.store, event_lists.detailed, table, expected)


C_FILTERS: tuple[Filters, ...] = ({}, {"operation": ("TEXT_GENERATION",)}, {"platform": ("vk",)})


@pytest.mark.parametrize("wanted", ["", *SEARCHES])
def test_system_c_s_records_are_those_that_a_search_finds(made: EventStore, oracle: EventOracle, wanted: str) -> None:
    for filters, zone, (lower, upper), size in zip(
        C_FILTERS, ZONES[1:4], itertools.islice(spans(len(wanted)), 3), (200, 9, 20), strict=True
    ):
        chosen = oracle.chosen(filters, lower, upper, only_ai=True, search=wanted)
        expected = [oracle.whole_item(one, ZoneInfo(zone)) for one in chosen]
        table = Table(filters, Span(lower, upper), ZoneInfo(zone), size, search=wanted)
        check_pages(made.store, event_lists.records, table, expected)


def test_every_search_but_the_last_three_finds_something(oracle: EventOracle) -> None:
    found = [bool(oracle.chosen(only_ai=True, search=wanted)) for wanted in SEARCHES]
    assert found == [True] * (len(SEARCHES) - 3) + [False] * 3


def check_pages(
    store: Store, of: Callable[[Inquiry, Table], dict[str, Any]], table: Table, expected: list[dict[str, Any]]
) -> None:
    """The first, the last, one in between and one behind the last; and the one behind each of them by cursor."""
    pages = -(-len(expected) // table.size)
    for number in sorted({1, max(1, pages // 2), max(1, pages), pages + 1}):
        at: int | Place = number
        first = (number - 1) * table.size
        for _ in range(2):
            with asking(store) as inquiry:
                found = seen(of(inquiry, Table(table.filters, table.span, table.zone, table.size, at, table.search)))
            assert same(found["items"], expected[first : first + table.size])
            cursor = found["pagination"].pop("next_cursor")
            assert found["pagination"] == {
                "page": at if isinstance(at, int) else None,
                "page_size": table.size,
                "total_items": len(expected),
                "total_pages": pages,
            }
            first += table.size
            assert (cursor is not None) == (first < len(expected))
            if cursor is None:
                break
            at = events.place_of(cursor)


@pytest.mark.parametrize(
    "filters", [{}, {"organization_id": ("acme",)}, {"user_id": ("anna",)}, {"user_id": ("unheard-of",)}], ids=str
)
def test_system_b_s_activity_is_every_call_once(made: EventStore, oracle: EventOracle, filters: Filters) -> None:
    items: list[dict[str, Any]] = []
    after = None
    while True:
        with asking(made.store) as inquiry:
            page = seen(event_lists.activity(inquiry, filters, 60, after))
        items += page["items"]
        if page["next_cursor"] is None:
            break
        after = events.place_of(page["next_cursor"])
    assert same(items, [oracle.activity(one, UTC) for one in oracle.chosen(filters)])


def test_system_d_s_last_ten_records(made: EventStore, oracle: EventOracle) -> None:
    with asking(made.store) as inquiry:
        found = seen(event_lists.last_records(inquiry))["items"]
    assert same(found, [oracle.last_record(one, UTC) for one in oracle.chosen()[:10]])


@pytest.mark.parametrize("seed", range(5))
def test_pages_lose_and_repeat_nothing_while_events_arrive(postgres: Server, seed: int) -> None:
    """Older, newer and at the very times that pages end on."""
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    rng = random.Random(seed)
    times = [NOW - timedelta(seconds=rng.randrange(8)) for _ in range(150)]

    def event(name: str, time: datetime) -> dict[str, Any]:
        return {"id": name, "source": "s", "route": "/", "model": "m", "topic": "天氣", "time": time.isoformat()}

    at_the_start = [event(f"start-{number}", time) for number, time in enumerate(times)]
    record(store, at_the_start, NOW)
    walks: dict[str, Callable[[Connection, Place | None], events.Page]] = {
        "all": lambda connection, after: events.page(connection, Selection({}), 7, after=after),
        "numbered": lambda connection, after: numbered_page(connection, Selection({}, EVER), 7, after or 1).page,
        "found": lambda connection, after: (
            numbered_page(connection, Selection({}, search=search(connection, "天")), 7, after or 1).page
        ),
    }
    shown: dict[str, list[str]] = {name: [] for name in walks}
    places: dict[str, Place | None] = dict.fromkeys(walks)
    going = set(walks)
    step = 0
    while going:
        for name in sorted(going):
            with store.snapshot() as connection:
                page = walks[name](connection, places[name])
            shown[name] += [one["id"] for one in page.events]
            places[name] = page.following
            if page.following is None:
                going.discard(name)
        ends = [place.time for place in places.values() if place is not None]
        late = [NOW + timedelta(seconds=1), NOW - timedelta(days=1), rng.choice(times), *ends]
        record(store, [event(f"late-{step}-{number}", time) for number, time in enumerate(late)], NOW)
        step += 1
        if rng.random() < 0.3:
            fold_step(store)
    for name, ids in shown.items():
        assert len(ids) == len(set(ids)), name
        assert sorted(one for one in ids if one.startswith("start")) == sorted(one["id"] for one in at_the_start), name
    store.dispose()
    postgres.drop(url)


def test_pages_end_and_begin_within_events_of_one_time(postgres: Server) -> None:
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    sent = [{"id": str(number), "source": "s", "route": "/", "time": NOW.isoformat()} for number in range(25)]
    record(store, sent, NOW)
    expected = [one.event["id"] for one in oracle_of(url, sent, NOW, {}).chosen()]
    with store.snapshot() as connection:
        numbered = [numbered_page(connection, Selection({}), 4, number).events for number in range(1, 8)]
        assert [one["id"] for page in numbered for one in page] == expected
        found = events.page(connection, Selection({}), 4)
        ids = [one["id"] for one in found.events]
        while found.following is not None:
            found = events.page(connection, Selection({}), 4, after=found.following)
            ids += [one["id"] for one in found.events]
    assert ids == expected
    store.dispose()
    postgres.drop(url)


@dataclass(frozen=True)
class Many:
    """A store of many events over 20 days, all but the last of them folded; one in 500 has a topic to be found."""

    store: Store
    count: int


@pytest.fixture(scope="module")
def many(postgres: Server) -> Iterator[Many]:
    """Enough events that the planner does as it does with millions."""
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    count = 20_000
    sent = [
        {
            "id": str(number),
            "source": "s",
            "route": "/",
            "model": f"m{number % 3}",
            "topic": "Прогноз: 天氣" if number % 500 == 0 else f"topic {number}",
            "time": (NOW - timedelta(seconds=number * 86)).isoformat(),
        }
        for number in range(count)
    ]
    record(store, sent[100:], NOW)
    while fold_step(store):
        pass
    record(store, sent[:100], NOW)
    with store.connect() as connection:
        connection.exec_driver_sql("ANALYZE usage_events")
    yield Many(store, count)
    store.dispose()
    postgres.drop(url)


READ = text("SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_all_tables WHERE relname ~ :of")


def rows_read(store: Store, ask: Callable[[Connection], object]) -> int:
    """How many rows of events are read for an answer."""

    def until_now() -> int:
        return int(connection.execute(READ, {"of": "^usage_events_[0-9]"}).scalar_one())

    with store.snapshot() as connection:
        before = until_now()
        ask(connection)
        return until_now() - before


SIZE = 50
EVENTS_A_DAY = 86400 // 86 + 1


@pytest.mark.parametrize("only_ai", [False, True])
@pytest.mark.parametrize("span", [EVER, Span(MOMENTS[-10], NOW), Span(None, MOMENTS[-1])], ids=str)
def test_a_deep_page_reads_no_more_events_than_the_first(many: Many, only_ai: bool, span: Span) -> None:
    selection = Selection({IS_AI: [1]} if only_ai else {}, span)

    def page(number: int) -> Callable[[Connection], object]:
        return lambda connection: numbered_page(connection, selection, SIZE, number)

    with many.store.snapshot() as connection:
        total = numbered_page(connection, selection, SIZE, 1).total
    first = rows_read(many.store, page(1))
    for number in (2, total // SIZE // 2, total // SIZE, total // SIZE + 1):
        # The first page is on a day that is not over; a day is what may be looked through for events not folded yet.
        assert rows_read(many.store, page(number)) <= first + EVENTS_A_DAY < total / 4


def test_a_page_behind_a_cursor_reads_only_itself(many: Many) -> None:
    deep = Place(NOW - timedelta(seconds=86 * 15_000), 2**62)
    read = rows_read(many.store, lambda connection: events.page(connection, Selection({}), SIZE, after=deep))
    assert read <= SIZE + 1


@pytest.mark.parametrize("wanted", ["прогноз", "天", "天氣", "ПРОГНОЗ: 天", "topic 1234"])
def test_a_search_reads_what_it_finds_and_not_every_event(many: Many, wanted: str) -> None:
    def page(connection: Connection) -> int:
        selection = Selection({IS_AI: [1]}, EVER, search(connection, wanted))
        return numbered_page(connection, selection, SIZE, 1).total

    with many.store.snapshot() as connection:
        found = page(connection)
    assert 0 < found <= many.count // 500
    assert rows_read(many.store, page) <= 10 * found + 100


def test_the_fields_of_lists_are_those_of_an_event() -> None:
    assert events.FIELDS == FIELDS
