"""What coming days will bring: daily figures of the past from the engine, forecast and shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from itertools import accumulate, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from tally.usage import engine
from tally.usage.coverage import Span
from tally.usage.days import each_day
from tally.usage.exhaustion import BudgetState, exhausted_on
from tally.usage.figures import Figures, cost_measures, left_out, one_decimal, whole
from tally.usage.forecast import history_begins, method_for
from tally.usage.inquiry import Inquiry
from tally.usage.interval import CONFIDENCE, Estimate
from tally.usage.spec import Spec
from tally.usage.windows import start_of_day

FURTHEST_DAYS = 366
LEAST_HISTORY_DAYS = 2
_DAY = timedelta(days=1)
# Days between yesterday, the last one that is known whole, and tomorrow.
_TODAY = 1
_TOKEN, _COST = Decimal(1), Decimal("1e-10")
# Takes off what the last digits of a division leave, before bounds are rounded away from each other.
_WITHOUT_RESIDUE = Context(prec=20)


@dataclass(frozen=True, slots=True)
class _Past:
    """Tokens and costs of the past days that a forecast is learnt from, and what a reader must know of the costs."""

    tokens: list[Decimal]
    costs: list[Decimal]
    left_out: Mapping[str, int]


def outlook(
    inquiry: Inquiry,
    filters: Mapping[str, Sequence[Any]],
    *,
    zone: ZoneInfo,
    days: int,
    history_days: int,
    currency: str,
    budgets: Sequence[BudgetState] = (),
) -> dict[str, Any]:
    """Tokens and cost of the `days` local days from tomorrow on, in the shape of `GET /v1/forecast`.

    Learnt from the `history_days` whole local days that end yesterday, or those of them after the first usage ever. A
    day without events counts with 0. `filters` are those of the engine. `lower` and `upper` are tokens, of a day and of
    the sum. Amounts of days are rounded so that they add up to that of all. `budgets` concern the same events, in the
    same currency.

    Raises:
        QuestionTooLarge: the time limit.
    """
    today = inquiry.now.astimezone(zone).date()
    past = _past(inquiry, filters, zone, history_days, currency)
    method, error = method_for(past.tokens)
    tokens, costs = (method(values, days, _TODAY) for values in (past.tokens, past.costs))
    dates = [today + day * _DAY for day in range(1, days + 1)]
    tokens_by_day = _adding_up([day.expected for day in tokens.days], _TOKEN)
    cost_by_day = _adding_up([day.expected for day in costs.days], _COST)
    ends = [exhausted_on(budget, inquiry.now, zip(dates, cost_by_day, strict=True)) for budget in budgets]
    return {
        "tokens": int(sum(tokens_by_day)),
        "cost": sum(cost_by_day, Decimal(0)),
        **_bounds(tokens.total),
        "confidence": CONFIDENCE,
        "backtest_error_percent": None if error is None else one_decimal(error),
        "method": tokens.method,
        "budget_exhausted_on": min((str(end) for end in ends if end), default=None),
        **past.left_out,
        "days": [
            {"date": str(day), "tokens": int(amount), "cost": cost, **_bounds(bounds)}
            for day, amount, cost, bounds in zip(dates, tokens_by_day, cost_by_day, tokens.days, strict=True)
        ],
    }


def _past(inquiry: Inquiry, filters: Mapping[str, Sequence[Any]], zone: ZoneInfo, count: int, currency: str) -> _Past:
    today = inquiry.now.astimezone(zone).date()
    past = each_day(today - count * _DAY, today - _DAY, zone)
    # As many days again tell whether usage began in these days or before.
    span = Span(start_of_day(today - 2 * count * _DAY, zone), past[-1].upper)
    measures = ("requests", "total_tokens", *cost_measures(currency))
    spec = Spec(measures, span=span, cuts=[day.lower for day in past], filters=filters)
    by_piece: dict[int, Figures] = {row["piece"]: row for row in engine.run(inquiry.connection, spec)}
    before, *rows = [by_piece.get(piece, {}) for piece in range(len(past) + 1)]
    begins = 0 if whole(before, "requests") else history_begins([whole(row, "requests") for row in rows])
    return _Past(
        [Decimal(whole(row, "total_tokens")) for row in rows[begins:]],
        [Decimal(row.get(f"cost:{currency}") or 0) for row in rows[begins:]],
        left_out(rows, currency),
    )


def _adding_up(amounts: Sequence[Decimal], unit: Decimal) -> list[Decimal]:
    """The amounts in whole units, whose sums are those of the amounts, rounded half to even."""
    sums = [total.quantize(unit, ROUND_HALF_EVEN) for total in accumulate(amounts, initial=Decimal(0))]
    return [later - earlier for earlier, later in pairwise(sums)]


def _bounds(estimate: Estimate) -> dict[str, int]:
    lower, upper = map(_WITHOUT_RESIDUE.plus, (estimate.lower, estimate.upper))
    return {
        "lower": int(lower.to_integral_value(ROUND_FLOOR)),
        "upper": int(upper.to_integral_value(ROUND_CEILING)),
    }
