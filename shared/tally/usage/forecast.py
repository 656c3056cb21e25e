"""What the coming days will bring, from what each past day brought. Pure.

The method in force is whichever of two was less wrong about the weeks of the history itself: that of weekdays, or the
plain average. docs/forecast.md compares it with others.
"""

from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import Protocol

from tally.usage.interval import Estimate, Forecast, estimate
from tally.usage.weekday import weekday

# Days that a backtest learns from before it forecasts the first week, and how many weeks it forecasts at most.
_LEARNT = 7
_MOST_COMPARED = 52
# A day is far out of line with so many times the median of at least so many days.
_OUT_OF_LINE = 10
_LEAST_DAYS = 5
# How much the days of a week differ if most of them were never seen: half of their mean, in standard deviations.
_UNSEEN = Decimal("0.5")
_ZERO = Decimal(0)


class Method(Protocol):
    """Forecasts the coming `days` (at least one) from the daily values of the past, oldest first.

    They begin `between` days after the day that follows the last one of the past.
    """

    def __call__(self, history: Sequence[Decimal], days: int, between: int = 0) -> Forecast:
        """The forecast."""
        ...


def forecast(history: Sequence[Decimal], days: int, between: int = 0) -> Forecast:
    """What the method in force says: see `Method`."""
    method, _ = method_for(history)
    return method(history, days, between)


def method_for(history: Sequence[Decimal]) -> tuple[Method, Decimal | None]:
    """The method that was least wrong about the weeks of the history, and its `backtest_error_percent`."""
    error, error_of_average = (backtest_error_percent(history, method) for method in (weekday_or_average, average))
    if error is not None and error_of_average is not None and error_of_average < error:
        return average, error_of_average
    return weekday_or_average, error


def weekday_or_average(history: Sequence[Decimal], days: int, between: int = 0) -> Forecast:
    """The method of weekdays, or the average where there is no week's pattern to learn: see `Method`.

    In two or three weeks, a median does not see through a day of a hundred times; so it is taken out first.
    """
    return weekday(_without_outlier(history), days, between) or average(history, days)


def average(history: Sequence[Decimal], days: int, between: int = 0) -> Forecast:  # noqa: ARG001 - as in Method
    """Every coming day is the mean of the past ones.

    Days are taken as independent and normally distributed around one mean, of which the mean of T past days is an
    estimate. The sum of h coming days then differs from h times that mean with the variance s² (h + h² / T), where s
    is the standard deviation of the sample (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice",
    3rd edition, 5.5, gives it for h = 1). Of fewer than seven days, the mean may also differ from that of all weekdays,
    as that of a sample of T out of 7 (Cochran, "Sampling techniques", 3rd edition, 2.6). A single day is taken to
    differ from others by as much as it has.
    """
    values = _without_outlier(history)
    count = len(values)
    if not count:
        nothing = Estimate(_ZERO, _ZERO, _ZERO)
        return Forecast((nothing,) * days, nothing, "average")
    mean = sum(values, _ZERO) / count
    squares = sum(((value - mean) ** 2 for value in values), _ZERO)
    variance = squares / (count - 1) if count > 1 else mean**2
    of_mean = (variance + (_UNSEEN * mean) ** 2 * max(7 - count, 0) / 6) / count
    freedom = max(count - 1, 1)
    return Forecast(
        days=(estimate(mean, variance + of_mean, freedom),) * days,
        total=estimate(mean * days, variance * days + of_mean * days**2, freedom),
        method="average",
    )


def _without_outlier(history: Sequence[Decimal]) -> Sequence[Decimal]:
    """The values, the median in place of the one day (or one in 20) that has ten times of it; days of 0 left aside."""
    used = [value for value in history if value]
    if len(history) < _LEAST_DAYS or not used:
        return history
    middle = median(used)
    limit = _OUT_OF_LINE * middle
    if sum(value > limit for value in used) > max(1, len(history) // 20):
        return history
    return [middle if value > limit else value for value in history]


def history_begins(requests: Sequence[int]) -> int:
    """The place of the first day to learn from, if nothing was used before these days.

    That is the day after the first one with a request, which usage began during; or that one, if it is the only one.
    """
    first = next((day for day, count in enumerate(requests) if count), 0)
    return first + 1 if any(requests[first + 1 :]) else first


def backtest_error_percent(history: Sequence[Decimal], method: Method) -> Decimal | None:
    """How far off `method` would have been: of 100 in all days, so many were forecast too high or too low.

    Each of the last 52 weeks is forecast from the days before it, at least seven, and compared day by day; with no such
    week, or nothing in all of them, there is no telling, and the answer is None. Not rounded. (Rolling origin: Hyndman
    and Athanasopoulos, as above, 5.10. Errors relative to the sum of what was: Kolassa and Schütz, "Advantages of the
    MAD/mean ratio over the MAPE", Foresight 6, 2007; days of 0 have no percentage error of their own.)
    """
    origins = range(len(history) - 7, _LEARNT - 1, -7)[:_MOST_COMPARED]
    actual = sum((sum(history[origin : origin + 7], _ZERO) for origin in origins), _ZERO)
    errors = sum((_error(history, origin, method) for origin in origins), _ZERO)
    return errors * 100 / actual if actual else None


def _error(history: Sequence[Decimal], origin: int, method: Method) -> Decimal:
    week = history[origin : origin + 7]
    days = method(history[:origin], 7).days
    return sum((abs(actual - day.expected) for actual, day in zip(week, days, strict=True)), _ZERO)
