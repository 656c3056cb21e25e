"""System D, the API gateway: calls by hour, by token and by route, and all that is known of one token or route."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from tally.database import statement
from tally.errors import NotFound
from tally.principal import Principal
from tally.usage import engine, events
from tally.usage.coverage import EVER, Span
from tally.usage.figures import Figures, average_time, share, success_rate, whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import Known, known_values
from tally.usage.spec import Spec
from tally.usage.windows import LocalWindow, first_day, start_of_day, windows

TOP = 10
TOP_OF_WEEK = 3
MOST_LISTED = 100
RECENT = 100
_CALLS = ("requests", "errors", "response_time_ms", "timed_requests")
_LIFE = (*_CALLS, "first_time", "last_time")
# What is known of a registered token beside its name, and told only to those whose it is.
_BOUND_FACTS = (
    "scopes", "routes", "organization_id", "user_id", "created_at", "expires_at", "revoked_at", "last_used_at",
)  # fmt: skip
Filters = Mapping[str, Sequence[Any]]


def stats(inquiry: Inquiry, hours: int) -> dict[str, Any]:
    """`GET /api/usage/stats`: the running clock hour (UTC) and the `hours` - 1 before it.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    own = inquiry.filters()
    clock_hours = _clock_hours(inquiry.now, hours)
    span = Span(clock_hours[0].lower, clock_hours[-1].upper)
    by_hour = _by_hour(inquiry, _CALLS, clock_hours, own)
    overall = {name: sum(row[name] for row in by_hour.values()) for name in _CALLS}
    return {
        "overview": {
            "total_calls": whole(overall, "requests"),
            "total_errors": whole(overall, "errors"),
            "avg_response_time": average_time(overall),
            "success_rate": success_rate(overall),
        },
        "hourly_usage": [
            {
                "hour": hour.start.isoformat(),
                "call_count": whole(by_hour.get(piece, {}), "requests"),
                "avg_response_time": average_time(by_hour.get(piece, {})),
            }
            for piece, hour in enumerate(clock_hours, 1)
        ],
        "top_tokens": _top_tokens(inquiry, span, own, TOP),
        "top_routes": _top_routes(inquiry, span, own, TOP),
    }


def dashboard(inquiry: Inquiry, where: ZoneInfo) -> dict[str, Any]:
    """`GET /api/usage/dashboard`: the running ISO week of zone `where`.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    own = inquiry.filters()
    monday = first_day(inquiry.now.astimezone(where).date(), "week")
    span = Span(start_of_day(monday, where), start_of_day(monday + timedelta(days=7), where))
    week: Figures = next(iter(engine.run(inquiry.connection, Spec(_CALLS, span=span, filters=own))), {})
    return {
        "week": {"total_calls": whole(week, "requests"), "success_rate": success_rate(week)},
        "top_tokens": _top_tokens(inquiry, span, own, TOP_OF_WEEK),
        "top_routes": _top_routes(inquiry, span, own, TOP_OF_WEEK),
    }


def token(inquiry: Inquiry, id_or_hash: str, where: ZoneInfo) -> dict[str, Any]:
    """`GET /api/usage/token/{token_id}`: all calls ever made with a token; hours of the day are those of `where`.

    Raises:
        NotFound: no such token, or it is neither bound to the caller nor in an event of its own.
        Forbidden: as `Inquiry.filters`.
    """
    connection = inquiry.connection
    registered = connection.execute(statement("gateway", "find_token"), {"token": id_or_hash}).one_or_none()
    token_hash = id_or_hash.lower() if registered is None else registered.token_hash
    of_token = inquiry.filters({"token": (token_hash,)})
    life = _life(inquiry, of_token)
    belongs = registered is not None and _belongs(registered, inquiry.principal)
    if not life and not belongs:
        raise NotFound(f'There is no token "{id_or_hash[:100]}" with usage that you may see.')
    total = whole(life, "requests")
    by_route = _most_called(inquiry, "route_key", EVER, of_token, MOST_LISTED)
    known = known_values(connection, (row["route_key"] for row in by_route))
    return {
        "token": _facts(token_hash, registered, life, all_of_them=belongs),
        "stats": _stats_of_life(life),
        "recent_usage": [call_of(event) for event in events.latest(inquiry, of_token, RECENT)],
        "routes": [
            {
                "route_path": known[row["route_key"]].value,
                "call_count": whole(row, "requests"),
                "share": share(whole(row, "requests"), total),
            }
            for row in by_route
        ],
        "hours_of_day": _hours_of_day(inquiry, of_token, life, where),
    }


def route(inquiry: Inquiry, route_path: str, hours: int) -> dict[str, Any]:
    """`GET /api/usage/route`: all calls ever made of a route; the trend is of the last `hours`, as in `stats`.

    Raises:
        NotFound: the caller may see no call of it.
        Forbidden: as `Inquiry.filters`.
    """
    connection = inquiry.connection
    of_route = inquiry.filters({"route": (route_path,)})
    life = _life(inquiry, of_route)
    if not life:
        raise NotFound(f'There is no call of the route "{route_path[:100]}" that you may see.')
    total = whole(life, "requests")
    by_token = _most_called(inquiry, "token_key", EVER, of_route, MOST_LISTED)
    known = known_values(connection, (row["token_key"] for row in by_token))
    clock_hours = _clock_hours(inquiry.now, hours)
    by_hour = _by_hour(inquiry, (*_CALLS, "p95"), clock_hours, of_route)
    return {
        "route": {"route_path": route_path},
        "stats": _stats_of_life(life),
        "tokens": [_token_usage(row, known) | {"share": share(whole(row, "requests"), total)} for row in by_token],
        "trend": [
            {
                "hour": hour.start.isoformat(),
                "call_count": whole(by_hour.get(piece, {}), "requests"),
                "avg_response_time": average_time(by_hour.get(piece, {})),
                "p95_response_time": by_hour.get(piece, {}).get("p95") or 0,
            }
            for piece, hour in enumerate(clock_hours, 1)
        ],
        "errors": _errors(inquiry, of_route),
    }


def _clock_hours(now: datetime, hours: int) -> list[LocalWindow]:
    """The running clock hour (UTC) and those before it, in order."""
    upper = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return list(windows(upper - timedelta(hours=hours), upper, "hour", UTC))


def _by_hour(
    inquiry: Inquiry, measures: tuple[str, ...], clock_hours: Sequence[LocalWindow], filters: Filters
) -> dict[int, Figures]:
    """The figures of those clock hours that have any, by the hour's place, which counts from 1."""
    span = Span(clock_hours[0].lower, clock_hours[-1].upper)
    spec = Spec(measures, span=span, cuts=[hour.lower for hour in clock_hours], filters=filters)
    return {row["piece"]: row for row in engine.run(inquiry.connection, spec)}


def _most_called(inquiry: Inquiry, key: str, span: Span, filters: Filters, most: int) -> Sequence[Figures]:
    """The most called that have a value; the earlier known one first where two are equal."""
    # One row more: that of the calls without a value may be among them.
    spec = Spec(_CALLS, (key,), span, filters=filters, order_by="-requests", limit=most + 1)
    return [row for row in engine.run(inquiry.connection, spec) if row[key]][:most]


def _top_tokens(inquiry: Inquiry, span: Span, filters: Filters, most: int) -> list[dict[str, Any]]:
    rows = _most_called(inquiry, "token_key", span, filters, most)
    known = known_values(inquiry.connection, (row["token_key"] for row in rows))
    return [_token_usage(row, known) for row in rows]


def _token_usage(row: Figures, known: Mapping[int, Known]) -> dict[str, Any]:
    meant = known[row["token_key"]]
    return {
        "id": meant.token_id,
        "name": meant.token_name,
        "team_id": meant.team_id,
        "token_hash": meant.value,
        "usage_count": whole(row, "requests"),
    }


def _top_routes(inquiry: Inquiry, span: Span, filters: Filters, most: int) -> list[dict[str, Any]]:
    rows = _most_called(inquiry, "route_key", span, filters, most)
    known = known_values(inquiry.connection, (row["route_key"] for row in rows))
    return [
        {
            "route_path": known[row["route_key"]].value,
            "call_count": whole(row, "requests"),
            "avg_response_time": average_time(row),
            "success_rate": success_rate(row),
        }
        for row in rows
    ]


def _life(inquiry: Inquiry, filters: Filters) -> Figures:
    """The figures of all time; empty where there is no event."""
    return next(iter(engine.run(inquiry.connection, Spec(_LIFE, filters=filters))), {})


def _stats_of_life(life: Figures) -> dict[str, Any]:
    return {
        "total_calls": whole(life, "requests"),
        "error_count": whole(life, "errors"),
        "avg_response_time": average_time(life),
        "first_used": life.get("first_time"),
        "last_used": life.get("last_time"),
    }


def _belongs(registered: Row[Any], principal: Principal) -> bool:
    """Whether a token is bound to the caller's own organization or user, or the caller sees everybody's."""
    if "read:all" in principal.scopes:
        return True
    own = registered.organization_id == principal.organization_id
    return own and principal.user_id in (None, registered.user_id)


def _facts(token_hash: str, registered: Row[Any] | None, life: Figures, *, all_of_them: bool) -> dict[str, Any]:
    """What is known of a token: of one that only events name its hash, of somebody else's no more than in `stats`."""
    facts: dict[str, Any] = {name: getattr(registered, name, None) for name in ("id", "name", "team_id")}
    facts["token_hash"] = token_hash
    facts |= {name: getattr(registered, name) if registered and all_of_them else None for name in _BOUND_FACTS}
    # Events that are not folded yet have not reached the table of tokens.
    uses = [used for used in (facts["last_used_at"], life.get("last_time")) if used is not None]
    return facts | {"last_used_at": max(uses, default=None)}


def call_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as system D names its fields."""
    return {
        "route_path": event["route"],
        "used_at": event["time"],
        "response_status": event["status"],
        "response_time_ms": event["response_time_ms"],
        "request_method": event["method"],
        "error_message": event["error_message"],
    }


def _hours_of_day(inquiry: Inquiry, filters: Filters, life: Figures, where: ZoneInfo) -> list[dict[str, int]]:
    """The calls of all time by hour of the day of zone `where`, 0 to 23."""
    calls: Counter[int] = Counter()
    if life:
        hours = list(windows(life["first_time"], life["last_time"] + timedelta(microseconds=1), "hour", where))
        spec = Spec(("requests",), cuts=[hour.lower for hour in hours[1:]], filters=filters)
        for row in engine.run(inquiry.connection, spec):
            calls[hours[row["piece"]].start.hour] += whole(row, "requests")
    return [{"hour": hour, "call_count": calls[hour]} for hour in range(24)]


def _errors(inquiry: Inquiry, of_route: Filters) -> list[dict[str, Any]]:
    """The errors of all time by status and type, the most first."""
    spec = Spec(
        ("errors", "last_error_time"),
        ("status", "error_type_key"),
        filters=of_route,
        order_by="-errors",
        limit=MOST_LISTED,
    )
    rows = [row for row in engine.run(inquiry.connection, spec) if row["errors"]]
    rows.sort(key=lambda row: (-row["errors"], *((not row[key], row[key]) for key in spec.keys)))
    known = known_values(inquiry.connection, (row["error_type_key"] for row in rows))
    return [
        {
            "status": row["status"] or None,
            "error_type": known[row["error_type_key"]].value if row["error_type_key"] else None,
            "count": whole(row, "errors"),
            "last_seen": row["last_error_time"],
        }
        for row in rows
    ]
