"""Every figure equals a count by hand, in every zone, whatever of it is folded already."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tally import jsontext, tokens
from tally.database import Store
from tally.rollup import fold_step
from tally.usage import content_platform, gateway
from tally.usage.answer import answer
from tally.usage.inquiry import Inquiry
from tally.usage.question import parse_question
from tests.support.events import LABELS, random_events
from tests.support.functions import ADMIN, Function, Functions, read_json
from tests.support.half_folded import EVERYBODY, MOMENTS, NOW, ZONES, HalfFolded, half_folded
from tests.support.oracle import DIMENSIONS, METRICS, Oracle, Question, assert_same, is_percentile, sort_key
from tests.support.postgres import Server, settings_of
from tests.support.store import record


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    """The events of this module."""
    with half_folded(postgres) as made:
        yield made


@pytest.fixture(scope="module")
def oracle(half: HalfFolded) -> Oracle:
    """Knows what the store of this module holds."""
    return half.oracle


@pytest.fixture(scope="module")
def store(half: HalfFolded) -> Store:
    """Holds it."""
    return half.store


@pytest.fixture(scope="module")
def query(half: HalfFolded, module_functions: Functions) -> Iterator[Function]:
    """The function on the same events."""
    tokens.register_admin(half.store, ADMIN)
    yield module_functions.start("query", half.url)
    module_functions.stop_all()


@pytest.fixture(scope="module")
def module_store(postgres: Server) -> Iterator[Store]:
    """Another database, for events of single tests."""
    url = postgres.create()
    store = Store(settings_of(url), "tests")
    yield store
    store.dispose()
    postgres.drop(url)


def test_half_of_the_events_are_not_folded(store: Store, oracle: Oracle) -> None:
    with store.connect() as connection:
        row = connection.exec_driver_sql(
            "SELECT count(*) FILTER (WHERE txid < watermark), count(*) FROM usage_events, fold_state"
        ).one()
    assert tuple(row) == (len(oracle) // 2, len(oracle))


def instants() -> st.SearchStrategy[datetime]:
    beside = st.sampled_from([0, 0, 0, 1, -1, 3600 * 10**6, 1800 * 10**6, -900 * 10**6, 5_000_000_000_123])
    return st.builds(lambda moment, by: moment + timedelta(microseconds=by), st.sampled_from(MOMENTS), beside)


def ranges(longest: int, zone: str) -> st.SearchStrategy[tuple[str, str]]:
    """Of up to `longest` days, as dates or as instants."""

    def written(lower: datetime, length: timedelta, dates: bool) -> tuple[str, str]:
        upper = lower + length
        if dates:
            first = lower.astimezone(ZoneInfo(zone)).date()
            return str(first), str(first + timedelta(days=max(1, length.days)))
        return lower.isoformat(), upper.isoformat()

    lengths = [timedelta(microseconds=1), timedelta(minutes=40), timedelta(hours=5), timedelta(days=1)]
    lengths += [timedelta(days=3, hours=7), timedelta(days=31), timedelta(days=75), timedelta(days=220)]
    fitting = [length for length in lengths if length <= timedelta(days=longest)]
    return st.builds(written, instants(), st.sampled_from(fitting), st.booleans())


@st.composite
def questions(draw: st.DrawFn, *, percentiles: bool = True) -> Question:
    """Any question of /v1/usage that is answered within reasonable time."""
    metrics = [name for name in METRICS if percentiles or not is_percentile(name)]
    by = [*DIMENSIONS, *(f"label:{name}" for name in (*LABELS, "nobody"))]
    window = draw(st.sampled_from(["none", "none", "15m", "hour", "day", "day", "week", "month"]))
    zone = draw(st.sampled_from(ZONES))
    fill = window != "none" and draw(st.booleans())
    longest = {"15m": 4, "hour": 8}.get(window, 31 if fill else 220)
    filters = {
        name: draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=2, unique=True))
        for name in draw(st.lists(st.sampled_from(by), max_size=2, unique=True))
    }
    return Question(
        metrics=draw(st.lists(st.sampled_from(metrics), min_size=1, max_size=5, unique=True)),
        group_by=draw(st.lists(st.sampled_from(by), max_size=2, unique=True)),
        window=window,
        range=draw(st.none() | ranges(longest, zone)) if window not in ("15m", "hour") else draw(ranges(longest, zone)),
        timezone=zone,
        currency=draw(st.sampled_from(["USD", "USD", "RUB", "EUR", "JPY", "CHF"])),
        filters=filters,
        fill=fill,
    )


def filter_values() -> dict[str, list[str]]:
    rng = random.Random(1)
    values: dict[str, set[str]] = {name: {"", "unheard-of"} for name in DIMENSIONS}
    values |= {f"label:{name}": {"", "unheard-of", *of} for name, of in LABELS.items()}
    values["label:nobody"] = {"", "x"}
    values["status"] = {"", "418"}
    values["status_class"] = {"", "1xx"}
    probe = Oracle()
    for event in random_events(rng, [NOW] * 300):
        probe.add(event, NOW)
    for fact in probe.facts:
        for name, found in values.items():
            found.add(str(fact.dimension(name) or ""))
    return {name: sorted(found) for name, found in values.items()}


VALUES = filter_values()


def seen(content: object) -> Any:
    """An answer as a client reads it."""
    return read_json(jsontext.dump_answer(content))


def ordered(question: Question, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: sort_key(question, row))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(question=questions())
def test_any_question_is_answered_as_counted_by_hand(store: Store, oracle: Oracle, question: Question) -> None:
    with store.connect() as connection:
        found = seen(answer(Inquiry(connection, EVERYBODY, NOW), parse_question(question.parameters(), NOW)))
    assert_same(ordered(question, found["rows"]), oracle.usage(question, NOW))
    assert found["next_cursor"] is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(question=questions().filter(lambda question: question.range is not None))
def test_the_function_answers_the_same_over_http(query: Function, oracle: Oracle, question: Question) -> None:
    found = query.get("/v1/usage", params=question.parameters())
    assert found.status_code == 200, found.text
    assert_same(ordered(question, read_json(found.content)["rows"]), oracle.usage(question, NOW))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(question=questions(), number=st.integers(1, 12))
def test_pages_put_together_are_the_whole_answer(store: Store, question: Question, number: int) -> None:
    with store.snapshot() as connection:
        inquiry = Inquiry(connection, EVERYBODY, NOW)
        whole = seen(answer(inquiry, parse_question(question.parameters(), NOW)))["rows"]
        own = [*question.parameters(), ("limit", str(max(1, len(whole) // number)))]
        pages: list[dict[str, Any]] = []
        page = seen(answer(inquiry, parse_question(own, NOW)))
        while True:
            pages += page["rows"]
            if page["next_cursor"] is None:
                break
            page = seen(answer(inquiry, parse_question([*own, ("cursor", page["next_cursor"])], NOW)))
    assert pages == whole


@pytest.mark.parametrize("zone", ZONES)
def test_system_a_counts_today_this_month_and_all_time(store: Store, oracle: Oracle, zone: str) -> None:
    nows = [NOW, *(moment + timedelta(seconds=step) for moment in MOMENTS[5:16] for step in (-1, 0))]
    every_filter: tuple[dict[str, str], ...] = (
        {},
        {"provider": "openai"},
        {"agent_id": "writer", "model": "gpt-4"},
        {"model": "unheard-of"},
    )
    for now, filters in zip(nows, itertools.cycle(every_filter)):
        with store.connect() as connection:
            given = {name: (value,) for name, value in filters.items()}
            found = seen(content_platform.summary(Inquiry(connection, EVERYBODY, now), ZoneInfo(zone), given))
        assert found == oracle.summary(zone, filters, now)


@pytest.mark.parametrize("hours", [1, 2, 24, 100, 24 * 30, 24 * 200])
@pytest.mark.parametrize("now", [NOW, NOW.replace(minute=0, second=0, microsecond=0), MOMENTS[-4]], ids=str)
def test_system_d_counts_hours_tokens_and_routes(store: Store, oracle: Oracle, hours: int, now: datetime) -> None:
    with store.connect() as connection:
        found = seen(gateway.stats(Inquiry(connection, EVERYBODY, now), hours))
    expected = oracle.stats(hours, now)
    assert found["overview"] == expected["overview"]
    assert found["hourly_usage"] == expected["hourly_usage"]
    for top, name, all_of_them in (
        (found["top_tokens"], "token_hash", expected["tokens"]),
        (found["top_routes"], "route_path", expected["routes"]),
    ):
        assert len(top) == min(10, len(all_of_them))
        counts = [row.get("usage_count", row.get("call_count")) for row in top]
        most = sorted((row.get("usage_count", row.get("call_count")) for row in all_of_them.values()), reverse=True)
        assert counts == most[:10]
        for row in top:
            assert {key: value for key, value in row.items() if key not in (name, "id")} == all_of_them[row[name]]


def asked(store: Store, *parameters: tuple[str, str]) -> Any:
    with store.connect() as connection:
        return seen(answer(Inquiry(connection, EVERYBODY, NOW), parse_question(parameters, NOW)))


@pytest.mark.parametrize("folded", [True, False])
def test_1730_utc_on_the_last_of_a_month_is_the_next_month_in_tokyo_only(module_store: Store, folded: bool) -> None:
    source = f"month-{folded}"
    record(module_store, [{"id": "1", "source": source, "route": "/", "time": "2026-01-31T17:30:00Z"}], NOW)
    while folded and fold_step(module_store):
        pass
    for zone, month in (("Asia/Tokyo", "2026-02-01T00:00:00+09:00"), ("America/New_York", "2026-01-01T00:00:00-05:00")):
        span = (("from", "2025-12-01"), ("to", "2026-04-01"))
        found = asked(module_store, *span, ("timezone", zone), ("window", "month"), ("source", source))
        assert [(row["window_start"], row["requests"]) for row in found["rows"]] == [(month, 1)]
    february = (("from", "2026-02-01"), ("to", "2026-03-01"), ("source", source))
    [tokyo] = asked(module_store, *february, ("timezone", "Asia/Tokyo"))["rows"]
    [new_york] = asked(module_store, *february, ("timezone", "America/New_York"))["rows"]
    assert (tokyo["requests"], new_york["requests"]) == (1, 0)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("America/New_York", "2026-03-08", 23), ("America/New_York", "2025-11-02", 25), ("UTC", "2026-03-08", 24)],
)
def test_a_day_on_which_the_clocks_change_has_23_or_25_hours(
    module_store: Store, zone: str, day: str, hours: int
) -> None:
    where = ZoneInfo(zone)
    first = datetime.fromisoformat(day).replace(tzinfo=where).astimezone(UTC)
    source = f"clocks-{zone}-{day}"
    events = [
        {"id": str(hour), "source": source, "route": "/", "time": (first + timedelta(hours=hour)).isoformat()}
        for hour in range(-1, 26)
    ]
    record(module_store, events[::2], NOW)
    fold_step(module_store)
    record(module_store, events[1::2], NOW)
    span = (("from", day), ("to", str(datetime.fromisoformat(day).date() + timedelta(days=1))))
    own = (*span, ("timezone", zone), ("source", source))
    assert asked(module_store, *own)["rows"][0]["requests"] == hours
    assert asked(module_store, *own, ("window", "day"))["rows"][0]["requests"] == hours
    by_hour = asked(module_store, *own, ("window", "hour"))["rows"]
    assert [row["requests"] for row in by_hour] == [1] * hours
    assert len({row["window_start"] for row in by_hour}) == hours


def test_a_repeated_hour_is_two_windows_with_two_offsets(module_store: Store) -> None:
    times = ["2025-11-02T05:30:00Z", "2025-11-02T06:30:00Z"]
    events = [{"id": time, "source": "twice", "route": "/", "time": time} for time in times]
    record(module_store, events, NOW)
    span = (("from", "2025-11-02"), ("to", "2025-11-03"), ("timezone", "America/New_York"), ("source", "twice"))
    starts = [row["window_start"] for row in asked(module_store, *span, ("window", "hour"))["rows"]]
    assert starts == ["2025-11-02T01:00:00-04:00", "2025-11-02T01:00:00-05:00"]


def test_the_same_user_id_in_two_organizations_is_two_users(module_store: Store) -> None:
    events = [
        {"id": name, "source": "two-users", "route": "/", "user_id": "anna", "organization_id": name, "time": time}
        for name, time in (("acme", "2026-03-01T10:00:00Z"), ("globex", "2026-03-02T10:00:00Z"))
    ]
    record(module_store, events, NOW)
    span = (("from", "2026-03-01"), ("to", "2026-03-03"), ("source", "two-users"), ("metrics", "requests,unique_users"))
    [total] = asked(module_store, *span)["rows"]
    assert total == {"requests": 2, "unique_users": 2}
    by_user = asked(module_store, *span, ("group_by", "user_id"), ("window", "day"), ("fill", "zero"))["rows"]
    assert [row["requests"] for row in by_user] in ([1, 0, 0, 1], [0, 1, 1, 0])


@pytest.mark.parametrize("order", ["-requests", "requests", "-avg_response_time_ms", "avg_response_time_ms", "model"])
def test_rows_come_in_the_order_asked_for_with_nothing_last(store: Store, order: str) -> None:
    parameters = [("metrics", "requests,avg_response_time_ms"), ("group_by", "model,route"), ("order_by", order)]
    values = [row[order.removeprefix("-")] for row in asked(store, *parameters)["rows"]]
    present = [value for value in values if value is not None]
    assert len(present) > 5
    assert present == sorted(present, reverse=order.startswith("-"))
    assert values[len(present) :] == [None] * (len(values) - len(present))
