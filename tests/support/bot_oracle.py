"""What system B must be told, counted by hand from the events: independent of `tally.usage`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.gateway_oracle import one_decimal
from tests.support.oracle import Fact, shown

Row = dict[str, Any]


@dataclass(frozen=True)
class Organization:
    """A row of `organizations`."""

    id: str
    name: str
    updated_at: datetime
    timezone: str = "UTC"
    period_start_day: int = 1
    plan: str | None = None
    free_requests_limit: int | None = None


@dataclass(frozen=True)
class Received:
    """An event as it counts, when it was received, and the message of its error."""

    fact: Fact
    at: datetime
    error_message: str | None


def accounts(facts: Sequence[Fact], organizations: Iterable[Organization], now: datetime) -> list[Row]:
    """The accounts of the organizations given and of those that occur in `facts`, by id."""
    registered = {one.id: one for one in organizations}
    named = {fact.dimension("organization_id") for fact in facts} - {None}
    return [_account(registered.get(name), name, facts, now) for name in sorted(named | registered.keys())]


def _account(organization: Organization | None, name: str, facts: Sequence[Fact], now: datetime) -> Row:
    zone = ZoneInfo(organization.timezone if organization else "UTC")
    start_day = organization.period_start_day if organization else 1
    own = [fact for fact in facts if fact.dimension("organization_id") == name]
    month = _month(now, start_day, zone)
    requests = sum(_month(fact.time, start_day, zone) == month for fact in own)
    limit = organization.free_requests_limit if organization else None
    changes = [fact.time for fact in own] + ([organization.updated_at] if organization else [])
    return {
        "organization_id": name,
        "name": organization.name if organization else name,
        "plan": organization.plan if organization else None,
        "free_requests_limit": limit,
        "free_requests_used": None if limit is None else min(limit, requests),
        "requests_used_current_period": requests,
        "period_start": _first_instant(date(*month, start_day), zone).isoformat(),
        "period_end": _first_instant(date(*_next(month), start_day), zone).isoformat(),
        "updated_at": max(changes).isoformat(),
    }


def _month(instant: datetime, start_day: int, zone: ZoneInfo) -> tuple[int, int]:
    """Year and month in which the period of an instant begins."""
    local = instant.astimezone(zone)
    if local.day >= start_day:
        return local.year, local.month
    return (local.year, local.month - 1) if local.month > 1 else (local.year - 1, 12)


def _next(month: tuple[int, int]) -> tuple[int, int]:
    return (month[0], month[1] + 1) if month[1] < 12 else (month[0] + 1, 1)


def _first_instant(day: date, zone: ZoneInfo) -> datetime:
    """Walks to the first quarter of an hour of a local day."""
    instant = datetime.fromisoformat(f"{day}T00:00Z") - timedelta(hours=26)
    while instant.astimezone(zone).date() < day:
        instant += timedelta(minutes=15)
    return instant.astimezone(zone)


def diagnostics(
    received: Sequence[Received], organizations: Iterable[Organization], known: Mapping[str, int], now: datetime
) -> Row:
    """What was received lately; `known` is the order that routes and methods came in."""

    def since(minutes: int) -> list[Received]:
        return [one for one in received if now - one.at < timedelta(minutes=minutes)]

    updated = {one.fact.dimension("organization_id") for one in since(10)} - {None}
    updated |= {one.id for one in organizations if now - one.updated_at < timedelta(minutes=10)}
    ages = [now - one.at for one in received]
    return {
        "total_records": len(received),
        "records_last_hour": len(since(60)),
        "recent_records": len(since(10)),
        "unique_users": len({one.fact.user for one in received} - {None}),
        "unique_endpoints": len({one.fact.dimension("route") for one in received} - {None}),
        "last_record_age_seconds": Decimal(min(ages) // timedelta(microseconds=1)).scaleb(-6) if ages else None,
        "updated_accounts": len(updated),
        "errors": _errors(since(24 * 60), known)[:50],
        "slowest": _slowest(since(60), known)[:50],
    }


def _place(value: str | None, known: Mapping[str, int]) -> int:
    return 10**9 if value is None else known[value]


def _errors(received: Iterable[Received], known: Mapping[str, int]) -> list[Row]:
    groups: dict[tuple[int | None, str | None], list[Received]] = {}
    for one in received:
        if one.fact.is_error:
            groups.setdefault((one.fact.dimension("status"), one.fact.dimension("route")), []).append(one)

    def message(errors: Sequence[Received]) -> str | None:
        told = [one for one in errors if one.error_message is not None]
        return max(told, key=lambda one: one.at).error_message if told else None

    rows = [
        {"status_code": status, "endpoint": route, "error_count": len(errors), "last_error": message(errors)}
        for (status, route), errors in groups.items()
    ]
    return sorted(
        rows, key=lambda row: (-row["error_count"], row["status_code"] or 1000, _place(row["endpoint"], known))
    )


def _slowest(received: Iterable[Received], known: Mapping[str, int]) -> list[Row]:
    groups: dict[tuple[str | None, str | None], list[Fact]] = {}
    for one in received:
        groups.setdefault((one.fact.dimension("route"), one.fact.dimension("method")), []).append(one.fact)
    slowest = []
    for (route, method), facts in groups.items():
        times = sorted(fact.response_time for fact in facts if fact.response_time is not None)
        if times:
            average = sum(times, Fraction(0)) / len(times)
            row = {
                "endpoint": route,
                "method": method,
                "call_count": len(facts),
                "avg_ms": one_decimal(average),
                "p95_ms": shown(times[-(-95 * len(times) // 100) - 1]),
                "max_ms": shown(times[-1]),
            }
            slowest.append(((-average, _place(route, known), _place(method, known)), row))
    return [row for _, row in sorted(slowest, key=lambda one: one[0])]
