"""What the coming days will bring, from what each past day brought. Pure.

A method makes a `Forecast` of the sum over the coming days from the daily values of the past, oldest first; a
backtest tells how wrong a method would have been. The method in force is `average`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

# The share of the times in which the sum lies between the bounds, if the days to come are like those that were.
CONFIDENCE = Decimal("0.8")
# Of the standard normal distribution: CONFIDENCE lies within so many standard deviations around the mean.
_DEVIATIONS = Decimal("1.2815515655446004")
# Days that a backtest learns from before it forecasts the first one, and days it has to compare with at least.
_LEARNT = 7
_COMPARED = 7


@dataclass(frozen=True, slots=True)
class Forecast:
    """A sum over coming days and its bounds, in the unit of the daily values, not rounded."""

    expected: Decimal
    lower: Decimal
    upper: Decimal


Method = Callable[[Sequence[Decimal], int], Forecast]


def average(history: Sequence[Decimal], days: int) -> Forecast:
    """Every coming day is the mean of the past ones.

    Days are taken as independent and normally distributed around one mean, of which the mean of T past days is an
    estimate. The sum of h coming days then differs from h times that mean with the variance s² (h + h² / T), where s
    is the standard deviation of the sample (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice",
    3rd edition, 5.5, gives it for h = 1). Bounds are never below 0; a single day has no spread, so both are the sum.
    """
    count = len(history)
    if not count:
        return Forecast(Decimal(0), Decimal(0), Decimal(0))
    mean = sum(history, Decimal(0)) / count
    squares = sum(((value - mean) ** 2 for value in history), Decimal(0))
    variance = squares / (count - 1) if count > 1 else Decimal(0)
    expected = mean * days
    margin = _DEVIATIONS * (variance * (days + Decimal(days) ** 2 / count)).sqrt()
    return Forecast(expected, max(expected - margin, Decimal(0)), max(expected + margin, Decimal(0)))


def backtest_error_percent(history: Sequence[Decimal], method: Method) -> Decimal | None:
    """The mean absolute percentage error with which `method` would have forecast each day from those before it.

    It starts with the eighth day. A day of 0 has no percentage error and is left out; with fewer than seven days to
    compare there is no telling, and the answer is None. Not rounded. (Rolling origin and percentage errors: as above,
    5.10 and 5.8.)
    """
    errors = [
        abs(actual - method(history[:day], 1).expected) / abs(actual)
        for day, actual in enumerate(history)
        if day >= _LEARNT and actual
    ]
    return sum(errors, Decimal(0)) * 100 / len(errors) if len(errors) >= _COMPARED else None
