"""System C, the generator: AI tokens by operation, user and kind of access token, in roubles if not asked otherwise."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from tally.budgets.running_out import with_budgets
from tally.http.api import JsonAnswer
from tally.http.asking import Asker
from tally.http.endpoints.parameters import Currency, Days, Parameters, PeriodParameters, Text, Whole, ZonedParameters
from tally.http.examples import example
from tally.usage import generator
from tally.usage.days import MAX_DAYS, last_days
from tally.usage.inquiry import Inquiry
from tally.usage.outlook import FURTHEST_DAYS, LEAST_HISTORY_DAYS

_PATH = "/api/v1/ai"
_MOST_USERS = 1000
router = APIRouter(tags=["system C"])


class CurrencyParameters(Parameters):
    """What costs are reported in."""

    currency: Currency = Field("RUB", description="ISO 4217 code that costs are reported in.")


class StatisticsParameters(ZonedParameters, CurrencyParameters):
    """How many days the statistics cover."""

    days: Days = Field(7, description="Today and the days before it, so many in all.")


class TotalParameters(PeriodParameters):
    """A range and an operation."""

    operation: Text | None = Field(None, description="Only events with this operation; empty for none.")

    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filter given, by the dimension that it is on."""
        return {} if self.operation is None else {"operation": (self.operation,)}


class TopParameters(PeriodParameters, CurrencyParameters):
    """A range, and how many users."""

    limit: Whole = Field(10, ge=1, le=_MOST_USERS, description="Users at most.")


class ForecastParameters(ZonedParameters, CurrencyParameters):
    """How far to look ahead, and how far back to learn from."""

    days: Whole = Field(30, ge=1, le=FURTHEST_DAYS, description="How many days to look ahead.")
    history_days: Whole = Field(
        28, ge=LEAST_HISTORY_DAYS, le=MAX_DAYS, description="Whole days, the last one yesterday."
    )


@router.get(
    f"{_PATH}/statistics",
    responses=example(
        {
            "total_tokens": 1550,
            "total_requests": 1,
            "by_operation": {"TEXT_GENERATION": {"name": "Text generation", "count": 1, "tokens": 1550, "cost": 0.6}},
            "cost": {"amount": 0.6, "currency": "RUB"},
            "period_days": 7,
        }
    ),
)
async def statistics(ask: Asker, parameters: Annotated[StatisticsParameters, Query()]) -> JsonAnswer:
    """Tokens, requests and cost of the last days, also by operation (an empty name for events without one)."""
    days, where, currency = parameters.days, parameters.zone(), parameters.currency
    return JsonAnswer(
        await ask(
            lambda inquiry: generator.statistics(inquiry, last_days(days, inquiry.now, where).span, days, currency)
        )
    )


@router.get(f"{_PATH}/total-tokens", responses=example({"total_tokens": 1550}))
async def total_tokens(ask: Asker, parameters: Annotated[TotalParameters, Query()]) -> JsonAnswer:
    """All tokens of a range."""
    filters = parameters.filters()
    return JsonAnswer(await ask(lambda inquiry: generator.total_tokens(inquiry, parameters.span(inquiry.now), filters)))


@router.get(
    f"{_PATH}/top-users",
    responses=example(
        {"items": [{"user_id": "7", "user_name": "Анна", "total_tokens": 1550, "requests": 1, "cost": 0.6}]}
    ),
)
async def top_users(ask: Asker, parameters: Annotated[TopParameters, Query()]) -> JsonAnswer:
    """The users with the most tokens, and what they are called."""
    limit, currency = parameters.limit, parameters.currency
    return JsonAnswer(
        await ask(lambda inquiry: generator.top_users(inquiry, parameters.span(inquiry.now), limit, currency))
    )


@router.get(
    f"{_PATH}/by-token-type",
    responses=example({"items": [{"token_type": "personal", "total_tokens": 1550, "count": 1}]}),
)
async def by_token_type(ask: Asker, parameters: Annotated[PeriodParameters, Query()]) -> JsonAnswer:
    """Tokens and requests by kind of access token; null where there is none."""
    return JsonAnswer(await ask(lambda inquiry: generator.by_token_type(inquiry, parameters.span(inquiry.now))))


@router.get(
    f"{_PATH}/forecast",
    responses=example(
        {
            "tokens": 46500,
            "cost": 18.0,
            "lower": 41000,
            "upper": 52000,
            "confidence": 0.8,
            "backtest_error_percent": 12.5,
            "method": "weekday",
            "budget_exhausted_on": None,
        }
    ),
)
async def forecast(ask: Asker, parameters: Annotated[ForecastParameters, Query()]) -> JsonAnswer:
    """Tokens (with bounds) and cost of the days to come, from the whole days that are over."""
    where, days, past, currency = parameters.zone(), parameters.days, parameters.history_days, parameters.currency

    def found(inquiry: Inquiry) -> dict[str, Any]:
        forecast = partial(generator.forecast, inquiry, zone=where, days=days, history_days=past)
        return with_budgets(inquiry, {}, currency, forecast)

    return JsonAnswer(await ask(found))
