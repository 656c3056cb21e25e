"""Forecasts from events that were counted by hand. How a forecast follows from daily values is tested by itself."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from zoneinfo import ZoneInfo

from tally.usage.forecast import method_for
from tally.usage.interval import Estimate
from tests.support.oracle import Fact, Row, left_out_of_costs, metric, one_decimal


def forecast_of(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> Row:
    """`/v1/forecast` of these events. Bounds may be one token away from it, costs 1e-10."""
    days, count = int(given.get("days", "30")), int(given.get("history_days", "84"))
    zone, currency = ZoneInfo(given.get("timezone", "UTC")), given.get("currency", "USD")
    today = now.astimezone(zone).date()
    by_day: dict[date, list[Fact]] = {today - timedelta(days=back): [] for back in range(2 * count, 0, -1)}
    for fact in facts:
        by_day.get(fact.time.astimezone(zone).date(), []).append(fact)
    earlier, past = list(by_day.values())[:count], list(by_day.values())[count:]
    counted = [fact for group in past for fact in group]
    if not any(earlier):
        past = _since_it_began(past)
    tokens = [Decimal(sum(fact.counts.get("total_tokens", 0) for fact in group)) for group in past]
    costs_by_day = [_cost(group, currency) for group in past]
    method, error = method_for(tokens)
    found, costs = (method(values, days, between=1) for values in (tokens, costs_by_day))
    return {
        "tokens": round(found.total.expected),
        "cost": float(costs.total.expected),
        **_bounds(found.total),
        "confidence": Decimal("0.8"),
        "backtest_error_percent": None if error is None else one_decimal(Fraction(error)),
        "method": found.method,
        "budget_exhausted_on": None,
        **left_out_of_costs(counted, currency),
        "days": [
            {
                "date": str(today + timedelta(days=ahead)),
                "tokens": float(day.expected),
                "cost": float(cost.expected),
                **_bounds(day),
            }
            for ahead, (day, cost) in enumerate(zip(found.days, costs.days, strict=True), 1)
        ],
    }


def _since_it_began(past: list[list[Fact]]) -> list[list[Fact]]:
    """The days after the first one with an event, which usage began during; with it if there is no other."""
    used = [day for day, group in enumerate(past) if group]
    if not used:
        return past
    return past[used[0] + 1 :] if len(used) > 1 else past[used[0] :]


def _cost(facts: list[Fact], currency: str) -> Decimal:
    exact = Fraction(metric("cost", facts, currency) or 0)
    return Decimal(exact.numerator) / exact.denominator


def _bounds(estimate: Estimate) -> Row:
    return {"lower": floor(estimate.lower), "upper": ceil(estimate.upper)}
