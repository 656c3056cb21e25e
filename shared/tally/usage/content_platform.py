"""System A, the content platform: totals of AI tokens under its own field names."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from tally.database import QuestionTooLarge
from tally.usage import engine
from tally.usage.coverage import Span
from tally.usage.days import MAX_DAYS, LocalDays, each_day, end_of_day
from tally.usage.figures import cost_measures, left_out, share, total, whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import column_of, known_values
from tally.usage.spec import Spec
from tally.usage.windows import first_day, start_of_day, windows

_MEASURES = (
    "total_tokens", "input_tokens", "output_tokens", "requests", *cost_measures("USD"), *cost_measures("RUB"),
)  # fmt: skip
# System A's parameters and the dimensions that they filter
FILTERS = {"agent_id": "agent_id", "ai_provider": "provider", "ai_model": "model"}


def totals(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """System A's totals of rows of the engine. Costs are in USD and RUB, with what `left_out` tells by currency."""
    rows = list(rows)

    def count(name: str) -> int:
        return sum(whole(row, name) for row in rows)

    def cost(currency: str) -> Decimal:
        return total(row[f"cost:{currency}"] for row in rows)

    found: dict[str, Any] = {
        "total_tokens": count("total_tokens"),
        "prompt_tokens": count("input_tokens"),
        "completion_tokens": count("output_tokens"),
        "cost_usd": cost("USD"),
        "cost_rub": cost("RUB"),
        "requests_count": count("requests"),
    }
    for code in ("USD", "RUB"):
        for name, requests in left_out(rows, code).items():
            found.setdefault(name, {})[code] = requests
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


def totals_of_days(inquiry: Inquiry, days: LocalDays, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The totals of a range of days.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    return totals(engine.run(inquiry.connection, Spec(_MEASURES, span=days.span, filters=inquiry.filters(filters))))


def history(inquiry: Inquiry, days: LocalDays, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`{"history": [{date, …totals}]}` with every day of the range, oldest first.

    A range without a first day begins with the first day that has an event, one without a last day ends today.

    Raises:
        Forbidden: as `Inquiry.filters`.
        QuestionTooLarge: the range is longer than `MAX_DAYS`.
    """
    own = inquiry.filters(filters)
    last = days.last or inquiry.now.astimezone(days.zone).date()
    first = days.first or _no_later_than_first_event(inquiry, last, days.zone, own)
    if first is None or first > last:
        return {"history": []}
    if (last - first).days >= MAX_DAYS:
        raise _too_many_days()
    each = each_day(first, last, days.zone)
    spec = Spec(_MEASURES, span=LocalDays(days.zone, first, last).span, cuts=[day.lower for day in each], filters=own)
    found = {row["piece"]: row for row in engine.run(inquiry.connection, spec)}
    begin = 1 if days.first else min(found, default=len(each) + 1)
    return {
        "history": [
            {"date": day.start.date().isoformat(), **totals([found[piece]] if piece in found else [])}
            for piece, day in enumerate(each, 1)
            if piece >= begin
        ]
    }


def by_agent(inquiry: Inquiry, days: LocalDays, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`{"agents": [{agent_id, …totals, share}]}`, most tokens first.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    return {"agents": _by(inquiry, days, filters, ("agent_id",))}


def by_model(inquiry: Inquiry, days: LocalDays, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`{"models": [{ai_provider, ai_model, …totals, share}]}`, most tokens first.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    return {"models": _by(inquiry, days, filters, ("ai_provider", "ai_model"))}


def _by(
    inquiry: Inquiry, days: LocalDays, filters: Mapping[str, Sequence[str]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Totals and the share of all tokens in percent for each combination of values; no value is null."""
    columns = {name: column_of(FILTERS[name]) for name in names}
    spec = Spec(_MEASURES, tuple(columns.values()), days.span, filters=inquiry.filters(filters))
    rows = engine.run(inquiry.connection, spec)
    known = known_values(inquiry.connection, (row[column] for row in rows for column in columns.values()))
    everything = sum(whole(row, "total_tokens") for row in rows)
    found = [
        {
            **{name: known[row[column]].value if row[column] else None for name, column in columns.items()},
            **totals([row]),
            "share": share(whole(row, "total_tokens"), everything),
        }
        for row in rows
    ]
    return sorted(
        found, key=lambda row: (-row["total_tokens"], *((row[name] is None, row[name] or "") for name in names))
    )


def _no_later_than_first_event(
    inquiry: Inquiry, last: date, zone: ZoneInfo, own: Mapping[str, Sequence[Any]]
) -> date | None:
    """A day on or before the first that has an event, by a month at most; None without events up to day `last`.

    Looked for by months of UTC, which are made of whole buckets of every cube.

    Raises:
        QuestionTooLarge: there are events before all the days that one answer can have.
    """
    oldest, upper = start_of_day(last - timedelta(days=MAX_DAYS - 1), zone), end_of_day(last, zone)
    months = [month.lower for month in windows(oldest, upper, "month", UTC)]
    spec = Spec(("requests",), span=Span(None, upper), cuts=months, filters=own)
    found = engine.run(inquiry.connection, spec)
    if not found:
        return None
    piece: int = min(row["piece"] for row in found)
    if piece == 0:
        raise _too_many_days()
    return months[piece - 1].astimezone(zone).date()


def _too_many_days() -> QuestionTooLarge:
    return QuestionTooLarge(
        f"The history has a row for each day, and at most {MAX_DAYS} of them: take a later start_date, an earlier "
        "end_date, or days."
    )
