"""The date on which a budget runs out, against what can be counted on paper."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import pytest

from tally.usage.exhaustion import BudgetState, exhausted_on

# A Wednesday, in New York the Tuesday before.
NOW = datetime(2026, 4, 29, 2, 0, tzinfo=UTC)
Window = Literal["day", "week", "month", "total"]


def ends(window: Window, amount: str, spent: str, *costs: str, zone: str = "UTC", now: datetime = NOW) -> str | None:
    """With these costs from 30 April on."""
    days = [(date(2026, 4, 30) + timedelta(days=day), Decimal(cost)) for day, cost in enumerate(costs)]
    found = exhausted_on(BudgetState(Decimal(amount), window, ZoneInfo(zone), Decimal(spent)), now, days)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("amount", "spent", "expected"),
    [
        ("100", "70", "2026-05-02"),  # 70 + 3 * 10 reaches 100 on the third day
        ("100.01", "70", "2026-05-03"),
        ("100", "60.0000000001", "2026-05-03"),
        ("100", "59.9", None),  # 99.9 after all four days
        ("100", "100", "2026-04-29"),
        ("100", "170", "2026-04-29"),
    ],
)
def test_a_budget_of_all_time_ends_when_all_is_spent(amount: str, spent: str, expected: str | None) -> None:
    assert ends("total", amount, spent, *["10"] * 4) == expected


@pytest.mark.parametrize(
    ("window", "amount", "expected"),
    [
        ("day", "10", "2026-04-30"),  # each day by itself
        ("day", "10.5", None),
        ("week", "90", "2026-05-01"),  # 70 of this week, and two days
        ("week", "115", None),  # 110 until Sunday 3 May; then 70 a week
        ("month", "80", "2026-04-30"),
        ("month", "85", "2026-05-09"),  # on 30 April 80, from 1 May anew: 9 days of 10
    ],
)
def test_a_window_begins_anew(window: Window, amount: str, expected: str | None) -> None:
    assert ends(window, amount, "0" if window == "day" else "70", *["10"] * 12) == expected


def test_a_week_begins_on_monday() -> None:
    costs = ["0", "0", "0", "0", "60", "60"]  # the last of them on Monday and Tuesday, 4 and 5 May
    assert ends("week", "100", "90", *costs) == "2026-05-05"


def test_today_is_that_of_the_budget_s_own_zone() -> None:
    assert ends("total", "1", "1") == "2026-04-29"
    assert ends("total", "1", "1", zone="America/New_York") == "2026-04-28"


def test_a_month_that_has_begun_where_the_budget_is_does_not_begin_again() -> None:
    # In Kiritimati it is 1 May already, and what is spent is of May.
    now = datetime(2026, 4, 30, 12, 0, tzinfo=UTC)
    assert ends("month", "100", "90", "0", "10", zone="Pacific/Kiritimati", now=now) == "2026-05-01"


def test_nothing_expected_ends_nothing() -> None:
    assert ends("month", "100", "99", *["0"] * 366) is None
    assert ends("month", "100", "99") is None
