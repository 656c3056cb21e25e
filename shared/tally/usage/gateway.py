"""System D, the API gateway: calls of the last hours, by hour, by token and by route."""

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from tally.usage import engine
from tally.usage.coverage import Span
from tally.usage.figures import average_time, success_rate, whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import known_values
from tally.usage.spec import Spec
from tally.usage.windows import windows

TOP = 10
_CALLS = ("requests", "errors", "response_time_ms", "timed_requests")


def stats(inquiry: Inquiry, hours: int) -> dict[str, Any]:
    """`GET /api/usage/stats`: the running clock hour (UTC) and the `hours` - 1 before it.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    connection = inquiry.connection
    upper = inquiry.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    lower = upper - timedelta(hours=hours)
    own = inquiry.filters()
    span = Span(lower, upper)
    clock_hours = list(windows(lower, upper, "hour", UTC))
    by_hour = {
        row["piece"]: row
        for row in engine.run(
            connection, Spec(_CALLS, span=span, cuts=[hour.lower for hour in clock_hours], filters=own)
        )
    }
    by_token = engine.run(connection, Spec(("requests",), ("token_key",), span, filters=own))
    by_route = engine.run(connection, Spec(_CALLS, ("route_key",), span, filters=own))
    tokens, routes = _top(by_token, "token_key"), _top(by_route, "route_key")
    known = known_values(connection, [row["token_key"] for row in tokens] + [row["route_key"] for row in routes])
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
        "top_tokens": [
            {
                "id": known[row["token_key"]].token_id,
                "name": known[row["token_key"]].token_name,
                "team_id": known[row["token_key"]].team_id,
                "token_hash": known[row["token_key"]].value,
                "usage_count": whole(row, "requests"),
            }
            for row in tokens
        ],
        "top_routes": [
            {
                "route_path": known[row["route_key"]].value,
                "call_count": whole(row, "requests"),
                "avg_response_time": average_time(row),
                "success_rate": success_rate(row),
            }
            for row in routes
        ],
    }


def _top(rows: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """The ten with the most calls that have a value; the earlier known one first where two are equal."""
    named = [row for row in rows if row[key]]
    return sorted(named, key=lambda row: (-row["requests"], row[key]))[:TOP]
