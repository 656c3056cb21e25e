"""System B, the bot platform: accounts of organizations, and what was received lately and how it went."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from tally.database import statement
from tally.usage import engine
from tally.usage.figures import Figures, average_time, whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import Known, known_values
from tally.usage.periods import Period, period_at
from tally.usage.spec import Spec
from tally.usage.windows import zone

MOST_LISTED = 50
_RECENT = timedelta(minutes=10)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def accounts(inquiry: Inquiry, limit: int, after: str = "") -> tuple[list[dict[str, Any]], str | None]:
    """A page of the accounts of organizations, by id, from behind the id `after`; and the id that the next is behind.

    An organization that only events name has an account without name and plan, whose period is the month in UTC.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    own = inquiry.filters()
    parameters = {
        "everybody": not own,
        "organization_id": inquiry.principal.organization_id,
        "after": after,
        "rows": limit + 1,
    }
    found = inquiry.connection.execute(statement("accounts", "page_of_accounts"), parameters).all()
    page = found[:limit]
    periods = [_period(account, inquiry.now) for account in page]
    edges = sorted({edge for period in periods for edge in (period.start, period.end)})
    keys = [account.key for account in page if account.key is not None]
    spec = Spec(("requests", "last_time"), ("organization_key",), cuts=edges, filters={"organization_key": keys} | own)
    rows: dict[int, list[Figures]] = {}
    for row in engine.run(inquiry.connection, spec):
        rows.setdefault(row["organization_key"], []).append(row)
    items = []
    for account, period in zip(page, periods, strict=True):
        of_account = rows.get(account.key, [])
        # An organization becomes known before its event is stored, and the event may be refused then.
        if account.name is not None or of_account:
            pieces = range(edges.index(period.start) + 1, edges.index(period.end) + 1)
            items.append(_account(account, period, of_account, pieces))
    return items, page[-1].id if len(found) > limit else None


def _period(account: Row[Any], now: datetime) -> Period:
    return period_at(now, account.period_start_day or 1, zone(account.timezone or "UTC"))


def _account(account: Row[Any], period: Period, rows: Sequence[Figures], pieces: range) -> dict[str, Any]:
    requests = sum(whole(row, "requests") for row in rows if row["piece"] in pieces)
    limit = account.free_requests_limit
    changes = [row["last_time"] for row in rows]
    if account.updated_at is not None:
        changes.append(account.updated_at)
    return {
        "organization_id": account.id,
        "name": account.id if account.name is None else account.name,
        "plan": account.plan,
        "free_requests_limit": limit,
        "free_requests_used": None if limit is None else min(limit, requests),
        "requests_used_current_period": requests,
        "period_start": period.start.astimezone(period.zone),
        "period_end": period.end.astimezone(period.zone),
        "updated_at": max(changes),
    }


def diagnostics(inquiry: Inquiry) -> dict[str, Any]:
    """`GET /api/v1/diagnostics`. What is new goes by the time of receipt; totals are of all time.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    own = inquiry.filters()
    now = inquiry.now
    parameters = {
        **inquiry.own_keys(),
        "everybody": not own,
        "organization_id": inquiry.principal.organization_id,
        "recent": now - _RECENT,
        "hour": now - _HOUR,
        "day": now - _DAY,
        "rows": MOST_LISTED,
    }

    def rows(name: str) -> list[Figures]:
        found = inquiry.connection.execute(statement("diagnostics", name), parameters)
        return [dict(row) for row in found.mappings()]

    [received], errors, slowest = rows("received"), rows("errors"), rows("slowest")
    known = known_values(
        inquiry.connection,
        {row["route_key"] or 0 for row in (*errors, *slowest)} | {row["method_key"] or 0 for row in slowest},
    )
    total: dict[str, Any] = {}
    # Each by itself: no cube knows both users and routes.
    for measures in (("requests", "last_received"), ("unique_users",), ("unique_routes",)):
        for row in engine.run(inquiry.connection, Spec(measures, filters=own)):
            total |= row
    last = total.get("last_received")
    return {
        "total_records": whole(total, "requests"),
        "records_last_hour": received["last_hour"],
        "recent_records": received["recent"],
        "unique_users": whole(total, "unique_users"),
        "unique_endpoints": whole(total, "unique_routes"),
        "last_record_age_seconds": None if last is None else _seconds(now - last),
        "updated_accounts": received["updated_accounts"],
        "errors": [_error(row, known) for row in errors],
        "slowest": [_endpoint(row, known) for row in slowest],
    }


def _error(row: Figures, known: Mapping[int, Known]) -> dict[str, Any]:
    return {
        "status_code": row["status"],
        "endpoint": _text(row["route_key"], known),
        "error_count": row["errors"],
        "last_error": row["last_error"],
    }


def _endpoint(row: Figures, known: Mapping[int, Known]) -> dict[str, Any]:
    return {
        "endpoint": _text(row["route_key"], known),
        "method": _text(row["method_key"], known),
        "call_count": row["calls"],
        "avg_ms": average_time(row),
        "p95_ms": row["p95"],
        "max_ms": row["longest"],
    }


def _text(key: int | None, known: Mapping[int, Known]) -> str | None:
    return None if key is None else known[key].value


def _seconds(age: timedelta) -> Decimal:
    """An age in seconds, to the microsecond; not negative where Pub/Sub's clock is ahead of the database's."""
    return max(Decimal(age // timedelta(microseconds=1)).scaleb(-6), Decimal(0))
