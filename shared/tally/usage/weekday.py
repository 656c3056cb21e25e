"""The weekday method: a level that moves, perhaps with a trend, times a pattern of the week. Pure.

Its parts are well known, each is cited where it is; docs/forecast.md compares the whole with others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from statistics import median

from tally.usage.interval import Forecast, estimate
from tally.usage.weeks import Week, usual, weeks_of, without_outliers

# What is older says little about the days to come.
MOST_WEEKS = 12
LEAST_WEEKS = 2
# A slope of fewer weeks is noise more often than a trend.
_WEEKS_OF_A_TREND = 8
# A slope is a trend if it is so many times its standard error.
_SIGNIFICANT = Decimal("1.5")
# What is left of a trend after a day, 0.9 after a week: few go on for long (Gardner and McKenzie, "Forecasting trends
# in time series", 1985).
_DAMPED = Decimal("0.985")
# From the middle of the last week to its last day.
_HALF_WEEK = 3
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What weeks have in common.

    Attributes:
        levels: a mean day of each week.
        factors: of each place of the week, 1 on average.
        spread: the variance of a day around level times factor, relative to the square of these.
    """

    levels: Sequence[Decimal]
    factors: Sequence[Decimal]
    spread: Decimal

    @property
    def noise(self) -> Decimal:
        """The variance of the mean of a week's seven days."""
        squares = [level**2 for level in self.levels]
        return sum(squares, _ZERO) / len(squares) * self.spread * _mean_square(self.factors) / 7


@dataclass(frozen=True, slots=True)
class _Course:
    """Where the level is in the last week and how it goes on.

    Attributes:
        slope: by week, 0 for no trend.
        error: the variance of the level.
        slope_error: the variance of the slope.
        moving: the variance by which the level moves from week to week.
    """

    level: Decimal
    slope: Decimal
    error: Decimal
    slope_error: Decimal
    moving: Decimal


@dataclass(frozen=True, slots=True)
class _Day:
    """A coming day: what is expected, the factor of its place, and how many weeks it is from the last week's middle."""

    amount: Decimal
    factor: Decimal
    weeks: Decimal


def weekday(history: Sequence[Decimal], days: int, between: int = 0) -> Forecast | None:
    """The coming days from the last whole weeks of daily values, oldest first; `between` as in `forecast`.

    None if there are fewer than two weeks, or most days have nothing. The answer is learnt from at most 12 weeks.
    """
    weeks = weeks_of(history, MOST_WEEKS)
    expected = usual(weeks) if len(weeks) >= LEAST_WEEKS else None
    if expected is None:
        return None
    pattern = _pattern(without_outliers(weeks, expected))
    course = _course(pattern)
    coming = _coming(pattern, course, range(between, between + days))
    freedom = len(weeks) - 1 if course.moving else 6 * (len(weeks) - 1)
    return Forecast(
        days=tuple(
            estimate(day.amount, variance, freedom)
            for day, variance in zip(coming, _variances(pattern, course, coming), strict=True)
        ),
        total=estimate(sum((day.amount for day in coming), _ZERO), _variance_of_sum(pattern, course, coming), freedom),
        method="weekday_trend" if course.slope else "weekday",
    )


def _pattern(weeks: Sequence[Week]) -> _Pattern:
    levels = [sum(week, _ZERO) / 7 for week in weeks]
    total = sum(levels, _ZERO)
    factors = [sum(column, _ZERO) / total for column in zip(*weeks, strict=True)]
    squares = [
        (value / level - factor) ** 2
        for week, level in zip(weeks, levels, strict=True)
        if level
        for value, factor in zip(week, factors, strict=True)
    ]
    # Seven values a week, of which the level takes one, and the factors take six of all.
    variance = sum(squares, _ZERO) / (6 * (len(weeks) - 1))
    return _Pattern(levels, factors, variance / _mean_square(factors))


def _mean_square(values: Sequence[Decimal]) -> Decimal:
    return sum((value**2 for value in values), _ZERO) / len(values)


def _course(pattern: _Pattern) -> _Course:
    """Level and trend by the local level model, in which each week's mean is a moving level and noise.

    The trend is the median of the slopes between any two weeks (Sen, "Estimates of the regression coefficient based on
    Kendall's tau", 1968), shrunk by what may be noise in it, as James and Stein shrink means (1961). The noise of a
    mean of seven days is known from the days; what weeks differ by besides is the level's movement, and the level
    follows by Kalman's filter (Harvey, "Forecasting, structural time series models and the Kalman filter", 1989, 2.2
    and 3.2).
    """
    levels, noise = pattern.levels, pattern.noise
    slope, slope_error = _trend(levels, noise)
    moving = _moving(levels, slope, noise)
    level, error = levels[0], noise
    for observed in levels[1:]:
        level, error = level + slope, error + moving
        gain = error / (error + noise) if error else _ZERO
        level, error = level + gain * (observed - level), error * (1 - gain)
    return _Course(level, slope, error, slope_error, moving)


def _trend(levels: Sequence[Decimal], noise: Decimal) -> tuple[Decimal, Decimal]:
    """The slope by week and the variance of its error; the slope is 0 if it cannot be told from noise."""
    count = len(levels)
    if count < _WEEKS_OF_A_TREND:
        return _ZERO, _ZERO
    slope = median(
        [
            (later - earlier) / (second - first)
            for first, earlier in enumerate(levels)
            for second, later in enumerate(levels[first + 1 :], first + 1)
        ]
    )
    # Of a level that moves, and of a regression on a straight line.
    error = _moving(levels, slope, noise) / (count - 1) + noise * 12 / (count * (count**2 - 1))
    is_trend = slope**2 > _SIGNIFICANT**2 * error
    return slope * slope**2 / (slope**2 + error) if is_trend else _ZERO, error


def _moving(levels: Sequence[Decimal], slope: Decimal, noise: Decimal) -> Decimal:
    """The variance by which the level moves from week to week: that of the steps, without that of two noises."""
    steps = [later - earlier - slope for earlier, later in pairwise(levels)]
    freedom = len(steps) - bool(slope)
    squares = sum((step**2 for step in steps), _ZERO)
    return max(squares / freedom - 2 * noise, _ZERO) if len(steps) > 1 else _ZERO


def _coming(pattern: _Pattern, course: _Course, days: range) -> list[_Day]:
    """The days with these numbers, of which 0 is the one after the last that is known."""
    step = course.slope / 7
    level = course.level + _HALF_WEEK * step
    found = []
    for day in range(days.stop):
        level, step = max(level + step, _ZERO), step * _DAMPED
        factor = pattern.factors[day % 7]
        found.append(_Day(level * factor, factor, Decimal(_HALF_WEEK + 1 + day) / 7))
    return found[days.start :]


def _variances(pattern: _Pattern, course: _Course, coming: Sequence[_Day]) -> list[Decimal]:
    """Of each coming day: of the level and its trend until then, of the day itself, and of the factor."""
    spread = pattern.spread * (1 + 1 / Decimal(len(pattern.levels)))
    return [
        day.factor**2 * (course.error + course.moving * day.weeks + course.slope_error * day.weeks**2)
        + day.amount**2 * spread
        for day in coming
    ]


def _variance_of_sum(pattern: _Pattern, course: _Course, coming: Sequence[_Day]) -> Decimal:
    """Of the sum: errors of level and trend are the same every day and add up, those of days make up for each other.

    A movement of the level is in all days after it. (As in the variance of lead-time demand: Hyndman, Koehler, Ord and
    Snyder, "Forecasting with exponential smoothing", 2008, 6.5.)
    """
    rest = sum((day.factor for day in coming), _ZERO)
    ahead = sum((day.factor * day.weeks for day in coming), _ZERO)
    before = coming[0].weeks - Decimal(1) / 7
    variance = rest**2 * (course.error + course.moving * before) + course.slope_error * ahead**2
    for day in coming:
        variance += rest**2 * course.moving / 7 + day.amount**2 * pattern.spread
        rest -= day.factor
    return variance
