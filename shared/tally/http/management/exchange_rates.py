"""Exchange rates: set, listed, taken away, and what an amount is in another currency."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from tally import jsontext, rates
from tally.errors import PayloadTooLarge
from tally.event import Money
from tally.exchange_rate import CurrencyCode, ExchangeRate, key_of, parse_date
from tally.http.api import JsonAnswer
from tally.http.endpoints.cursors import Cursor, cursor_behind
from tally.http.endpoints.parameters import Day, Parameters, Whole
from tally.http.examples import example
from tally.http.managing import Act, Manager, Reader, body_of, checked, checked_list, read_json

router = APIRouter(tags=["management"])
_MOST_ITEMS = 1000
_BODY = {"base": "USD", "quote": "RUB", "rate": "80.5", "date": "2026-05-01", "source": "Bank of Russia"}
_RATE = {**_BODY, "rate": 80.5, "id": "USD/RUB/2026-05-01", "created_at": "2026-05-01T12:00:00Z"}
_ONE = example(_RATE)[200]["content"]["application/json"]["schema"]
_LIST = example({"items": [_RATE]})[200]["content"]["application/json"]["schema"]
_IN_FORCE = {
    "description": "What is now in force: the rate, or a list of them where a list was sent.",
    "content": {"application/json": {"schema": {"anyOf": [_ONE, _LIST]}, "example": _RATE}},
}
_CONVERTED = {"amount": 80500, "currency": "RUB", "rate": 80.5, "dated": "2026-05-01", "way": "direct"}


def _place_of(text: str) -> tuple[date, str, str]:
    day, base, quote = text.split("/")
    return parse_date(day), base, quote


def _of_ours(text: str) -> str:
    try:
        _place_of(text)
    except ValueError:
        raise PydanticCustomError("cursor", "expected the next_cursor of an answer") from None
    return text


class RateParameters(Parameters):
    """Which rates, and how many."""

    base: CurrencyCode | None = Field(None, description="Only rates of this currency.", examples=["USD"])
    quote: CurrencyCode | None = Field(None, description="Only rates in this currency.", examples=["RUB"])
    lower: Day | None = Field(None, alias="from", description="The first day.")
    upper: Day | None = Field(None, alias="to", description="The day before which they end.")
    limit: Whole = Field(100, ge=1, le=_MOST_ITEMS, description="Rates at most.")
    cursor: Annotated[Cursor, AfterValidator(_of_ours)] | None = Field(
        None, description="The next_cursor of the page before."
    )


class ConvertParameters(Parameters):
    """An amount, the currency it is in, the one it is wanted in, and the day."""

    amount: Money = Field(
        default_factory=lambda: Decimal(1), description="How much; 1 if not given.", examples=["1000"]
    )
    given: CurrencyCode = Field(alias="from", description="The currency of the amount.", examples=["USD"])
    wanted: CurrencyCode = Field(alias="to", description="The other.", examples=["RUB"])
    day: Day | None = Field(
        None, alias="date", description="The day (UTC); today if not given.", examples=["2026-05-01"]
    )


@router.get("/v1/exchange-rates", responses=example({"items": [_RATE], "next_cursor": None}))
async def exchange_rates(manage: Reader, parameters: Annotated[RateParameters, Query()]) -> JsonAnswer:
    """Exchange rates, the newest day first."""

    def page(act: Act) -> dict[str, Any]:
        found = rates.page(
            act.connection,
            parameters.limit + 1,
            base=parameters.base,
            quote=parameters.quote,
            lower=parameters.lower,
            upper=parameters.upper,
            behind=None if parameters.cursor is None else _place_of(parameters.cursor),
        )
        shown = found[: parameters.limit]
        last = shown[-1] if len(found) > len(shown) else None
        more = None if last is None else cursor_behind(f"{last['date']}/{last['base']}/{last['quote']}")
        return {"items": [_shown(**row) for row in shown], "next_cursor": more}

    return JsonAnswer(await manage(page))


@router.post(
    "/v1/exchange-rates",
    status_code=201,
    responses={201: _IN_FORCE},
    openapi_extra=body_of(ExchangeRate, _BODY, or_list=True),
)
async def set_exchange_rates(request: Request, manage: Manager) -> JsonAnswer:
    """Set an exchange rate, or a list of up to 1,000 of them: all or none.

    A rate of the same pair and day is replaced. Costs are converted with the new rate from the next question on, those
    of past events too.
    """
    given = await read_json(request)
    if isinstance(given, list) and len(given) > _MOST_ITEMS:
        raise PayloadTooLarge(f"{len(given)} exchange rates in one request; at most {_MOST_ITEMS} are taken.")

    def work(act: Act) -> dict[str, Any]:
        context = {"today": act.now.date()}
        if isinstance(given, list):
            return {"items": _set(act, checked_list(ExchangeRate, given, context))}
        [one] = _set(act, [checked(ExchangeRate, given, context)])
        return one

    return JsonAnswer(await manage(work), 201)


@router.delete(
    "/v1/exchange-rates/{base}/{quote}/{date}",
    status_code=204,
    response_class=Response,
    responses={204: {"description": "It is gone."}},
)
async def delete_exchange_rate(
    manage: Manager,
    base: Annotated[CurrencyCode, Path(description="The currency that the rate is of.")],
    quote: Annotated[CurrencyCode, Path(description="The currency that the rate is in.")],
    day: Annotated[Day, Path(alias="date", description="The very day of the rate.")],
) -> None:
    """Take an exchange rate away: the one before it counts from then on."""
    await manage(lambda act: rates.remove(act.connection, act.principal, base, quote, day))


@router.get("/v1/exchange-rates/convert", responses=example(_CONVERTED))
async def convert(manage: Reader, parameters: Annotated[ConvertParameters, Query()]) -> JsonAnswer:
    """What an amount is in another currency, as costs are converted.

    The newest rate up to the day counts; of equally new ones a rate between the two (`way` is `direct`), then one the
    other way round (`inverse`), then by way of US dollars (`cross`), as old as its older half. `dated` is the day of
    the rate. 404 names the rates that are missing.
    """

    def work(act: Act) -> dict[str, Any]:
        day = parameters.day or act.now.date()
        made = rates.convert(act.connection, parameters.amount, parameters.given, parameters.wanted, day)
        return {
            "amount": made.amount,
            "currency": made.currency,
            "rate": _exactly(made.rate),
            "dated": made.dated,
            "way": made.way,
        }

    return JsonAnswer(await manage(work))


def _set(act: Act, wanted: list[ExchangeRate]) -> list[dict[str, Any]]:
    return [
        _shown(**dict(one.rate), created_at=one.created_at)
        for one in rates.set_rates(act.connection, act.principal, wanted)
    ]


def _shown(*, base: str, quote: str, rate: Decimal, date: date, source: str, created_at: datetime) -> dict[str, Any]:
    return {
        "id": key_of(base, quote, date),
        "base": base,
        "quote": quote,
        "rate": _exactly(rate),
        "date": date,
        "source": source,
        "created_at": created_at,
    }


def _exactly(rate: Decimal) -> object:
    """A rate is no amount of money: all its digits count."""
    return jsontext.raw(format(rate, "f"))
