"""System B, the bot platform: accounts of organizations, and diagnostics of what was received lately."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from tally.http.api import JsonAnswer
from tally.http.asking import Asker
from tally.http.endpoints.cursors import Cursor, cursor_behind
from tally.http.endpoints.parameters import Parameters, Whole
from tally.http.examples import example
from tally.usage import bot_platform

router = APIRouter(tags=["system B"])
_MOST_ACCOUNTS = 200


class AccountsParameters(Parameters):
    """Which page of the accounts."""

    limit: Whole = Field(50, ge=1, le=_MOST_ACCOUNTS, description="Accounts a page.")
    cursor: Cursor | None = Field(None, description="next_cursor of the page before.")


@router.get(
    "/api/v1/billing/accounts",
    responses=example(
        {
            "items": [
                {
                    "organization_id": "acme",
                    "name": "Acme",
                    "plan": "starter",
                    "free_requests_limit": 1000,
                    "free_requests_used": 1000,
                    "requests_used_current_period": 1204,
                    "period_start": "2026-04-15T00:00:00+03:00",
                    "period_end": "2026-05-15T00:00:00+03:00",
                    "updated_at": "2026-05-01T12:00:00+00:00",
                }
            ],
            "next_cursor": None,
        }
    ),
)
async def billing_accounts(ask: Asker, parameters: Annotated[AccountsParameters, Query()]) -> JsonAnswer:
    """Organizations with the requests of their running billing period, by id."""
    items, last = await ask(lambda inquiry: bot_platform.accounts(inquiry, parameters.limit, parameters.cursor or ""))
    return JsonAnswer({"items": items, "next_cursor": cursor_behind(last)})


@router.get(
    "/api/v1/diagnostics",
    responses=example(
        {
            "total_records": 120_000,
            "records_last_hour": 420,
            "recent_records": 70,
            "unique_users": 310,
            "unique_endpoints": 24,
            "last_record_age_seconds": 0.8,
            "updated_accounts": 12,
            "errors": [{"status_code": 502, "endpoint": "/v1/chat", "error_count": 3, "last_error": "bad gateway"}],
            "slowest": [
                {
                    "endpoint": "/v1/images",
                    "method": "POST",
                    "call_count": 18,
                    "avg_ms": 2140.5,
                    "p95_ms": 4100,
                    "max_ms": 5230,
                }
            ],
        }
    ),
)
async def diagnostics(ask: Asker, _parameters: Annotated[Parameters, Query()]) -> JsonAnswer:
    """What was received in the last 10 minutes (recent), hour (slowest) and day (errors); totals are of all time."""
    return JsonAnswer(await ask(bot_platform.diagnostics))
