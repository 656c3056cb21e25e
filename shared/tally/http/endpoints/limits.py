"""Whether a call may be made: asked by a gateway before it calls the model."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from tally.budgets.budget import Standing, Subject
from tally.errors import Forbidden, Malformed, NotFound, PayloadTooLarge, Unprocessable, UnsupportedMediaType
from tally.event import Money
from tally.http.api import JsonAnswer
from tally.http.asking import Ask, Asking
from tally.http.examples import example
from tally.http.managing import Body, body_of, read_model
from tally.http.refusals import refusals
from tally.limits import Call, Verdict, check
from tally.usage.inquiry import Inquiry

router = APIRouter(tags=["limits"])
_EXAMPLE = {
    "allowed": True,
    "reason": None,
    "token": None,
    "limits": [
        {
            "name": "acme a month",
            "limit": 100,
            "used": 12.5,
            "remaining": 87.5,
            "resets_at": "2026-06-01T00:00:00+03:00",
        }
    ],
}
_DENIED = _EXAMPLE | {"allowed": False, "reason": "budget"}
_TEXT = Field(None, min_length=1, max_length=2000)


class CallForm(Body):
    """What is known of a call before it is made."""

    organization_id: str | None = _TEXT
    user_id: str | None = _TEXT
    agent_id: str | None = _TEXT
    model: str | None = _TEXT
    token_hash: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$", description="SHA-256 of the token that calls.")
    route: str | None = Field(None, min_length=1, max_length=2000, description="What it wants to call.")
    cost: Annotated[Money, Field(ge=0)] = Field(Decimal(0), description="What it will cost at most, if that is known.")

    def call(self) -> Call:
        """The same as `tally.limits` takes it."""
        subject = Subject(
            organization_id=self.organization_id, user_id=self.user_id, agent_id=self.agent_id, model=self.model
        )
        return Call(subject, self.token_hash and self.token_hash.lower(), self.route, self.cost)


async def _checker(request: Request) -> Ask:
    asking: Asking = request.app.state.asking
    return Ask(asking, request, await asking.authenticator.authenticate(request, "limits"))


@router.post(
    "/v1/limits/check",
    responses=example(_EXAMPLE)
    | refusals(Malformed, NotFound, PayloadTooLarge, UnsupportedMediaType, Unprocessable)
    | {429: {**example(_DENIED)[200], "description": "A hard budget is spent; `Retry-After` says until when."}},
    openapi_extra=body_of(CallForm, {"organization_id": "acme", "model": "gpt-4o"}),
)
async def check_limits(ask: Annotated[Ask, Depends(_checker)], request: Request) -> JsonAnswer:
    """Say whether a call may be made now.

    200 with `allowed` false and the `reason` where the token is unknown, revoked or expired, or may not call the route;
    429 where a hard budget is spent. What a token is bound to counts. Nothing is counted by asking.
    """
    form = await read_model(request, CallForm)
    return await ask(lambda inquiry: _answer(inquiry, form))


def _answer(inquiry: Inquiry, form: CallForm) -> JsonAnswer:
    for name in ("organization_id", "user_id"):
        mine, asked = getattr(inquiry.principal, name), getattr(form, name)
        if mine is not None and asked not in (None, mine):
            raise Forbidden(f"This token asks for its own {name} only.")
    verdict = check(inquiry.connection, form.call(), inquiry.now)
    body = {
        "allowed": verdict.reason is None,
        "reason": verdict.reason,
        "token": verdict.token,
        "limits": [_limit(one) for one in verdict.budgets],
    }
    return JsonAnswer(body, 200 if verdict.retry_after is None else 429, _headers(verdict, inquiry.now))


def _limit(one: Standing) -> dict[str, Any]:
    return {
        "name": one.budget.name,
        "limit": one.budget.amount,
        "used": one.spent,
        "remaining": max(one.left, Decimal(0)),
        "resets_at": one.shown_span()["window_end"],
    }


def _headers(verdict: Verdict, now: datetime) -> dict[str, str]:
    """`RateLimit` as in the IETF's draft of the HTTPAPI working group: whole units left, seconds until it resets."""
    items = []
    for one in verdict.budgets:
        resets = "" if one.span.upper is None else f";t={int((one.span.upper - now).total_seconds())}"
        items.append(f'"{one.budget.id}";r={int(max(one.left, Decimal(0)))}{resets}')
    headers = {"RateLimit": ", ".join(items)} if items else {}
    return headers if verdict.retry_after is None else {**headers, "Retry-After": str(verdict.retry_after)}
