"""Whether a call may be made now: its token, the route that it wants, and the hard budgets that it counts for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Connection, Row

from tally.budgets import hard, storage
from tally.budgets.budget import Standing, Subject
from tally.database import statement

Reason = Literal["unknown_token", "revoked", "expired", "route", "budget"]
ANY = "*"
# Until whoever asks may ask again about a budget that never begins anew: somebody may raise it.
_NEVER_RESETS = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call before it is made. `cost` is what it is expected to cost, in each budget's currency."""

    subject: Subject
    token_hash: str | None = None
    route: str | None = None
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may be made, and what it counts for.

    Attributes:
        reason: why not; None where it may.
        token: of the call, as it is registered; None where none is named or known.
        budgets: how the hard budgets stand that the call counts for.
        retry_after: in how many seconds it may be made, as far as is known; None where waiting does not help.
    """

    reason: Reason | None
    token: dict[str, Any] | None
    budgets: Sequence[Standing] = ()
    retry_after: int | None = None


def check(connection: Connection, call: Call, now: datetime) -> Verdict:
    """Whether `call` may be made at `now` (UTC), exact as of this moment.

    The organization and the user that a token is bound to are those of the call. Nothing is counted or kept.

    Raises:
        QuestionTooLarge: the time limit.
    """
    subject, token = call.subject, None
    if call.token_hash is not None:
        found = connection.execute(statement("limits", "token"), {"token_hash": call.token_hash}).one_or_none()
        if found is None:
            return Verdict("unknown_token", None)
        token = {"id": found.id, "name": found.name, "team_id": found.team_id, "scopes": [*found.scopes]}
        if reason := _against(found, call.route):
            return Verdict(reason, token)
        subject = replace(
            subject,
            token_id=found.id,
            organization_id=found.organization_id or subject.organization_id,
            user_id=found.user_id or subject.user_id,
        )
    budgets = hard.counting(connection, storage.every(connection), subject, now)
    spent = [one for one in budgets if one.is_exhausted or one.spent + call.cost > one.budget.amount]
    if not spent:
        return Verdict(None, token, budgets)
    waits = [_NEVER_RESETS if one.span.upper is None else one.span.upper - now for one in spent]
    return Verdict("budget", token, budgets, max(1, -(-max(waits) // _SECOND)))


def _against(token: Row[Any], route: str | None) -> Reason | None:
    """What is against a token."""
    if token.revoked:
        return "revoked"
    if token.expired:
        return "expired"
    if token.routes is None or route is None or any(_fits(pattern, route) for pattern in token.routes):
        return None
    return "route"


def _fits(pattern: str, route: str) -> bool:
    return route.startswith(pattern.removesuffix(ANY)) if pattern.endswith(ANY) else route == pattern
