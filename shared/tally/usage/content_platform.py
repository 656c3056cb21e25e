"""System A, the content platform: totals of AI tokens under its own field names."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tally.usage import engine
from tally.usage.figures import whole
from tally.usage.inquiry import Inquiry
from tally.usage.spec import Spec
from tally.usage.windows import first_day, start_of_day

_MEASURES = (
    "total_tokens", "input_tokens", "output_tokens", "requests",
    "cost:USD", "unconverted:USD", "cost:RUB", "unconverted:RUB",
)  # fmt: skip
# System A's parameters and the dimensions that they filter
FILTERS = {"agent_id": "agent_id", "ai_provider": "provider", "ai_model": "model"}


def totals(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """System A's totals of rows of the engine. Costs are in USD and RUB; `unconverted_requests` only where not 0."""
    rows = list(rows)

    def total(name: str) -> int:
        return sum(whole(row, name) for row in rows)

    def cost(currency: str) -> Decimal:
        return sum((row[f"cost:{currency}"] for row in rows), Decimal(0))

    found: dict[str, Any] = {
        "total_tokens": total("total_tokens"),
        "prompt_tokens": total("input_tokens"),
        "completion_tokens": total("output_tokens"),
        "cost_usd": cost("USD"),
        "cost_rub": cost("RUB"),
        "requests_count": total("requests"),
    }
    unconverted = {code: total(f"unconverted:{code}") for code in ("USD", "RUB")}
    if any(unconverted.values()):
        found["unconverted_requests"] = {code: count for code, count in unconverted.items() if count}
    return found


def summary(inquiry: Inquiry, where: ZoneInfo, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`{today, this_month, all_time}`, each such totals; today and this month are those of zone `where`.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    today = inquiry.now.astimezone(where).date()
    month = first_day(today, "month")
    cuts = [
        start_of_day(month, where),
        start_of_day(today, where),
        start_of_day(today + timedelta(days=1), where),
        start_of_day(first_day(month + timedelta(days=32), "month"), where),
    ]
    # On the first and the last day of a month two cuts are the same time; pieces are counted by distinct cuts.
    distinct = sorted(set(cuts))
    rows = engine.run(inquiry.connection, Spec(_MEASURES, cuts=distinct, filters=inquiry.filters(filters)))

    def between(lower: datetime, upper: datetime) -> list[Mapping[str, Any]]:
        first, last = distinct.index(lower) + 1, distinct.index(upper)
        return [row for row in rows if first <= row["piece"] <= last]

    return {
        "today": totals(between(cuts[1], cuts[2])),
        "this_month": totals(between(cuts[0], cuts[3])),
        "all_time": totals(rows),
    }
