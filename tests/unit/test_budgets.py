"""Windows of budgets, how they stand, whose calls count, and what is expected at the end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tally.budgets.budget import Budget, BudgetWindow, Standing, Subject
from tally.budgets.forecast import at_end
from tally.usage.coverage import Span
from tests.support.half_folded import ZONES

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "budgets.yml").read_text("utf-8")
)
NOW = datetime(2026, 5, 11, 12, tzinfo=UTC)
EVERYBODY = Subject()
D = Decimal


def budget(
    window: BudgetWindow = "month", timezone: str = "UTC", amount: str = "100", thresholds: Sequence[str] = ()
) -> Budget:
    percentages = tuple(map(Decimal, thresholds))
    return Budget("1", "b", EVERYBODY, D(amount), "USD", window, timezone, percentages, False, NOW, NOW)


def instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@pytest.mark.parametrize("case", CASES["windows"], ids=lambda case: case["name"])
def test_a_window_is_the_calendars_in_the_budgets_own_zone(case: dict[str, Any]) -> None:
    found = budget(case["window"], case["timezone"]).span_at(datetime.fromisoformat(case["now"]))
    assert found == Span(instant(case["start"]), instant(case["end"]))


@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    window=st.sampled_from(["day", "week", "month"]),
    timezone=st.sampled_from(ZONES),
)
def test_now_is_in_its_window_and_windows_follow_each_other(now: datetime, window: BudgetWindow, timezone: str) -> None:
    one = budget(window, timezone)
    span = one.span_at(now)
    assert span.lower is not None
    assert span.upper is not None
    assert span.lower <= now < span.upper
    assert one.span_at(span.lower) == one.span_at(span.upper - timedelta(microseconds=1)) == span
    assert one.span_at(span.upper).lower == span.upper


def test_a_zone_that_is_not_known_is_said() -> None:
    with pytest.raises(ValueError, match="Nowhere/City"):
        budget(timezone="Nowhere/City").span_at(NOW)


@pytest.mark.parametrize("case", CASES["standings"], ids=lambda case: case["name"])
def test_what_is_crossed_and_left_is_exact(case: dict[str, Any]) -> None:
    one = budget(amount=case["amount"], thresholds=case["thresholds"])
    standing = Standing(one, one.span_at(NOW), D(case["spent"]))
    assert standing.crossed == tuple(map(Decimal, case["crossed"]))
    assert standing.left == D(case["left"])
    assert standing.percent == D(case.get("percent", standing.percent))
    assert standing.is_exhausted == (standing.left <= 0)


def test_a_window_is_shown_with_the_offset_in_force_at_each_end() -> None:
    one = budget(timezone="Pacific/Chatham")
    shown = Standing(one, one.span_at(datetime(2026, 4, 15, tzinfo=UTC)), D(0)).shown_span()
    assert shown == {"window_start": "2026-04-01T00:00:00+13:45", "window_end": "2026-05-01T00:00:00+12:45"}
    total = budget("total")
    assert Standing(total, total.span_at(NOW), D(0)).shown_span() == {"window_start": None, "window_end": None}


@pytest.mark.parametrize(
    ("subject", "counts"),
    [
        (Subject(), True),
        (Subject(organization_id="acme"), True),
        (Subject(organization_id="acme", user_id="anna"), True),
        (Subject(organization_id="acme", user_id="boris"), False),
        (Subject(user_id="anna", model="gpt-4o"), False),
        (Subject(token_id="1"), False),
    ],
)
def test_a_call_counts_that_has_all_that_the_subject_names(subject: Subject, *, counts: bool) -> None:
    assert subject.covers(Subject(organization_id="acme", user_id="anna")) is counts


@pytest.mark.parametrize(
    ("history", "days", "left_of_today", "expected"),
    [
        ([10, 10, 10, 10], 1, D("0.5"), 105),  # half of today is to come
        ([10, 10, 10, 10], 1, D(0), 100),  # the last instant of the window
        ([10, 10, 10, 10], 21, D("0.25"), D("302.5")),  # a quarter of today, and 20 days
        ([0, 0, 20, 40, 50], 3, D(1), 235),  # the day on which it began is not a whole one: 45 a day
        ([0, 0, 0, 20], 2, D(1), 140),  # but better than nothing
        ([9, 60, 0, 0], 2, D(1), 140),  # days without a cost since then count
        ([0, 0, 0], 10, D(1), None),  # nothing to learn from
        ([], 10, D(1), None),
    ],
)
def test_what_is_expected_at_the_end_is_what_is_spent_and_what_is_to_come(
    history: list[int], days: int, left_of_today: Decimal, expected: object
) -> None:
    assert at_end(D(100), [*map(Decimal, history)], days, left_of_today) == expected
