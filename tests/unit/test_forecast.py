"""The average, what a history is, and the backtest: against numbers that can be counted on paper, and statistics."""

import random
from collections.abc import Sequence
from decimal import Decimal
from statistics import NormalDist, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.usage.forecast import (
    average,
    backtest_error_percent,
    forecast,
    history_begins,
    method_for,
    weekday_or_average,
)
from tally.usage.interval import CONFIDENCE, Estimate

AMOUNTS = st.decimals(0, 10**15, places=10)


def decimals(*values: int | str) -> list[Decimal]:
    return [Decimal(value) for value in values]


def exactly(value: int) -> Estimate:
    return Estimate(Decimal(value), Decimal(value), Decimal(value))


def test_equal_days_go_on_as_they_were_without_any_doubt() -> None:
    found = average(decimals(*[100] * 28), 30)
    assert (found.total, found.days, found.method) == (exactly(3000), (exactly(100),) * 30, "average")


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_bounds_come_from_the_spread_of_the_days(days: int) -> None:
    values = [5000, 5300, 4800, 5150, 4700, 5100, 4950, 5000]
    found = average(decimals(*values), days)
    student = 1.4149  # 10 % are above it, with 7 degrees of freedom
    margin = student * stdev(values) * (days + days**2 / len(values)) ** 0.5
    assert found.total.expected == 5000 * days
    assert float(found.total.upper - found.total.expected) == pytest.approx(margin, rel=1e-12)
    assert float(found.total.expected - found.total.lower) == pytest.approx(margin, rel=1e-12)
    alone = student * stdev(values) * (1 + 1 / len(values)) ** 0.5
    assert [float(day.upper - day.expected) for day in found.days] == [pytest.approx(alone, rel=1e-12)] * days


@pytest.mark.parametrize("learnt", [4, 10, 50])
def test_the_bounds_hold_what_they_promise(learnt: int) -> None:
    """Of all draws from one distribution, the promised share lies between the bounds; more with weekdays unseen."""
    normal = NormalDist(1000, 50)
    sums = days = 0
    for seed in range(500):
        draws = decimals(*(f"{value:.6f}" for value in normal.samples(learnt + 10, seed=seed)))
        found = average(draws[:learnt], 10)
        sums += found.total.lower <= sum(draws[learnt:]) <= found.total.upper
        days += sum(day.lower <= draw <= day.upper for day, draw in zip(found.days, draws[learnt:], strict=True))
    if learnt < 7:
        assert min(sums / 500, days / 5000) > CONFIDENCE
    else:
        assert sums / 500 == pytest.approx(float(CONFIDENCE), abs=0.05)
        assert days / 5000 == pytest.approx(float(CONFIDENCE), abs=0.02)


def test_bounds_are_never_below_nothing() -> None:
    found = average(decimals(0, 0, 0, 1000), 2).total
    assert found.lower == 0
    assert found.upper > found.expected == 500


def test_a_single_day_goes_on_with_much_doubt() -> None:
    found = average(decimals(7), 3).total
    assert found.expected == 21
    assert found.lower == 0
    assert found.upper > 3 * 21


def test_nothing_goes_on_as_nothing() -> None:
    for history in ([], [0], [0] * 40):
        found = forecast(decimals(*history), 2)
        assert (found.total, found.days, found.method) == (exactly(0), (exactly(0),) * 2, "average")


def test_costs_keep_every_digit() -> None:
    assert average(decimals("0.0000000001", "0.0000000002"), 2).total.expected == Decimal("0.0000000003")


def test_one_day_far_out_of_line_counts_as_the_median_in_an_average() -> None:
    assert average(decimals(90, 110, 10_000, 100, 95, 0), 1).total.expected == Decimal(90 + 110 + 100 + 100 + 95) / 6
    two = decimals(90, 110, 10_000, 9000, 95, 100)
    assert average(two, 1).total.expected == sum(two) / 6


def test_a_day_far_out_of_line_does_not_spoil_a_pattern_of_two_weeks() -> None:
    week = [100, 100, 100, 100, 100, 30, 20]
    history = [*week, *week]
    history[3] = 10_000
    found = weekday_or_average(decimals(*history), 7)
    assert found.method == "weekday"
    assert [float(day.expected) for day in found.days] == pytest.approx(week)


def test_fewer_than_two_weeks_are_an_average_and_more_have_a_pattern() -> None:
    week = decimals(100, 100, 100, 100, 100, 30, 0)
    assert forecast(week * 2, 1).method == "weekday"
    assert float(forecast(week * 2, 1).total.expected) == pytest.approx(100)
    assert forecast(week[1:] + week, 1).method == "average"
    assert forecast(week[1:] + week, 1).total.expected == Decimal(5 * 100 + 4 * 100 + 2 * 30) / 13


@given(st.lists(AMOUNTS, max_size=40), st.integers(1, 40))
def test_bounds_enclose_what_is_expected_and_days_add_up(history: Sequence[Decimal], days: int) -> None:
    found = forecast(history, days)
    assert len(found.days) == days
    for estimate in (found.total, *found.days):
        assert 0 <= estimate.lower <= estimate.expected <= estimate.upper
    assert sum(day.expected for day in found.days) == pytest.approx(found.total.expected, rel=Decimal("1e-20"))


@pytest.mark.parametrize(
    ("requests", "begins"),
    [([], 0), ([0, 0, 0], 0), ([0, 0, 3, 5, 0], 3), ([0, 0, 3], 2), ([0, 3, 0, 0], 1), ([4, 5, 6], 1)],
)
def test_a_history_begins_after_the_day_during_which_usage_began(requests: list[int], begins: int) -> None:
    assert history_begins(requests) == begins


def test_the_backtest_forecasts_each_week_from_the_days_before_it() -> None:
    # Seven days of 100 foresee 700 for a week that has 100 every day but for 240 once; all these foresee 110 a day.
    history = decimals(*[100] * 7, *[100] * 6, 240, *[110] * 7)
    assert backtest_error_percent(history, average) == Decimal(140 + 0) * 100 / (840 + 770)


def test_what_was_always_the_same_was_forecast_without_error() -> None:
    for method in (average, weekday_or_average):
        assert backtest_error_percent(decimals(*[5] * 14), method) == 0


def test_a_day_of_nothing_was_forecast_wrongly_too() -> None:
    assert backtest_error_percent(decimals(*[5] * 13, 0), average) == Decimal(5) * 100 / 30


@pytest.mark.parametrize("history", [[5] * 13, [0] * 40, []])
def test_with_fewer_than_seven_days_to_compare_the_error_is_not_known(history: list[int]) -> None:
    assert backtest_error_percent(decimals(*history), weekday_or_average) is None
    assert method_for(decimals(*history)) == (weekday_or_average, None)


def test_the_method_is_the_one_that_was_less_wrong() -> None:
    week = [100, 100, 100, 100, 100, 30, 0]
    method, error = method_for(decimals(*week * 5))
    assert method is weekday_or_average
    assert error == backtest_error_percent(decimals(*week * 5), weekday_or_average)
    rng = random.Random(1)
    noise = decimals(*(rng.randint(1, 1000) for _ in range(84)))
    method, error = method_for(noise)
    assert method is average
    assert error == backtest_error_percent(noise, average)
    assert forecast(noise, 30) == average(noise, 30)
