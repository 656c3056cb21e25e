"""The weekday method: a pattern is found again, single days do not move it, and its bounds hold what they promise."""

import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.usage.interval import CONFIDENCE, Forecast
from tally.usage.weekday import weekday

OFFICE = (110, 120, 115, 120, 105, 35, 25)
WORKDAYS = (20, 20, 20, 20, 20, 0, 0)


def found(history: Sequence[object], days: int = 7) -> Forecast:
    forecast = weekday([Decimal(str(value)) for value in history], days)
    assert forecast is not None
    return forecast


def expected(history: Sequence[object], days: int = 7) -> list[float]:
    return [float(day.expected) for day in found(history, days).days]


def noisy(rng: random.Random, level: Callable[[int], float], days: int, noise: float = 0.15) -> list[Decimal]:
    return [Decimal(max(0.0, level(day) * OFFICE[day % 7] * rng.gauss(1, noise))) for day in range(days)]


@pytest.mark.parametrize("week", [OFFICE, WORKDAYS, (7,) * 7, (0, 0, 5, 4, 3, 2, 1), (1, 2, 3, 4, 5, 6, 700)])
@pytest.mark.parametrize("weeks", [2, 3, 4, 12, 20])
def test_a_pattern_without_noise_is_found_again_without_doubt(week: tuple[int, ...], weeks: int) -> None:
    forecast = found(week * weeks, 10)
    for day, value in zip(forecast.days, week + week[:3], strict=True):
        assert [float(one) for one in (day.expected, day.lower, day.upper)] == pytest.approx([value] * 3, abs=1e-9)
    assert float(forecast.total.expected) == pytest.approx(sum(week + week[:3]))
    assert forecast.method == "weekday"


def test_days_in_between_are_left_out() -> None:
    forecast = weekday([Decimal(value) for value in OFFICE * 4], 9, between=3)
    assert forecast is not None
    assert [float(day.expected) for day in forecast.days] == pytest.approx((*OFFICE[3:], *OFFICE[:5]))
    assert float(forecast.total.expected) == pytest.approx(sum(OFFICE[3:]) + sum(OFFICE[:5]))


def test_days_in_between_add_doubt() -> None:
    history = [100 + step for step in (0, 3, -2, 5, 9, 4) for _ in range(7)]
    now, later = (weekday([Decimal(value) for value in history], 7, between) for between in (0, 7))
    assert now is not None
    assert later is not None
    assert later.total.expected == now.total.expected
    assert later.total.upper > now.total.upper


def test_days_before_the_first_whole_week_do_not_count() -> None:
    assert expected((9999, 1, 7777, *OFFICE, *OFFICE)) == pytest.approx(OFFICE)


def test_what_is_older_than_twelve_weeks_does_not_count() -> None:
    assert expected((1,) * 70 + OFFICE * 12) == pytest.approx(OFFICE)


@pytest.mark.parametrize("history", [[], [1] * 13, [0] * 84, ([0] * 6 + [1]) * 2 + [0] * 28])
def test_too_little_to_learn_a_pattern_from_is_none(history: Sequence[int]) -> None:
    assert weekday([Decimal(value) for value in history], 7) is None


@pytest.mark.parametrize("times", [100, 10**6, "0.001"])
@pytest.mark.parametrize("back", [1, 2, 10, 27])
@pytest.mark.parametrize("weeks", [4, 12])
def test_a_day_out_of_line_moves_the_forecast_by_less_than_three_percent(
    times: int | str, back: int, weeks: int
) -> None:
    history = noisy(random.Random(f"{back} {weeks}"), lambda _: 1000, 7 * weeks)
    spoilt = [*history]
    spoilt[-back] *= Decimal(times)
    assert found(spoilt).total.expected == pytest.approx(found(history).total.expected, rel=Decimal("0.03"))


@pytest.mark.parametrize(("length", "end"), [(1, 0), (2, 0), (3, 0), (1, 5), (4, 5), (3, 17), (4, 17)])
def test_an_outage_moves_the_forecast_by_less_than_eight_percent(length: int, end: int) -> None:
    history = noisy(random.Random(f"{length} {end}"), lambda _: 1000, 56)
    spoilt = [*history]
    spoilt[56 - end - length : 56 - end] = [Decimal(0)] * length
    assert found(spoilt).total.expected == pytest.approx(found(history).total.expected, rel=Decimal("0.08"))


def test_who_stays_away_is_not_expected_back_for_ever() -> None:
    assert sum(expected([*OFFICE * 10, *[0] * 14])) < 0.2 * sum(OFFICE)


def test_days_that_are_often_out_of_line_count() -> None:
    """Every tenth day has fifty times as much: that is how the days are, and nearly all that is used."""
    history = [5000 if day % 10 == 9 else 100 for day in range(84)]
    assert sum(expected(history, 70)) == pytest.approx(70 * 590, rel=0.15)


def test_usage_on_a_day_that_never_has_any_is_out_of_line() -> None:
    history = [*WORKDAYS * 8]
    history[-8] = 90
    assert expected(history) == pytest.approx(WORKDAYS)


def test_growth_goes_on_for_a_while_and_fades() -> None:
    history = [float(OFFICE[day % 7] * (50 + day // 7)) for day in range(84)]
    forecast = found(history, 84)
    weeks = [sum(day.expected for day in forecast.days[first : first + 7]) for first in range(0, 84, 7)]
    last = sum(history[-7:])
    assert forecast.method == "weekday_trend"
    assert float(weeks[0]) == pytest.approx(last * 62 / 61, rel=0.003)
    assert all(earlier < later for earlier, later in pairwise(weeks))
    assert float(weeks[-1]) < last * 72 / 61


def test_a_decline_never_falls_below_nothing() -> None:
    history = [float(OFFICE[day % 7] * max(13 - day // 7, 0.1)) for day in range(84)]
    forecast = found(history, 366)
    assert min(day.lower for day in forecast.days) == 0
    assert all(day.expected >= 0 for day in forecast.days)


def test_a_step_is_followed_and_is_no_trend() -> None:
    forecast = found([*OFFICE * 8, *(3 * value for value in OFFICE * 4)])
    assert forecast.method == "weekday"
    assert float(forecast.total.expected) == pytest.approx(3 * sum(OFFICE), rel=0.05)


def steady(_day: int) -> float:
    return 1000


def growing(day: int) -> float:
    return 1000 + 4 * day


@pytest.mark.parametrize("level", [steady, growing])
@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_bounds_hold_what_they_promise(level: Callable[[int], float], days: int) -> None:
    """Of made-up series with a pattern and noise, the promised share of sums and of days lies between the bounds."""
    sums = inside = 0
    for seed in range(400):
        values = noisy(random.Random(f"{level.__name__} {seed}"), level, 84 + days)
        forecast = found(values[:84], days)
        sums += forecast.total.lower <= sum(values[84:]) <= forecast.total.upper
        inside += sum(day.lower <= value <= day.upper for day, value in zip(forecast.days, values[84:], strict=True))
    assert sums / 400 == pytest.approx(float(CONFIDENCE), abs=0.08)
    assert inside / 400 / days == pytest.approx(float(CONFIDENCE), abs=0.08)


@given(
    st.lists(st.integers(0, 10**6), min_size=14, max_size=60),
    st.integers(1, 10**9),
    st.integers(1, 30),
)
def test_the_unit_does_not_matter(history: Sequence[int], unit: int, days: int) -> None:
    one = weekday([Decimal(value) for value in history], days)
    other = weekday([Decimal(value * unit) for value in history], days)
    if one is None or other is None:
        assert one is other
        return
    assert other.method == one.method
    assert other.total.expected == pytest.approx(one.total.expected * unit, rel=Decimal("1e-15"), abs=Decimal("1e-9"))
