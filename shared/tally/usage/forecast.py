"""What the coming days will bring, from what each past day brought. Pure.

The method in force is `forecast`: the weekday method where there are two weeks to learn a week's pattern from, else the
plain average. docs/forecast.md compares it with others.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from statistics import median

from tally.usage.interval import Estimate, Forecast, estimate
from tally.usage.weekday import weekday

# Days that a backtest learns from before it forecasts the first week.
_LEARNT = 7
# A day is out of line with so many times the median, in an average of at least so many days.
_OUT_OF_LINE = 10
_LEAST_DAYS = 5
# How much the days of a week differ if most of them were never seen: half of their mean, in standard deviations.
_UNSEEN = Decimal("0.5")
_ZERO = Decimal(0)

Method = Callable[[Sequence[Decimal], int], Forecast]


def forecast(history: Sequence[Decimal], days: int, between: int = 0) -> Forecast:
    """The coming `days` (at least one) from the daily values of the past, oldest first.

    They begin `between` days after the day that follows the last one of the past.
    """
    return weekday(history, days, between) or average(history, days)


def average(history: Sequence[Decimal], days: int) -> Forecast:
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


def backtest_error_percent(history: Sequence[Decimal], method: Method = forecast) -> Decimal | None:
    """How far off `method` would have been: of 100 in all days, so many were forecast too high or too low.

    Each week up to the last day is forecast from the days before it, at least seven, and compared day by day; with none
    such, or nothing in all of them, there is no telling, and the answer is None. Not rounded. (Rolling origin: Hyndman
    and Athanasopoulos, as above, 5.10. Errors relative to the sum of what was: Kolassa and Schütz, "Advantages of the
    MAD/mean ratio over the MAPE", Foresight 6, 2007; days of 0 have no percentage error of their own.)
    """
    origins = range(len(history) - 7, _LEARNT - 1, -7)
    actual = sum((sum(history[origin : origin + 7], _ZERO) for origin in origins), _ZERO)
    errors = sum((_error(history, origin, method) for origin in origins), _ZERO)
    return errors * 100 / actual if actual else None


def _error(history: Sequence[Decimal], origin: int, method: Method) -> Decimal:
    week = history[origin : origin + 7]
    days = method(history[:origin], 7).days
    return sum((abs(actual - day.expected) for actual, day in zip(week, days, strict=True)), _ZERO)
