"""Estimates with bounds, and how far from an estimate the bounds are. Pure."""

from dataclasses import dataclass
from decimal import Decimal

# The share of the times in which a value lies between its bounds, if the days to come are like those that were.
CONFIDENCE = Decimal("0.8")
# Student's t for CONFIDENCE, between -t and t, with 1 to 10 degrees of freedom.
_STUDENT = [
    Decimal(text)
    for text in (
        "3.0777", "1.8856", "1.6377", "1.5332", "1.4759", "1.4398", "1.4149", "1.3968", "1.3830", "1.3722",
    )
]  # fmt: skip
# The same of the normal distribution, which Student's comes to with many degrees of freedom.
_NORMAL = Decimal("1.2815515655446004")
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """An amount that is expected and its bounds, none of them below 0 or rounded."""

    expected: Decimal
    lower: Decimal
    upper: Decimal


@dataclass(frozen=True, slots=True)
class Forecast:
    """What coming days bring, in the unit of the past ones.

    Attributes:
        days: each day by itself, in order. Their bounds do not add up to those of the sum, in which days that turn out
            high and low make up for each other.
        total: the sum of the days.
        method: what made it: average, weekday or weekday_trend.
    """

    days: tuple[Estimate, ...]
    total: Estimate
    method: str


def estimate(expected: Decimal, variance: Decimal, freedom: int) -> Estimate:
    """An estimate whose error has that variance, itself estimated with so many degrees of freedom."""
    margin = _deviations(freedom) * variance.sqrt()
    return Estimate(expected, max(expected - margin, _ZERO), expected + margin)


def _deviations(freedom: int) -> Decimal:
    """Student's t; above 10 degrees of freedom by Abramowitz and Stegun, 26.7.5, whose first term is right to 0.001."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    return _NORMAL + (_NORMAL**3 + _NORMAL) / (4 * freedom)
