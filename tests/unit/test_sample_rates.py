"""Sample exchange rates are the same for the same seed and day, plausible, and there when a weekend begins."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from tally.local.sample_rates import sample_rates

FIRST, LAST = date(2026, 4, 6), date(2026, 5, 15)  # Monday and Friday
RATES = sample_rates(1, FIRST, LAST)


def test_a_day_has_the_same_rate_whatever_days_are_asked_for() -> None:
    assert sample_rates(1, FIRST, LAST) == RATES
    assert set(sample_rates(1, date(2025, 1, 1), date(2026, 12, 31))) > set(RATES)
    assert sample_rates(2, FIRST, LAST) != RATES


def test_every_workday_has_both_rates_and_weekends_have_none() -> None:
    days = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    expected = [(pair, day) for day in days if day.weekday() < 5 for pair in ("USD/RUB", "EUR/USD")]
    assert [(f"{rate.base}/{rate.quote}", rate.date) for rate in RATES] == expected
    assert {rate.source for rate in RATES} == {"sample data"}


def test_a_weekend_that_comes_first_has_the_rates_of_friday() -> None:
    sunday = date(2026, 5, 10)
    assert {rate.date for rate in sample_rates(1, sunday, sunday)} == {date(2026, 5, 8)}


def test_rates_wander_by_a_percent_a_day_around_where_they_began() -> None:
    years = sample_rates(1, date(2024, 1, 1), date(2034, 1, 1))
    for base, middle in (("USD", Decimal("92.5")), ("EUR", Decimal("1.09"))):
        path = [rate.rate for rate in years if rate.base == base]
        assert all(middle * Decimal("0.8") < rate < middle * Decimal("1.2") for rate in path)
        assert all(abs(after / before - 1) < Decimal("0.02") for before, after in pairwise(path))
        assert len(set(path)) > 100
