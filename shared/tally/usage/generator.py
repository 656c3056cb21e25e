"""System C, the generator: AI tokens by operation, user and kind of access token, and their forecast.

Its figures cover events with tokens, a model or an operation; what a plain call cost is not among them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from tally.cubes import IS_AI
from tally.database import statement
from tally.usage import engine
from tally.usage.coverage import Span
from tally.usage.exhaustion import BudgetState
from tally.usage.figures import cost_measures, left_out, total, whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import known_values
from tally.usage.outlook import outlook
from tally.usage.spec import Spec

_NO_OPERATION = "No operation"


def statistics(inquiry: Inquiry, span: Span, days: int, currency: str) -> dict[str, Any]:
    """`GET /api/v1/ai/statistics`: totals of a span of `days` days, and by operation, most tokens first.

    Events without an operation are under the empty name.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    spec = Spec(_measures(currency), ("operation_key",), span, filters=_filters(inquiry))
    rows = engine.run(inquiry.connection, spec)
    known = known_values(inquiry.connection, (row["operation_key"] for row in rows))
    codes = {row["operation_key"]: known[row["operation_key"]].value if row["operation_key"] else "" for row in rows}
    rows = sorted(rows, key=lambda row: (-row["total_tokens"], codes[row["operation_key"]]))
    return {
        "total_tokens": sum(whole(row, "total_tokens") for row in rows),
        "total_requests": sum(whole(row, "requests") for row in rows),
        "by_operation": {
            codes[row["operation_key"]]: {
                "name": name_of_operation(codes[row["operation_key"]]),
                "count": whole(row, "requests"),
                "tokens": whole(row, "total_tokens"),
                "cost": row[f"cost:{currency}"],
            }
            for row in rows
        },
        "cost": {"amount": total(row[f"cost:{currency}"] for row in rows), "currency": currency},
        "period_days": days,
        **left_out(rows, currency),
    }


def name_of_operation(code: str) -> str:
    """What people call an operation: TEXT_GENERATION is "Text generation"."""
    words = re.sub(r"[\s_-]+", " ", code).strip()
    if not words:
        return code or _NO_OPERATION
    return words.capitalize() if words.isupper() else words[0].upper() + words[1:]


def total_tokens(inquiry: Inquiry, span: Span, filters: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`GET /api/v1/ai/total-tokens`.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    spec = Spec(("total_tokens",), span=span, filters=_filters(inquiry, filters))
    rows = engine.run(inquiry.connection, spec)
    return {"total_tokens": sum(whole(row, "total_tokens") for row in rows)}


def top_users(inquiry: Inquiry, span: Span, limit: int, currency: str) -> dict[str, Any]:
    """`GET /api/v1/ai/top-users`: the `limit` users with the most tokens; the earlier known first of equal ones.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    spec = Spec(
        _measures(currency),
        ("user_key",),
        span,
        filters=_filters(inquiry),
        order_by="-total_tokens",
        limit=limit + 1,  # events without a user are a row too
    )
    rows = [row for row in engine.run(inquiry.connection, spec) if row["user_key"]][:limit]
    keys = {"keys": [row["user_key"] for row in rows]}
    users = {user.key: user for user in inquiry.connection.execute(statement("generator", "names_of_users"), keys)}
    return {
        "items": [
            {
                "user_id": users[row["user_key"]].user_id,
                "user_name": users[row["user_key"]].user_name,
                "total_tokens": whole(row, "total_tokens"),
                "requests": whole(row, "requests"),
                "cost": row[f"cost:{currency}"],
                **left_out([row], currency),
            }
            for row in rows
        ]
    }


def by_token_type(inquiry: Inquiry, span: Span) -> dict[str, Any]:
    """`GET /api/v1/ai/by-token-type`: by kind of access token, most tokens first; null where an event has none.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    spec = Spec(("total_tokens", "requests"), ("token_type_key",), span, filters=_filters(inquiry))
    rows = engine.run(inquiry.connection, spec)
    known = known_values(inquiry.connection, (row["token_type_key"] for row in rows))
    items: list[dict[str, Any]] = [
        {
            "token_type": known[row["token_type_key"]].value if row["token_type_key"] else None,
            "total_tokens": whole(row, "total_tokens"),
            "count": whole(row, "requests"),
        }
        for row in rows
    ]
    items.sort(key=lambda row: (-row["total_tokens"], row["token_type"] is None, row["token_type"]))
    return {"items": items}


def forecast(
    inquiry: Inquiry,
    currency: str,
    budgets: Sequence[BudgetState] = (),
    *,
    zone: ZoneInfo,
    days: int,
    history_days: int,
) -> dict[str, Any]:
    """`GET /api/v1/ai/forecast`: what `outlook` says, without the single days.

    Raises:
        Forbidden: as `Inquiry.filters`.
        QuestionTooLarge: the time limit.
    """
    found = outlook(
        inquiry,
        _filters(inquiry),
        zone=zone,
        days=days,
        history_days=history_days,
        currency=currency,
        budgets=budgets,
    )
    del found["days"]
    return found


def _measures(currency: str) -> tuple[str, ...]:
    return ("total_tokens", "requests", *cost_measures(currency))


def _filters(inquiry: Inquiry, given: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[Any]]:
    return inquiry.filters(given) | {IS_AI: [1]}
