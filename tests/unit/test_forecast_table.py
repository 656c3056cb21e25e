"""A forecast in the terminal: its lines and notes, and that they fit."""

import io
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from tally.usage.forecast_question import ForecastQuestion
from tally.usage.forecast_table import lines, notes, rendered

QUESTION = ForecastQuestion(2, 84, ZoneInfo("Europe/Moscow"), "USD", {})
FOUND: dict[str, Any] = {
    "tokens": 123_456_789,
    "cost": Decimal("12345.6789"),
    "lower": 100_000_000,
    "upper": 150_000_000,
    "confidence": Decimal("0.8"),
    "backtest_error_percent": Decimal("12.5"),
    "method": "weekday",
    "budget_exhausted_on": None,
    "days": [
        {"date": "2026-05-01", "tokens": 123_000_000, "cost": Decimal("12345"), "lower": 9, "upper": 150_000_000},
        {"date": "2026-05-02", "tokens": 456_789, "cost": Decimal("0.6789"), "lower": 0, "upper": 500_000},
    ],
}


def shown(found: dict[str, Any], width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, markup=False, highlight=False).print(rendered(QUESTION, found))
    return out.getvalue()


def test_each_day_is_a_line_and_the_last_is_the_sum() -> None:
    assert lines(FOUND) == [
        ["Fri 2026-05-01", "123,000,000", "9", "150,000,000", "12,345.0000"],
        ["Sat 2026-05-02", "456,789", "0", "500,000", "0.6789"],
        ["total", "123,456,789", "100,000,000", "150,000,000", "12,345.6789"],
    ]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "weekday: the pattern of the week, on a level that moves, learnt from up to 84 days"),
        ({}, "past weeks forecast this way were off by 12.5 % of their tokens, day by day"),
        ({"backtest_error_percent": None}, "no week of the past to compare with"),
        ({"method": "average"}, "average: every day is the average of the past ones, learnt from up to 84 days"),
        ({"budget_exhausted_on": "2026-05-02"}, "a budget runs out on 2026-05-02"),
        ({"unconverted_requests": 1}, "not in the cost: 1 past request with a cost that has no rate to USD"),
        ({"unconverted_requests": 1200}, "not in the cost: 1,200 past requests with a cost that has no rate to USD"),
    ],
)
def test_notes_say_where_it_comes_from_and_what_is_not_in_it(changed: dict[str, Any], says: str) -> None:
    assert says in notes(QUESTION, FOUND | changed)
    assert len(notes(QUESTION, FOUND)) == 2


def test_it_begins_with_the_days_and_their_zone() -> None:
    assert shown(FOUND, 100).splitlines()[0] == "2026-05-01 to 2026-05-02, Europe/Moscow"
    one = {**FOUND, "days": FOUND["days"][:1]}
    assert shown(one, 100).splitlines()[0] == "2026-05-01, Europe/Moscow"


def test_a_table_fits_into_eighty_columns() -> None:
    text = shown(FOUND, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "12,345.6789" in text
