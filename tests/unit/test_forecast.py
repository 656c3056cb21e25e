"""Forecasts from daily values, against numbers that can be counted on paper and against Python's statistics."""

from decimal import Decimal
from statistics import NormalDist, stdev

import pytest

from tally.usage.forecast import CONFIDENCE, Forecast, average, backtest_error_percent


def decimals(*values: int | str) -> list[Decimal]:
    return [Decimal(value) for value in values]


def test_equal_days_go_on_as_they_were_without_any_doubt() -> None:
    assert average(decimals(*[100] * 28), 30) == Forecast(Decimal(3000), Decimal(3000), Decimal(3000))


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_bounds_come_from_the_spread_of_the_days(days: int) -> None:
    values = [5000, 5300, 4800, 5150, 4700]
    found = average(decimals(*values), days)
    margin = NormalDist().inv_cdf(0.9) * stdev(values) * (days + days**2 / len(values)) ** 0.5
    assert found.expected == 4990 * days
    assert float(found.upper - found.expected) == pytest.approx(margin, rel=1e-12)
    assert float(found.expected - found.lower) == pytest.approx(margin, rel=1e-12)


def test_the_bounds_hold_what_they_promise() -> None:
    """Of all draws from one distribution, the promised share of sums lies between the bounds."""
    normal = NormalDist(1000, 50)
    inside = 0
    for seed in range(500):
        draws = decimals(*(f"{value:.6f}" for value in normal.samples(60, seed=seed)))
        found = average(draws[:50], 10)
        inside += found.lower <= sum(draws[50:]) <= found.upper
    assert inside / 500 == pytest.approx(float(CONFIDENCE), abs=0.05)


def test_bounds_are_never_below_nothing() -> None:
    found = average(decimals(0, 0, 0, 1000), 2)
    assert found.lower == 0
    assert found.upper > found.expected == 500


@pytest.mark.parametrize(("history", "expected"), [([], 0), ([7], 21)])
def test_too_few_days_have_no_spread(history: list[int], expected: int) -> None:
    assert average(decimals(*history), 3) == Forecast(*decimals(expected, expected, expected))


def test_costs_keep_every_digit() -> None:
    assert average(decimals("0.0000000001", "0.0000000002"), 2).expected == Decimal("0.0000000003")


def test_the_backtest_forecasts_each_day_from_those_before_it() -> None:
    # After seven days of 100 comes one of 200, which was forecast as 100, and then six of 112.5.
    history = decimals(*[100] * 7, 200, *["112.5"] * 6)
    means = [100, *((900 + 112.5 * more) / (8 + more) for more in range(6))]
    errors = [abs(float(actual) - mean) / float(actual) for actual, mean in zip(history[7:], means, strict=True)]
    found = backtest_error_percent(history, average)
    assert found is not None
    assert float(found) == pytest.approx(100 * sum(errors) / 7, rel=1e-12)


def test_what_was_always_the_same_was_forecast_without_error() -> None:
    assert backtest_error_percent(decimals(*[5] * 14), average) == 0


@pytest.mark.parametrize("history", [[5] * 13, [5] * 13 + [0], [0] * 40, []])
def test_with_fewer_than_seven_days_to_compare_the_error_is_not_known(history: list[int]) -> None:
    assert backtest_error_percent(decimals(*history), average) is None
