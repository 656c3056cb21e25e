"""Figures from the sums of the engine: rates, averages, and how compatible endpoints round them. Pure."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import reduce
from typing import Any

Figures = Mapping[str, Any]
_HUNDRED = Decimal(100)
_TENTH = Decimal("0.1")
# What is told beside a cost, and the measure that counts it.
_LEFT_OUT = {"unconverted_requests": "unconverted", "older_rate_requests": "older_rate"}
LEFT_OUT = (*_LEFT_OUT,)
# More digits than the sum of any number of amounts has.
_EXACT = Context(prec=120)


def whole(figures: Figures, name: str) -> int:
    """A count of a row; 0 where there is none."""
    return int(figures.get(name) or 0)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The sum of amounts, not rounded."""
    return reduce(_EXACT.add, amounts, Decimal(0))


def cost_measures(currency: str) -> tuple[str, ...]:
    """The measures of a cost in a currency: the sum, and those that `left_out` needs."""
    return tuple(f"{name}:{currency}" for name in ("cost", *_LEFT_OUT.values()))


def left_out(rows: Iterable[Figures], currency: str) -> dict[str, int]:
    """What a reader must know of a sum of costs, only where it is not 0.

    `unconverted_requests` are not in it: no rate is known for what they cost. `older_rate_requests` are in it with the
    last rate known before their own day.
    """
    rows = list(rows)
    counts = {name: sum(whole(row, f"{measure}:{currency}") for row in rows) for name, measure in _LEFT_OUT.items()}
    return {name: count for name, count in counts.items() if count}


def percentage(part: int, of: int) -> Decimal | None:
    """`part` of `of` in percent, not rounded; None of nothing."""
    return Decimal(part) * _HUNDRED / of if of else None


def success(figures: Figures) -> Decimal | None:
    """The share of requests without an error in percent, not rounded; None of nothing."""
    requests = whole(figures, "requests")
    return percentage(requests - whole(figures, "errors"), requests)


def average(figures: Figures) -> Decimal | None:
    """The mean response time in milliseconds of the requests that have one, not rounded; None of nothing."""
    timed = whole(figures, "timed_requests")
    return Decimal(figures["response_time_ms"]) / timed if timed else None


def one_decimal(value: Decimal | None) -> Decimal:
    """Rounded half up to one decimal, as compatible endpoints show rates, shares and times; 0 of nothing."""
    return Decimal(0) if value is None else value.quantize(_TENTH, ROUND_HALF_UP)


def average_time(figures: Figures) -> Decimal:
    """The mean response time in milliseconds, one decimal; 0 of nothing."""
    return one_decimal(average(figures))


def success_rate(figures: Figures) -> Decimal:
    """The share of requests without an error in percent, one decimal; 0 of nothing."""
    return one_decimal(success(figures))


def share(part: int, of: int) -> Decimal:
    """`part` of `of` in percent, one decimal; 0 of nothing."""
    return one_decimal(percentage(part, of))
