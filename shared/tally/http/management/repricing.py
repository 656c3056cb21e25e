"""Pricing events again: what it would change, doing it, and how far it is; and models without a price."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from tally.event import parse_time
from tally.http.api import JsonAnswer
from tally.http.endpoints.cursors import Cursor, cursor_behind
from tally.http.endpoints.parameters import Parameters, Text, Whole
from tally.http.examples import example
from tally.http.managing import Act, Body, Manager, Reader, body_of, read_model, refused
from tally.pricing.form import TIME_SCHEMA
from tally.repricing import work
from tally.repricing.work import Repricing, Scope
from tally.usage import unpriced
from tally.usage.inquiry import Inquiry

router = APIRouter(tags=["management"])
_MOST_ITEMS = 200
_MOST_MODELS = 1000
# As long as a client waits; what is left is done by the job rollup.
_SECONDS = 20.0
_CHANGE = {
    "provider": "openai",
    "model": "gpt-4o",
    "month": "2026-05",
    "currency": "USD",
    "events": 2,
    "old": 0.0195,
    "new": 0.0205,
    "difference": 0.001,
    "unpriced_before": 0,
    "unpriced_after": 0,
}
_REPRICING = {
    "id": "01978b2e-8c00-7000-8000-000000000000",
    "provider": "openai",
    "model": "gpt-4o*",
    "from": "2026-05-01T00:00:00+00:00",
    "to": None,
    "created_at": "2026-05-20T12:00:00+00:00",
    "created_by": "finance",
    "events": 1200,
    "changes": [_CHANGE],
    "applied": True,
    "finished_at": "2026-05-20T12:00:01+00:00",
}

_UNFINISHED = _REPRICING | {"applied": False, "finished_at": None}


def _instant(value: object) -> object:
    if value is None:
        return None
    try:
        return parse_time(value)
    except ValueError as error:
        raise PydanticCustomError("time", "{reason}", {"reason": str(error)}) from None


_OR_NULL = {"anyOf": [*TIME_SCHEMA["anyOf"], {"type": "null"}]}
Instant = Annotated[datetime | None, BeforeValidator(_instant), WithJsonSchema(_OR_NULL)]


class ScopeForm(Body):
    """Which events are priced again; all that have a model where nothing is given."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    provider: str | None = Field(None, min_length=1, max_length=2000, description="Only of this provider.")
    model: str | None = Field(
        None, min_length=1, max_length=2000, description="Only of this; * at the end for several."
    )
    lower: Instant = Field(None, alias="from", description="The earliest time of an event, included.")
    upper: Instant = Field(None, alias="to", description="The time up to which events are, excluded.")

    def scope(self) -> Scope:
        """The same as `tally.repricing` takes it.

        Raises:
            Unprocessable: it ends before it begins.
        """
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise refused("from", "must be before to (from is included, to is excluded)", self.lower.isoformat())
        return Scope(self.provider, self.model, self.lower, self.upper)


class RepriceParameters(Parameters):
    """Whether it is only a preview."""

    dry_run: bool = Field(default=False, description="true: only says what would change.")


class RepricingList(Parameters):
    """Which repricings."""

    limit: Whole = Field(50, ge=1, le=_MOST_ITEMS, description="Repricings at most.")
    cursor: Cursor | None = Field(None, description="The next_cursor of the page before.")


class UnpricedList(Parameters):
    """Which models without a price."""

    limit: Whole = Field(100, ge=1, le=_MOST_MODELS, description="Models at most.")


@router.post(
    "/v1/prices/reprice",
    responses=example(_REPRICING)
    | {202: {**example(_UNFINISHED)[200], "description": "It goes on by itself; what it changed so far."}},
    openapi_extra=body_of(ScopeForm, {"provider": "openai", "model": "gpt-4o*", "from": "2026-05-01"}),
)
async def reprice(manage: Manager, request: Request, parameters: Annotated[RepriceParameters, Query()]) -> JsonAnswer:
    """Price stored events again with the prices in force; with `dry_run=true`, only say what would change.

    Costs that senders gave stay; what the prices make of them is kept beside. It is done in batches, each as a whole.
    What does not fit into the time of a request is done within minutes (202, `applied` is false until then).
    """
    scope = (await read_model(request, ScopeForm)).scope()
    if parameters.dry_run:
        changes = await manage.alone(lambda store: work.preview(store, scope, _SECONDS))
        given = {"provider": scope.provider, "model": scope.model, "from": scope.lower, "to": scope.upper}
        return JsonAnswer({**dict.fromkeys(_REPRICING), **given, "changes": changes, "applied": False})
    repricing_id = await manage(lambda act: work.begin(act.connection, act.principal, scope))
    await manage.alone(lambda store: work.go_on(store, repricing_id, _SECONDS))
    done = await manage(lambda act: _shown(work.find(act.connection, repricing_id)))
    return JsonAnswer(done, 200 if done["applied"] else 202)


@router.get("/v1/prices/reprice", responses=example({"items": [_REPRICING], "next_cursor": None}))
async def repricings(manage: Manager, parameters: Annotated[RepricingList, Query()]) -> JsonAnswer:
    """What was priced again, newest first."""

    def page(act: Act) -> dict[str, Any]:
        found = work.page(act.connection, parameters.cursor, parameters.limit + 1)
        shown = found[: parameters.limit]
        more = cursor_behind(shown[-1].id) if len(found) > len(shown) else None
        return {"items": [_shown(one) for one in shown], "next_cursor": more}

    return JsonAnswer(await manage(page))


@router.get("/v1/prices/reprice/{repricing_id}", responses=example(_REPRICING))
async def repricing(
    manage: Manager, repricing_id: Annotated[Text, Path(description="Its id.", examples=[_REPRICING["id"]])]
) -> JsonAnswer:
    """How far a repricing is, and what it changed so far."""
    return JsonAnswer(await manage(lambda act: _shown(work.find(act.connection, repricing_id))))


@router.get(
    "/v1/prices/unpriced",
    responses=example({"items": [{"provider": "acme", "model": "new-model", "unpriced_requests": 12}]}),
)
async def unpriced_models(manage: Reader, parameters: Annotated[UnpricedList, Query()]) -> JsonAnswer:
    """Models whose requests have no cost, of all time, most requests first: a price is missing, or token counts are."""

    def found(act: Act) -> dict[str, Any]:
        inquiry = Inquiry(act.connection, act.principal, act.now)
        return {"items": unpriced.models(inquiry, parameters.limit)}

    return JsonAnswer(await manage(found))


def _shown(done: Repricing) -> dict[str, Any]:
    return {
        "id": done.id,
        "provider": done.scope.provider,
        "model": done.scope.model,
        "from": done.scope.lower,
        "to": done.scope.upper,
        "created_at": done.created_at,
        "created_by": done.created_by,
        "events": done.events,
        "changes": done.changes,
        "applied": done.finished_at is not None,
        "finished_at": done.finished_at,
    }
