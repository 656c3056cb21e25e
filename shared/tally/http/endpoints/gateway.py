"""System D, the API gateway: calls by hour, token and route."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from tally.http.api import JsonAnswer
from tally.http.asking import Asker
from tally.http.endpoints.examples import example
from tally.http.endpoints.parameters import Parameters
from tally.usage import gateway

router = APIRouter(tags=["system D"])
_MOST_HOURS = 24 * 400


class HoursParameters(Parameters):
    """How far back system D's statistics go."""

    hours: int = Field(24, ge=1, le=_MOST_HOURS, description="Clock hours, the running one included.")


@router.get(
    "/api/usage/stats",
    responses=example(
        {
            "overview": {"total_calls": 120, "total_errors": 3, "avg_response_time": 84.2, "success_rate": 97.5},
            "hourly_usage": [{"hour": "2026-05-01T12:00:00+00:00", "call_count": 120, "avg_response_time": 84.2}],
            "top_tokens": [
                {"id": "42", "name": "mobile app", "team_id": "red", "token_hash": "cd" * 32, "usage_count": 70}
            ],
            "top_routes": [
                {"route_path": "/v1/chat", "call_count": 80, "avg_response_time": 91.0, "success_rate": 98.8}
            ],
        }
    ),
)
async def usage_stats(ask: Asker, parameters: Annotated[HoursParameters, Query()]) -> JsonAnswer:
    """Calls of the last hours, by hour, by token and by route."""
    return JsonAnswer(await ask(lambda inquiry: gateway.stats(inquiry, parameters.hours)))
