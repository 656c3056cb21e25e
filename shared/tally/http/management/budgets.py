"""Budgets: what may be spent by whom, how each stands now, and what became of telling that it was crossed."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from tally.budgets import storage
from tally.budgets.budget import Budget, BudgetWindow, Standing
from tally.budgets.fields import Amount, BudgetFields, Currency, Flag, Given, Name, Thresholds, Zone
from tally.budgets.forecast import forecasts
from tally.budgets.managing import BudgetManager, Managed
from tally.budgets.spending import alike, standings
from tally.budgets.storage import Owner
from tally.errors import Forbidden, NotFound
from tally.http.api import JsonAnswer
from tally.http.endpoints.cursors import Cursor, cursor_behind
from tally.http.endpoints.parameters import Parameters, Text, Whole
from tally.http.examples import example
from tally.http.managing import Act, Body, Manager, Reader, body_of, checked, read_model
from tally.principal import Principal

router = APIRouter(tags=["management"])
_PATH = "/v1/budgets"
_MOST_ITEMS = 200
_SHOWN_CROSSINGS = 20
_GIVEN = {
    "name": "Acme, a month of AI",
    "organization_id": "acme",
    "amount": 500,
    "currency": "USD",
    "window": "month",
    "timezone": "Europe/Moscow",
    "thresholds": [50, 80, 100],
    "hard": False,
    "webhook_url": "https://example.com/hooks/tally",
}
_ID = "0197b0a5-6a5e-7c3f-9d8a-0f4e2b1c7d6e"
_SHOWN = {
    "id": _ID,
    **_GIVEN,
    "user_id": None,
    "token_id": None,
    "agent_id": None,
    "model": None,
    "created_at": "2026-05-01T12:00:00Z",
    "spent": 312.5,
    "left": 187.5,
    "percent": 62.5,
    "window_start": "2026-05-01T00:00:00+03:00",
    "window_end": "2026-06-01T00:00:00+03:00",
    "crossed": [50],
    "forecast": 540.25,
}
_CROSSING = {
    "threshold": 50,
    "amount": 500,
    "spent": 250.75,
    "window_start": "2026-05-01T00:00:00+03:00",
    "crossed_at": "2026-05-11T08:30:00Z",
    "deliveries": [
        {
            "channel": "webhook",
            "attempts": 1,
            "told_at": "2026-05-11T08:30:01Z",
            "next_attempt_at": None,
            "given_up_at": None,
            "last_error": None,
        }
    ],
}
_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # noqa: S105 - an example
_ONE = example({**_SHOWN, "crossings": [_CROSSING]})
BudgetId = Annotated[Text, Path(description="The budget's id.", examples=[_ID])]


class BudgetChange(Body):
    """What is to change; what is not given stays. `null` takes away what a budget need not have."""

    name: Name | None = None
    organization_id: Given | None = None
    user_id: Given | None = None
    token_id: Given | None = None
    agent_id: Given | None = None
    model: Given | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    window: BudgetWindow | None = None
    timezone: Zone | None = None
    thresholds: Thresholds | None = None
    hard: Flag | None = None
    webhook_url: Given | None = None
    rotate_webhook_secret: Flag = Field(False, description="Whether to sign with a new secret, which the answer has.")


class BudgetsParameters(Parameters):
    """How many budgets, and from where on."""

    limit: Whole = Field(50, ge=1, le=_MOST_ITEMS, description="Budgets at most.")
    cursor: Cursor | None = Field(None, description="The next_cursor of the page before.")


@router.get(_PATH, responses=example({"items": [_SHOWN], "next_cursor": None}))
async def budgets(read: Reader, parameters: Annotated[BudgetsParameters, Query()]) -> JsonAnswer:
    """How budgets stand in their windows now, exactly, in the order of their making.

    `forecast` is what will have been spent at the end of the window; null where the window is all of time, or there is
    no whole day with a cost before today. `unconverted_requests` and `older_rate_requests` are there as in `/v1/usage`.
    The scope `read` shows those of the organization or user that the token is bound to, `read:all` all of them;
    `webhook_url` is told to `admin` only.
    """

    def page(act: Act) -> dict[str, Any]:
        found = storage.page(act.connection, _owner(act.principal), parameters.cursor, parameters.limit + 1)
        shown = found[: parameters.limit]
        return {
            "items": _shown(act, shown),
            "next_cursor": cursor_behind(shown[-1].id) if len(found) > len(shown) else None,
        }

    return JsonAnswer(await read(page))


@router.get(f"{_PATH}/{{budget_id}}", responses=_ONE)
async def budget(read: Reader, budget_id: BudgetId) -> JsonAnswer:
    """How a budget stands, as in the list, its latest crossings, and what became of telling each."""

    def one(act: Act) -> dict[str, Any]:
        found = storage.find(act.connection, budget_id, _owner(act.principal))
        if found is None:
            raise NotFound(f'There is no budget "{budget_id[:100]}" that you may see.')
        [shown] = _shown(act, [found])
        return {**shown, "crossings": _crossings(act, found)}

    return JsonAnswer(await read(one))


@router.post(
    _PATH,
    status_code=201,
    responses={201: example({**_SHOWN, "webhook_secret": _SECRET})[200]},
    openapi_extra=body_of(BudgetFields, _GIVEN),
)
async def create_budget(manage: Manager, request: Request) -> JsonAnswer:
    """Makes a budget.

    Calls count that have all that is given of organization, user, token, agent and model; all calls where none is. With
    `webhook_url`, the answer has the secret that posts to it are signed with, this once.
    """
    given = await read_model(request, BudgetFields)
    return JsonAnswer(await manage(lambda act: _managed(act, _budgets(act).add(given))), 201)


@router.patch(
    f"{_PATH}/{{budget_id}}",
    responses=example({**_SHOWN, "webhook_secret": None}),
    openapi_extra=body_of(BudgetChange, {"amount": 600}),
)
async def change_budget(manage: Manager, request: Request, budget_id: BudgetId) -> JsonAnswer:
    """Changes a budget.

    With another amount, thresholds are told again once they are crossed, or at once where they are; with another
    subject, currency, window or time zone too. A new `webhook_secret` is in the answer, this once.
    """
    given = (await read_model(request, BudgetChange)).model_dump(exclude_unset=True)
    rotate = given.pop("rotate_webhook_secret", False)

    def merged(current: Mapping[str, Any]) -> BudgetFields:
        return checked(BudgetFields, {**current, **given})

    return JsonAnswer(
        await manage(lambda act: _managed(act, _budgets(act).change(budget_id, merged, rotate_secret=rotate)))
    )


@router.delete(
    f"{_PATH}/{{budget_id}}", status_code=204, responses={204: {"description": "It is gone."}}, response_class=Response
)
async def delete_budget(manage: Manager, budget_id: BudgetId) -> Response:
    """Deletes a budget. What is still to be told to its webhook is given up."""
    await manage(lambda act: _budgets(act).remove(budget_id))
    return Response(status_code=204)


def _budgets(act: Act) -> BudgetManager:
    return BudgetManager(act.connection, act.principal, act.private_webhooks)


def _owner(principal: Principal) -> Owner | None:
    """Whose budgets the caller may see; None for everybody's."""
    if "read:all" in principal.scopes:
        return None
    if principal.organization_id is None and principal.user_id is None:
        raise Forbidden(
            'This token has the scope "read" but is bound to no organization or user, so no budget is its own; a token '
            'with the scope "read:all" sees all of them.'
        )
    return Owner(principal.organization_id, principal.user_id)


def _managed(act: Act, managed: Managed) -> dict[str, Any]:
    [shown] = _shown(act, [managed.budget])
    return {**shown, "webhook_secret": managed.webhook_secret}


def _shown(act: Act, found: Iterable[Budget]) -> list[dict[str, Any]]:
    """Budgets as they are shown, in their order."""
    ordered = [*found]
    by_id = {one.budget.id: one for group in alike(ordered, act.now) for one in standings(act.connection, group)}
    ends = forecasts(act.connection, by_id.values(), act.now)
    webhook = "admin" in act.principal.scopes
    return [_item(by_id[budget.id], webhook=webhook) | {"forecast": ends[budget.id]} for budget in ordered]


def _item(standing: Standing, *, webhook: bool) -> dict[str, Any]:
    found = standing.budget
    return {
        "id": found.id,
        **found.settable(),
        **({} if webhook else {"webhook_url": None}),
        "created_at": found.created_at,
        "spent": standing.spent,
        "left": standing.left,
        "percent": standing.percent,
        **standing.shown_span(),
        "crossed": [*standing.crossed],
        **standing.left_out,
    }


def _crossings(act: Act, found: Budget) -> list[dict[str, Any]]:
    rows = storage.latest_crossings(act.connection, found.id, _SHOWN_CROSSINGS)
    crossings = []
    for (threshold, amount, spent, start, crossed_at), deliveries in groupby(
        rows, lambda row: (row.threshold, row.amount, row.spent, row.window_start, row.crossed_at)
    ):
        crossings.append(
            {
                "threshold": threshold,
                "amount": amount,
                "spent": spent,
                "window_start": _local(start, found),
                "crossed_at": crossed_at,
                "deliveries": [_delivery(one) for one in deliveries],
            }
        )
    return crossings


def _delivery(row: Any) -> dict[str, Any]:
    is_over = row.told_at is not None or row.given_up_at is not None
    return {
        "channel": row.channel,
        "attempts": row.attempts,
        "told_at": row.told_at,
        "next_attempt_at": None if is_over else row.next_attempt_at,
        "given_up_at": row.given_up_at,
        "last_error": row.last_error,
    }


def _local(instant: datetime | None, found: Budget) -> str | None:
    return None if instant is None else instant.astimezone(found.zone).isoformat()
