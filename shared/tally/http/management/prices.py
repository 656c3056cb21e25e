"""The price book: list, add, correct and retire prices, and see which one a call falls under."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BeforeValidator, Field, RootModel
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from tally import prices
from tally.event import parse_time
from tally.http.api import JsonAnswer
from tally.http.endpoints.cursors import Cursor, cursor_behind
from tally.http.endpoints.parameters import Parameters, Text, Whole
from tally.http.examples import example
from tally.http.managing import Act, Manager, Reader, body_of, checked, read_model
from tally.pricing.book import ANY
from tally.pricing.form import PriceForm, corrected, written
from tally.pricing.price import OWN, Price

router = APIRouter(tags=["management"])
_MOST_ITEMS = 200
_MOST_LABELS = 50
_LAST = datetime(9999, 12, 31, tzinfo=UTC)
_BODY = {
    "provider": "openai",
    "model": "gpt-4o*",
    "currency": "USD",
    "valid_from": "2026-05-01T00:00:00+03:00",
    "per_million": {"input": 2.5, "cached_input": 1.25, "output": 10},
}
_PRICE = {
    "id": 2805,
    "origin": "own",
    "provider": "openai",
    "model": "gpt-4o*",
    "currency": "USD",
    "valid_from": "2026-04-30T21:00:00+00:00",
    "per_million": {"input": 2.5, "cached_input": 1.25, "output": 10},
    "per_request": None,
    "per_image": None,
    "tiers": [],
    "hours": [],
    "conditions": {},
    "created_at": "2026-05-01T12:00:00+00:00",
    "created_by": "finance",
    "replaces": None,
    "replaced_by": None,
    "retired_at": None,
}


def _instant(value: object) -> datetime:
    try:
        return parse_time(int(value) if isinstance(value, str) and value.isdecimal() else value)
    except ValueError as error:
        raise PydanticCustomError("time", "{reason}", {"reason": str(error)}) from None


def _label(value: object) -> tuple[str, str]:
    name, separator, text = str(value).partition("=")
    if not name or not separator:
        raise PydanticCustomError("label", "expected NAME=VALUE such as processing=batch")
    return name, text


Instant = Annotated[datetime, BeforeValidator(_instant)]
Label = Annotated[tuple[str, str], BeforeValidator(_label, json_schema_input_type=str)]
PriceId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The price's id.", examples=[1])]


class PriceList(Parameters):
    """Which prices, and how many."""

    provider: Text | None = Field(None, description="Only prices of this provider.", examples=["openai"])
    model: Text | None = Field(None, description="Only prices of this model; with * at its end, of all that begin so.")
    origin: Text | None = Field(
        None, description="Only prices from there: own, tally, or genai-prices and its version."
    )
    at: Instant | None = Field(
        None, description="Only those that hold at this time.", examples=["2026-05-01T12:00:00Z"]
    )
    limit: Whole = Field(50, ge=1, le=_MOST_ITEMS, description="Prices at most.")
    cursor: Cursor | None = Field(None, description="The next_cursor of the page before.")


class Call(Parameters):
    """A call whose price is asked for."""

    model: Text = Field(description="As the event names it.", examples=["gpt-4o-2024-08-06"])
    provider: Text | None = Field(None, description="As the event names it, if it does.", examples=["openai"])
    time: Instant | None = Field(None, description="When the call happened; now if not given.")
    label: Annotated[list[Label], Field(max_length=_MOST_LABELS)] = Field(
        [], description="A label that the event has, as NAME=VALUE; repeat for several.", examples=["processing=batch"]
    )


class Correction(RootModel[dict[str, Any]]):
    """Fields of a price that were wrong."""


@router.get("/v1/prices", responses=example({"items": [_PRICE], "next_cursor": None}))
async def list_prices(manage: Reader, parameters: Annotated[PriceList, Query()]) -> JsonAnswer:
    """The prices that are not retired, the newest first: the team's own, those of the data set, and Tally's own."""

    def work(act: Act) -> dict[str, Any]:
        behind = parameters.cursor
        found = prices.page(
            act.connection,
            provider=parameters.provider,
            model=parameters.model,
            origin=parameters.origin,
            at=parameters.at,
            behind=int(behind) if behind is not None and behind.isdecimal() and len(behind) < 10 else None,
            rows=parameters.limit + 1,
        )
        shown = found[: parameters.limit]
        more = cursor_behind(str(shown[-1].id)) if len(found) > len(shown) else None
        return {"items": [price.fields() for price in shown], "next_cursor": more}

    return JsonAnswer(await manage(work))


@router.post(
    "/v1/prices", status_code=201, responses={201: example(_PRICE)[200]}, openapi_extra=body_of(PriceForm, _BODY)
)
async def add_price(manage: Manager, request: Request) -> JsonAnswer:
    """A price of the team's own. It wins over the data set's for the calls from `valid_from` on.

    A new version of a price is a new price with a later `valid_from`. Calls that are already stored keep their price
    until they are priced again.
    """
    form = await read_model(request, PriceForm)
    added = await manage(lambda act: prices.add(act.connection, act.principal, form.draft()).fields())
    return JsonAnswer(added, 201)


@router.get("/v1/prices/for", responses=example({"price": _PRICE, "why": "it is the team's own price of this model"}))
async def price_for(manage: Reader, parameters: Annotated[Call, Query()]) -> JsonAnswer:
    """The price that a call falls under, and why; null where it has none, which leaves such calls unpriced."""

    def work(act: Act) -> dict[str, Any]:
        book = prices.load(act.connection)
        labels = dict(parameters.label)
        found = book.price_for(parameters.provider, parameters.model, parameters.time or act.now, labels)
        if found is not None:
            return {"price": prices.find(act.connection, found.id).fields(), "why": _why(found)}
        later = book.price_for(parameters.provider, parameters.model, _LAST, labels)
        why = "no price in the book is for this model: add one of your own"
        if later is not None:
            why = f"its prices begin later; price {later.id} does at {later.valid_from.isoformat()}"
        return {"price": None, "why": why}

    return JsonAnswer(await manage(work))


@router.get("/v1/prices/{price_id:int}", responses=example(_PRICE))
async def show_price(manage: Reader, price_id: PriceId) -> JsonAnswer:
    """One price, also one that is retired."""
    return JsonAnswer(await manage(lambda act: prices.find(act.connection, price_id).fields()))


@router.patch(
    "/v1/prices/{price_id:int}",
    responses=example({**_PRICE, "id": 2806, "replaces": 2805}),
    openapi_extra=body_of(Correction, {"per_million": {"output": 9.5, "reasoning": None}}),
)
async def correct_price(manage: Manager, price_id: PriceId, request: Request) -> JsonAnswer:
    """Corrects one of the team's own prices: a new one takes its place, with a new id, and the old one is retired.

    Only what is given changes; null takes a field away (a JSON merge patch, RFC 7396).
    """
    changes = (await read_model(request, Correction)).root

    def work(act: Act) -> dict[str, Any]:
        before = prices.find(act.connection, price_id)
        form = checked(PriceForm, corrected(_as_sent(before), changes))
        return prices.replace(act.connection, act.principal, price_id, form.draft()).fields()

    return JsonAnswer(await manage(work))


@router.delete(
    "/v1/prices/{price_id:int}",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "It is retired."}},
)
async def retire_price(manage: Manager, price_id: PriceId) -> None:
    """Takes a price out of force for calls to come. Calls that were priced with it keep what they cost."""
    await manage(lambda act: prices.retire(act.connection, act.principal, price_id))


def _as_sent(price: prices.Stored) -> dict[str, Any]:
    """A stored price as the body that makes it."""
    form = written(price.draft)
    return {**form, "valid_from": price.draft.valid_from.isoformat()}


def _why(price: Price) -> str:
    if price.origin == OWN:
        whose = "it is the team's own price"
        of = f"models that begin with {price.model.removesuffix(ANY)}" if price.model.endswith(ANY) else "this model"
        why = f"{whose} of {of}"
    else:
        why = f"{price.origin} has it as {price.provider} {price.model}"
    if price.conditions:
        told = " and ".join(f"{name}={value}" for name, value in price.conditions.items())
        why = f"{why}, for calls labelled {told}"
    return f"{why}; this version holds from {price.valid_from.isoformat()}"
