"""System C's figures equal a count by hand, in every zone, half of it folded or not, without what plain calls cost."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tally import jsontext
from tally.database import Store
from tally.http.endpoints.generator import ForecastParameters, StatisticsParameters, TopParameters, TotalParameters
from tally.http.endpoints.parameters import PeriodParameters
from tally.rollup import fold_step
from tally.usage import generator
from tally.usage.days import last_days
from tally.usage.inquiry import Inquiry
from tests.support import generator_oracle as by_hand
from tests.support.functions import read_json
from tests.support.half_folded import EVERYBODY, MOMENTS, NOW, HalfFolded, half_folded
from tests.support.postgres import Server, execute
from tests.support.store import record

ZONES = (
    "UTC", "Europe/Moscow", "Asia/Taipei", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe",
)  # fmt: skip
NOWS = (NOW, *(MOMENTS[number] + timedelta(seconds=step) for number in (4, 7, 12, 17) for step in (-1, 0)))
CURRENCIES = ("RUB", "USD", "EUR", "CHF")
# Over both changes of the clocks in New York and on Lord Howe.
RANGES: tuple[dict[str, str], ...] = (
    {},
    {"days": "1"},
    {"days": "200"},
    {"start": "2025-09-30", "end": "2025-11-05"},
    {"start": "2025-11-02", "end": "2025-11-02"},
    {"start": "2026-03-07", "end": "2026-03-09"},
    {"start": "2026-01-31T18:15:00Z", "end": "2026-03-08T07:00:00.000001Z"},
    {"start": "2026-03-08", "end": "2026-04-05T03:00:00+05:45"},
    {"start": "2025-09-01T00:00:00Z"},
    {"end": "2025-11-02"},
    {"end": "2025-11-02T05:30:00Z"},
)


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    """The events of this module."""
    with half_folded(postgres) as made:
        yield made


def asked(store: Store, question: Callable[[Inquiry], Any], now: Any = NOW) -> Any:
    """An answer as a client reads it."""
    with store.connect() as connection:
        return read_json(jsontext.dump_answer(question(Inquiry(connection, EVERYBODY, now))))


def total_tokens(store: Store, given: Mapping[str, str], now: Any = NOW) -> Any:
    parameters = TotalParameters.model_validate(given)
    return asked(
        store, lambda inquiry: generator.total_tokens(inquiry, parameters.span(now), parameters.filters()), now
    )


def top_users(store: Store, given: Mapping[str, str], now: Any = NOW) -> Any:
    parameters = TopParameters.model_validate(given)
    span, limit, currency = parameters.span(now), parameters.limit, parameters.currency
    return asked(store, lambda inquiry: generator.top_users(inquiry, span, limit, currency), now)["items"]


def by_token_type(store: Store, given: Mapping[str, str], now: Any = NOW) -> Any:
    span = PeriodParameters.model_validate(given).span(now)
    return asked(store, lambda inquiry: generator.by_token_type(inquiry, span), now)["items"]


def statistics(store: Store, given: Mapping[str, str], now: Any = NOW) -> Any:
    parameters = StatisticsParameters.model_validate(given)
    days, currency = parameters.days, parameters.currency
    span = last_days(days, now, parameters.zone()).span
    return asked(store, lambda inquiry: generator.statistics(inquiry, span, days, currency), now)


def forecast(store: Store, given: Mapping[str, str], now: Any = NOW) -> Any:
    parameters = ForecastParameters.model_validate(given)
    where, days, past, currency = parameters.zone(), parameters.days, parameters.history_days, parameters.currency
    return asked(
        store, lambda inquiry: generator.forecast(inquiry, currency, zone=where, days=days, history_days=past), now
    )


def cases(zone: str, ranges: Sequence[dict[str, str]]) -> Iterator[tuple[dict[str, str], Any]]:
    """Every range, with currencies and times of asking in turn, which begin elsewhere for each zone."""
    turn = ZONES.index(zone)
    nows = itertools.islice(itertools.cycle(NOWS), turn, None)
    for chosen, now in zip(ranges, nows, strict=False):
        start = chosen.get("start", "")
        if "end" not in chosen and start > now.isoformat():
            now = NOW  # noqa: PLW2901 - a range that has begun
        yield {**chosen, "timezone": zone}, now


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("days", ["1", "7", "45", "220"])
def test_statistics_are_as_counted_by_hand(half: HalfFolded, zone: str, days: str) -> None:
    for currency, now in zip(CURRENCIES, itertools.islice(NOWS, ZONES.index(zone) % 4, None), strict=False):
        given = {"days": days, "timezone": zone, "currency": currency}
        found = statistics(half.store, given, now)
        for operation in found["by_operation"].values():
            del operation["name"]
        assert found == by_hand.statistics(half.oracle.facts, given, now), (given, now)


def test_there_are_plain_calls_with_a_cost_that_must_not_count(half: HalfFolded) -> None:
    plain = [fact for fact in half.oracle.facts if not by_hand.is_ai(fact)]
    assert len([fact for fact in plain if "RUB" in fact.costs]) > 3
    assert len([fact for fact in plain if fact.costs and "RUB" not in fact.costs]) > 3
    nameless = statistics(half.store, {"days": "220"})["by_operation"][""]
    assert nameless["name"] == "No operation"
    assert nameless["count"] > 10


@pytest.mark.parametrize("zone", ZONES)
def test_total_tokens_are_as_counted_by_hand(half: HalfFolded, zone: str) -> None:
    operations: Iterator[dict[str, str]] = itertools.cycle(
        ({}, {"operation": "TEXT_GENERATION"}, {"operation": ""}, {"operation": "unheard-of"})
    )
    for (given, now), operation in zip(cases(zone, (*RANGES, *RANGES)), operations, strict=False):
        asked_for = {**given, **operation}
        expected = by_hand.total_tokens(half.oracle.facts, asked_for, now)
        assert total_tokens(half.store, asked_for, now) == expected, (asked_for, now)


@pytest.mark.parametrize("zone", ZONES)
def test_users_are_as_counted_by_hand(half: HalfFolded, zone: str) -> None:
    currencies = itertools.cycle(CURRENCIES)
    for chosen, now in cases(zone, RANGES):
        given = {**chosen, "currency": next(currencies)}
        expected = by_hand.users(half.oracle.facts, given, now)
        for limit in (1, 3, 10, 1000):
            found = top_users(half.store, {**given, "limit": str(limit)}, now)
            assert len(found) == min(limit, len(expected))
            assert [row["total_tokens"] for row in found] == [row["total_tokens"] for row in expected[:limit]]
            for row in found:
                assert row.pop("user_name") is None
                assert row in expected, (given, now)


@pytest.mark.parametrize("zone", ZONES)
def test_token_types_are_as_counted_by_hand(half: HalfFolded, zone: str) -> None:
    for given, now in cases(zone, RANGES):
        found = by_token_type(half.store, given, now)
        assert found == by_hand.token_types(half.oracle.facts, given, now), (given, now)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("days", "past"), [("30", "28"), ("1", "2"), ("7", "14"), ("366", "90")])
def test_the_forecast_is_as_counted_by_hand(half: HalfFolded, zone: str, days: str, past: str) -> None:
    for currency, now in zip(CURRENCIES, NOWS[:1] + NOWS[-3:], strict=True):
        given = {"days": days, "history_days": past, "timezone": zone, "currency": currency}
        found, expected = forecast(half.store, given, now), by_hand.forecast(half.oracle.facts, given, now)
        assert float(found.pop("cost")) == pytest.approx(expected.pop("cost"), rel=1e-12, abs=1e-10)
        for name in ("lower", "upper"):
            assert found.pop(name) == pytest.approx(expected.pop(name), abs=1)
        assert found == expected, (given, now)


def test_plain_calls_take_nobody_s_place_among_the_top(store: Store) -> None:
    shared = {"source": "tail", "time": "2026-04-06T10:00:00Z"}
    plain = [{"id": f"call {name}", "route": "/", "user_id": name, "cost_rub": "5", **shared} for name in "abcde"]
    record(store, plain, NOW)  # first, so that these users are the earlier known ones
    events: list[dict[str, Any]] = [{"id": "ai", "model": "gpt-4", "user_id": "ai", "cost_rub": "7"}]
    events += [{"id": "call of ai", "route": "/", "user_id": "ai", "cost_rub": "100"}]
    events += [{"id": "nobody", "total_tokens": 3, "cost_rub": "1"}]
    record(store, [{**shared, **event} for event in events], NOW)
    fold_step(store)
    expected = {"user_id": "ai", "user_name": None, "total_tokens": 0, "requests": 1, "cost": 7}
    assert top_users(store, {"limit": "1"}) == [expected]
    assert top_users(store, {"limit": "10"}) == [expected]


def test_the_cost_of_a_plain_call_is_not_in_the_sum_that_it_shares_with_tokens_alone(store: Store) -> None:
    events: list[dict[str, Any]] = [{"id": "tokens", "total_tokens": 10, "cost_rub": "0.1"}]
    events += [{"id": "call", "route": "/", "cost_rub": "9"}]
    events += [{"id": "euro", "route": "/", "cost": {"amount": "1", "currency": "EUR"}}]
    record(store, [{"source": "shared", "time": "2026-04-05T10:00:00Z", **event} for event in events], NOW)
    fold_step(store)
    found = statistics(store, {})
    assert found["cost"] == {"amount": Decimal("0.1"), "currency": "RUB"}
    assert (found["total_requests"], found["total_tokens"]) == (1, 10)
    assert "unconverted_requests" not in found
    assert forecast(store, {"days": "2"})["cost"] == Decimal("0.2")


def test_a_user_is_called_as_in_the_latest_event_that_has_a_name(store: Store, database_url: str) -> None:
    def event(user: str, hour: int, tokens: int, **fields: str) -> dict[str, Any]:
        time = f"2026-04-06T{hour:02}:00:00Z"
        return {"id": f"{user} {hour} {fields}", "source": "names", "user_id": user, "time": time,
                "total_tokens": tokens, **fields}  # fmt: skip

    events = [
        event("1", 3, 50, user_name="Анна Петрова"),
        event("1", 2, 50, user_name="Анна Иванова"),
        event("1", 4, 50),
        event("2", 1, 40),
        event("2", 1, 40, organization_id="acme"),
        event("3", 1, 10, user_name="In the event"),
        event("1", 5, 5, organization_id="acme", user_name="Another one"),
    ]
    record(store, events, NOW)
    execute(
        database_url,
        "INSERT INTO users (organization_id, id, name) VALUES ('', '2', 'Registered'), ('acme', '2', NULL),"
        " ('globex', '2', 'Elsewhere'), ('', '3', 'Registered too')",
    )
    names = {(row["user_id"], row["total_tokens"]): row["user_name"] for row in top_users(store, {"days": "1"})}
    assert names == {
        ("1", 150): "Анна Петрова",
        ("2", 40): names["2", 40],
        ("3", 10): "In the event",
        ("1", 5): "Another one",
    }
    assert sorted(str(row["user_name"]) for row in top_users(store, {}) if row["user_id"] == "2") == [
        "None",
        "Registered",
    ]


def test_an_end_as_a_date_includes_that_day_and_as_a_time_excludes_it(store: Store) -> None:
    times = ["2026-03-01T20:59:59Z", "2026-03-01T21:00:00Z", "2026-03-02T20:59:59.999999Z", "2026-03-02T21:00:00Z"]
    record(store, [{"id": at, "source": "ends", "time": at, "total_tokens": 1} for at in times], NOW)
    moscow = {"timezone": "Europe/Moscow"}
    assert total_tokens(store, {"start": "2026-03-02", "end": "2026-03-02", **moscow}) == {"total_tokens": 2}
    as_time = {"start": "2026-03-02", "end": "2026-03-02T21:00:00Z", **moscow}
    assert total_tokens(store, as_time) == {"total_tokens": 2}
    assert total_tokens(store, {"start": times[1], "end": times[2]}) == {"total_tokens": 1}


def test_the_forecast_learns_from_days_that_are_over_only(store: Store) -> None:
    moscow = NOW.astimezone(ZoneInfo("Europe/Moscow")).replace(hour=0, minute=0, second=0, microsecond=0)
    events = [
        {"id": str(day), "source": "past", "total_tokens": 100, "time": (moscow - timedelta(days=day)).isoformat()}
        for day in range(1, 29)
    ]
    events += [{"id": "today", "source": "past", "total_tokens": 10**6, "time": moscow.isoformat()}]
    record(store, events, NOW)
    assert forecast(store, {"timezone": "Europe/Moscow"}) == {
        "tokens": 3000,
        "cost": 0,
        "lower": 3000,
        "upper": 3000,
        "confidence": Decimal("0.8"),
        "backtest_error_percent": 0,
        "method": "weekday",
        "budget_exhausted_on": None,
    }


def test_an_empty_database_answers_zeros(store: Store) -> None:
    assert statistics(store, {}) == {
        "total_tokens": 0,
        "total_requests": 0,
        "by_operation": {},
        "cost": {"amount": 0, "currency": "RUB"},
        "period_days": 7,
    }
    assert total_tokens(store, {}) == {"total_tokens": 0}
    assert top_users(store, {}) == []
    assert by_token_type(store, {}) == []
    assert forecast(store, {}) == {
        "tokens": 0,
        "cost": 0,
        "lower": 0,
        "upper": 0,
        "confidence": Decimal("0.8"),
        "backtest_error_percent": None,
        "method": "average",
        "budget_exhausted_on": None,
    }


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("TEXT_GENERATION", "Text generation"),
        ("image-edit", "Image edit"),
        ("chat", "Chat"),
        ("ПЕРЕВОД_ТЕКСТА", "Перевод текста"),
        ("Summary for VK", "Summary for VK"),
        ("", "No operation"),
        ("_", "_"),
    ],
)
def test_operations_have_names_for_people(code: str, name: str) -> None:
    assert generator.name_of_operation(code) == name
