"""System A's figures by local day, agent and model, counted by hand: each event by its own local date."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.oracle import Fact, Row, one_decimal, totals

_DIMENSIONS = {"agent_id": "agent_id", "ai_provider": "provider", "ai_model": "model"}


def tokens(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> Row:
    """The totals; `given` are the parameters as they are sent."""
    return totals(_chosen(facts, given, now))


def history(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> list[Row]:
    """A row for each local day."""
    zone = _zone(given)
    by_day: dict[date, list[Fact]] = {}
    for fact in _chosen(facts, given, now):
        by_day.setdefault(fact.time.astimezone(zone).date(), []).append(fact)
    first, last = _range(given, now)
    day = first or min(by_day, default=date.max)
    rows = []
    while day <= (last or now.astimezone(zone).date()):
        rows.append({"date": str(day), **totals(by_day.get(day, []))})
        day += timedelta(days=1)
    return rows


def by(names: Sequence[str], facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> list[Row]:
    """A row for each combination of values of system A's dimensions, most tokens first, then by value, null last."""
    groups: dict[tuple[Any, ...], list[Fact]] = {}
    for fact in _chosen(facts, given, now):
        groups.setdefault(tuple(fact.dimension(_DIMENSIONS[name]) for name in names), []).append(fact)
    everything = tokens(facts, given, now)["total_tokens"]
    rows = []
    for values, group in groups.items():
        found = totals(group)
        of_all = Fraction(100 * found["total_tokens"], everything) if everything else None
        rows.append({**dict(zip(names, values, strict=True)), **found, "share": one_decimal(of_all)})
    return sorted(rows, key=lambda row: (-row["total_tokens"], [(row[name] is None, row[name]) for name in names]))


def _zone(given: Mapping[str, str]) -> ZoneInfo:
    return ZoneInfo(given.get("timezone", "UTC"))


def _range(given: Mapping[str, str], now: datetime) -> tuple[date | None, date | None]:
    """The first and the last local day."""
    if "days" in given:
        today = now.astimezone(_zone(given)).date()
        return today - timedelta(days=int(given["days"]) - 1), today
    first, last = (given.get(name) for name in ("start_date", "end_date"))
    return first and date.fromisoformat(first), last and date.fromisoformat(last)  # type: ignore[return-value]


def _chosen(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> list[Fact]:
    first, last = _range(given, now)
    wanted = {dimension: given[name] for name, dimension in _DIMENSIONS.items() if name in given}
    return [
        fact
        for fact in facts
        if (first or date.min) <= fact.time.astimezone(_zone(given)).date() <= (last or date.max)
        and all((fact.dimension(name) or "") == value for name, value in wanted.items())
    ]
