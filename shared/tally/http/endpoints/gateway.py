"""System D, the API gateway: calls by hour, token and route, and all that is known of one token or route."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from tally.errors import NotFound
from tally.http.api import JsonAnswer
from tally.http.asking import Asker
from tally.http.endpoints.parameters import Parameters, Text, Whole, ZonedParameters
from tally.http.examples import example
from tally.http.refusals import refusals
from tally.usage import gateway

router = APIRouter(tags=["system D"])
_MOST_HOURS = 24 * 400
_TOKEN = {"id": "42", "name": "mobile app", "team_id": "red", "token_hash": "cd" * 32}
_ROUTE = {"route_path": "/v1/chat", "call_count": 80, "avg_response_time": 91.0, "success_rate": 98.8}
_STATS: dict[str, Any] = {
    "total_calls": 120,
    "error_count": 3,
    "avg_response_time": 84.2,
    "first_used": "2026-03-01T09:30:00+00:00",
    "last_used": "2026-05-01T12:34:56+00:00",
}


class HoursParameters(Parameters):
    """How far back system D's statistics go."""

    hours: Whole = Field(24, ge=1, le=_MOST_HOURS, description="Clock hours, the running one included.")


class RouteParameters(HoursParameters):
    """Which route, and how far back its trend goes."""

    route_path: Annotated[Text, Field(min_length=1)] = Field(
        description="The route as it was called.", examples=["/v1/chat"]
    )


@router.get(
    "/api/usage/stats",
    responses=example(
        {
            "overview": {"total_calls": 120, "total_errors": 3, "avg_response_time": 84.2, "success_rate": 97.5},
            "hourly_usage": [{"hour": "2026-05-01T12:00:00+00:00", "call_count": 120, "avg_response_time": 84.2}],
            "top_tokens": [{**_TOKEN, "usage_count": 70}],
            "top_routes": [_ROUTE],
        }
    ),
)
async def usage_stats(ask: Asker, parameters: Annotated[HoursParameters, Query()]) -> JsonAnswer:
    """Calls of the last hours, by hour, by token and by route."""
    return JsonAnswer(await ask(lambda inquiry: gateway.stats(inquiry, parameters.hours)))


@router.get(
    "/api/usage/dashboard",
    responses=example(
        {
            "week": {"total_calls": 120, "success_rate": 97.5},
            "top_tokens": [{**_TOKEN, "usage_count": 70}],
            "top_routes": [_ROUTE],
        }
    ),
)
async def usage_dashboard(ask: Asker, parameters: Annotated[ZonedParameters, Query()]) -> JsonAnswer:
    """Calls of the running week (from Monday), and the three tokens and routes with the most of them."""
    where = parameters.zone()
    return JsonAnswer(await ask(lambda inquiry: gateway.dashboard(inquiry, where)))


@router.get(
    "/api/usage/token/{token_id}",
    responses=example(
        {
            "token": {
                **_TOKEN,
                "scopes": [],
                "routes": None,
                "organization_id": "acme",
                "user_id": None,
                "created_at": "2026-03-01T09:00:00+00:00",
                "expires_at": None,
                "revoked_at": None,
                "last_used_at": "2026-05-01T12:34:56+00:00",
            },
            "stats": _STATS,
            "recent_usage": [
                {
                    "route_path": "/v1/chat",
                    "used_at": "2026-05-01T12:34:56+00:00",
                    "response_status": 200,
                    "response_time_ms": 91.5,
                    "request_method": "POST",
                    "error_message": None,
                }
            ],
            "routes": [{"route_path": "/v1/chat", "call_count": 80, "share": 66.7}],
            "hours_of_day": [{"hour": hour, "call_count": 5} for hour in range(24)],
        }
    )
    | refusals(NotFound),
)
async def usage_of_token(
    ask: Asker,
    token_id: Annotated[Text, Path(description="Its id, or its hash.", examples=["cd" * 32])],
    parameters: Annotated[ZonedParameters, Query()],
) -> JsonAnswer:
    """What is known of a token, and all its calls: totals, the last 100, by route, and by hour of the day."""
    where = parameters.zone()
    return JsonAnswer(await ask(lambda inquiry: gateway.token(inquiry, token_id, where)))


@router.get(
    "/api/usage/route",
    responses=example(
        {
            "route": {"route_path": "/v1/chat"},
            "stats": _STATS,
            "tokens": [{**_TOKEN, "usage_count": 70, "share": 58.3}],
            "trend": [
                {
                    "hour": "2026-05-01T12:00:00+00:00",
                    "call_count": 12,
                    "avg_response_time": 84.2,
                    "p95_response_time": 210.5,
                }
            ],
            "errors": [
                {"status": 429, "error_type": "rate_limit", "count": 3, "last_seen": "2026-05-01T12:30:00+00:00"}
            ],
        }
    )
    | refusals(NotFound),
)
async def usage_of_route(ask: Asker, parameters: Annotated[RouteParameters, Query()]) -> JsonAnswer:
    """All calls of a route: totals, by token, errors by kind; and the trend of the last hours."""
    return JsonAnswer(await ask(lambda inquiry: gateway.route(inquiry, parameters.route_path, parameters.hours)))
