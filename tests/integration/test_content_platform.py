"""System A's ranges, history, agents and models equal a count by hand, in every zone, half of it folded or not."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tally import jsontext
from tally.database import QuestionTooLarge, Store
from tally.http.endpoints.content_platform import TokenParameters
from tally.rollup import fold_step
from tally.usage import content_platform
from tally.usage.days import MAX_DAYS
from tally.usage.inquiry import Inquiry
from tests.support import content_platform_oracle as by_hand
from tests.support.functions import read_json
from tests.support.half_folded import EVERYBODY, MOMENTS, NOW, HalfFolded, half_folded
from tests.support.postgres import Server
from tests.support.store import record

ZONES = (
    "UTC", "Europe/Moscow", "Asia/Taipei", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe",
)  # fmt: skip
# Over both changes of the clocks in New York and on Lord Howe.
RANGES: tuple[dict[str, str], ...] = (
    {},
    {"days": "1"},
    {"days": "7"},
    {"days": "45"},
    {"start_date": "2025-09-30", "end_date": "2025-11-05"},
    {"start_date": "2025-11-02", "end_date": "2025-11-02"},
    {"start_date": "2026-03-07", "end_date": "2026-03-09"},
    {"start_date": "2026-04-05"},
    {"end_date": "2025-11-02"},
)
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"ai_provider": "openai"},
    {"agent_id": "writer", "ai_model": "gpt-4"},
    {"ai_model": ""},
    {"ai_model": "unheard-of"},
)
NOWS = (NOW, *(MOMENTS[number] + timedelta(seconds=step) for number in (4, 7, 12, 17) for step in (-1, 0)))
FUNCTIONS = {
    "tokens": content_platform.totals_of_days,
    "history": content_platform.history,
    "by-agent": content_platform.by_agent,
    "by-model": content_platform.by_model,
}


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    """The events of this module."""
    with half_folded(postgres) as made:
        yield made


def asked(store: Store, name: str, given: Mapping[str, str], now: datetime = NOW) -> Any:
    """An answer as a client reads it."""
    parameters = TokenParameters.model_validate(given)
    with store.connect() as connection:
        found = FUNCTIONS[name](Inquiry(connection, EVERYBODY, now), parameters.local_days(now), parameters.filters())
    return read_json(jsontext.dump_answer(found))


def cases(zone: str) -> Iterator[tuple[dict[str, str], datetime]]:
    """Every range twice, with filters and times of asking in turn, which begin elsewhere for each zone."""
    turn = ZONES.index(zone)
    filters = itertools.islice(itertools.cycle(FILTERS), turn, None)
    nows = itertools.islice(itertools.cycle(NOWS), turn, None)
    for chosen, filtered, now in zip((*RANGES, *RANGES), filters, nows, strict=False):
        yield {**chosen, **filtered, "timezone": zone}, now


@pytest.mark.parametrize("zone", ZONES)
def test_totals_history_agents_and_models_are_as_counted_by_hand(half: HalfFolded, zone: str) -> None:
    facts = half.oracle.facts
    for given, now in cases(zone):
        assert asked(half.store, "tokens", given, now) == by_hand.tokens(facts, given, now), (given, now)
        assert asked(half.store, "history", given, now)["history"] == by_hand.history(facts, given, now), (given, now)
        agents = by_hand.by(["agent_id"], facts, given, now)
        assert asked(half.store, "by-agent", given, now)["agents"] == agents, (given, now)
        models = by_hand.by(["ai_provider", "ai_model"], facts, given, now)
        assert asked(half.store, "by-model", given, now)["models"] == models, (given, now)


def test_the_cases_have_events_and_rows_without_a_value(half: HalfFolded) -> None:
    agents = asked(half.store, "by-agent", {})["agents"]
    assert {row["agent_id"] for row in agents} == {"writer", "critic", None}
    assert sum(row["share"] for row in agents) == pytest.approx(100, abs=1)
    assert asked(half.store, "tokens", {"days": "1"})["requests_count"] > 0


@pytest.mark.parametrize("zone", ZONES)
def test_days_of_history_add_up_to_the_total(half: HalfFolded, zone: str) -> None:
    total = asked(half.store, "tokens", {"timezone": zone})
    history = asked(half.store, "history", {"timezone": zone})["history"]
    assert history[0]["requests_count"] > 0
    assert history[-1]["date"] == str(NOW.astimezone(ZoneInfo(zone)).date())
    for name in ("total_tokens", "prompt_tokens", "completion_tokens", "requests_count"):
        assert sum(day[name] for day in history) == total[name]


def test_a_day_that_the_clocks_repeat_an_hour_of_is_one_day_of_25_hours(store: Store) -> None:
    first = datetime(2025, 11, 2, 4, tzinfo=UTC)  # midnight in New York
    events = [
        {"id": str(hour), "source": "clocks", "route": "/", "time": (first + timedelta(hours=hour)).isoformat()}
        for hour in range(-1, 26)
    ]
    record(store, events[::2], NOW)
    fold_step(store)
    record(store, events[1::2], NOW)
    given = {"start_date": "2025-11-01", "end_date": "2025-11-03", "timezone": "America/New_York"}
    history = asked(store, "history", given)["history"]
    assert [(row["date"][-2:], row["requests_count"]) for row in history] == [("01", 1), ("02", 25), ("03", 1)]


def test_without_events_there_is_no_first_day(store: Store) -> None:
    assert asked(store, "history", {}) == {"history": []}
    assert asked(store, "by-agent", {}) == {"agents": []}
    assert asked(store, "by-model", {}) == {"models": []}
    assert len(asked(store, "history", {"days": "3"})["history"]) == 3


def test_history_that_begins_after_it_ends_today_is_empty(store: Store) -> None:
    assert asked(store, "history", {"start_date": "2026-05-01"}) == {"history": []}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_history_is_bounded_by_a_number_of_days(store: Store, zone: str) -> None:
    last = date(2026, 3, 31)
    first = last - timedelta(days=MAX_DAYS - 1)
    given = {"start_date": str(first), "end_date": str(last), "timezone": zone}
    assert len(asked(store, "history", given)["history"]) == MAX_DAYS
    with pytest.raises(QuestionTooLarge, match=str(MAX_DAYS)):
        asked(store, "history", given | {"start_date": str(first - timedelta(days=1))})


def test_history_without_a_first_day_says_when_there_would_be_too_many(store: Store) -> None:
    record(store, [{"id": "1", "source": "old", "route": "/", "time": "2026-03-01T12:00:00Z"}], NOW)
    fold_step(store)
    within = asked(store, "history", {"end_date": str(date(2026, 3, 1) + timedelta(days=MAX_DAYS - 1))})["history"]
    assert (len(within), within[0]["date"]) == (MAX_DAYS, "2026-03-01")
    with pytest.raises(QuestionTooLarge, match="start_date"):
        asked(store, "history", {"end_date": str(date(2026, 3, 1) + timedelta(days=MAX_DAYS))})
