"""System C's figures, counted by hand over the events that have tokens, a model or an operation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.forecast_oracle import forecast_of
from tests.support.oracle import Fact, Row, left_out_of_costs, metric, shown


def is_ai(fact: Fact) -> bool:
    """Whether system C counts the event."""
    return fact.has_tokens or fact.dimension("model") is not None or fact.dimension("operation") is not None


def statistics(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> Row:
    """`/api/v1/ai/statistics`, without the names of operations."""
    days, currency = int(given.get("days", "7")), given.get("currency", "RUB")
    chosen = _chosen(facts, {**given, "days": str(days)}, now)
    return {
        "total_tokens": _tokens(chosen),
        "total_requests": len(chosen),
        "by_operation": {
            operation or "": {"count": len(group), "tokens": _tokens(group), "cost": _cost(group, currency)}
            for operation, group in _groups(chosen, lambda fact: fact.dimension("operation")).items()
        },
        "cost": {"amount": _cost(chosen, currency), "currency": currency},
        "period_days": days,
        **left_out_of_costs(chosen, currency),
    }


def total_tokens(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> Row:
    """`/api/v1/ai/total-tokens`."""
    wanted = given.get("operation")
    chosen = _chosen(facts, given, now)
    return {
        "total_tokens": _tokens(
            fact for fact in chosen if wanted is None or (fact.dimension("operation") or "") == wanted
        )
    }


def users(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> list[Row]:
    """All rows of `/api/v1/ai/top-users` without names, most tokens first, equal ones in any order."""
    currency = given.get("currency", "RUB")
    groups = _groups(_chosen(facts, given, now), lambda fact: fact.user)
    rows = [
        {
            "user_id": user[1],
            "total_tokens": _tokens(group),
            "requests": len(group),
            "cost": _cost(group, currency),
            **left_out_of_costs(group, currency),
        }
        for user, group in groups.items()
        if user is not None
    ]
    return sorted(rows, key=lambda row: -row["total_tokens"])


def token_types(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> list[Row]:
    """The items of `/api/v1/ai/by-token-type`, most tokens first, then by name, null last."""
    groups = _groups(_chosen(facts, given, now), lambda fact: fact.dimension("token_type"))
    rows = [{"token_type": kind, "total_tokens": _tokens(group), "count": len(group)} for kind, group in groups.items()]
    return sorted(rows, key=lambda row: (-row["total_tokens"], row["token_type"] is None, row["token_type"]))


def forecast(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> Row:
    """`/api/v1/ai/forecast`."""
    found = forecast_of(
        [fact for fact in facts if is_ai(fact)], {"history_days": "28", "currency": "RUB", **given}, now
    )
    del found["days"]
    return found


def _zone(given: Mapping[str, str]) -> ZoneInfo:
    return ZoneInfo(given.get("timezone", "UTC"))


def _day(fact: Fact, zone: ZoneInfo) -> date:
    return fact.time.astimezone(zone).date()


def _chosen(facts: Iterable[Fact], given: Mapping[str, str], now: datetime) -> list[Fact]:
    zone = _zone(given)
    start, end = given.get("start"), given.get("end")
    if start is None:
        last = _last_day(end, zone) if end else now.astimezone(zone).date()
        start = str(last - timedelta(days=int(given.get("days", "30")) - 1))
    end = end or str(now.astimezone(zone).date())
    return [fact for fact in facts if is_ai(fact) and _begun(fact, start, zone) and not _ended(fact, end, zone)]


def _last_day(end: str, zone: ZoneInfo) -> date:
    if len(end) == 10:
        return date.fromisoformat(end)
    return (datetime.fromisoformat(end) - timedelta(microseconds=1)).astimezone(zone).date()


def _begun(fact: Fact, start: str, zone: ZoneInfo) -> bool:
    if len(start) == 10:
        return _day(fact, zone) >= date.fromisoformat(start)
    return fact.time >= datetime.fromisoformat(start)


def _ended(fact: Fact, end: str, zone: ZoneInfo) -> bool:
    if len(end) == 10:
        return _day(fact, zone) > date.fromisoformat(end)
    return fact.time >= datetime.fromisoformat(end)


def _groups(facts: Iterable[Fact], key: Callable[[Fact], Any]) -> dict[Any, list[Fact]]:
    groups: dict[Any, list[Fact]] = {}
    for fact in facts:
        groups.setdefault(key(fact), []).append(fact)
    return groups


def _tokens(facts: Iterable[Fact]) -> int:
    return sum(fact.counts.get("total_tokens", 0) for fact in facts)


def _cost(facts: Sequence[Fact], currency: str) -> Any:
    return shown(metric("cost", facts, currency))
