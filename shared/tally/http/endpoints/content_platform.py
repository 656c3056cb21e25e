"""System A, the content platform: AI tokens, under its own field names. Every answer is `{"success": true, "data"}`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from tally.http.api import JsonAnswer
from tally.http.asking import Ask, Asker
from tally.http.endpoints.parameters import DaysParameters, Parameters, Text, ZonedParameters
from tally.http.examples import example
from tally.usage import content_platform
from tally.usage.days import LocalDays
from tally.usage.inquiry import Inquiry

_PATH = "/api/v1/billing/usage/tokens"
_TOTALS = {
    "total_tokens": 1550,
    "prompt_tokens": 1200,
    "completion_tokens": 350,
    "cost_usd": 0.0065,
    "cost_rub": 0.6,
    "requests_count": 1,
}
_Question = Callable[[Inquiry, LocalDays, Mapping[str, Sequence[str]]], Any]
router = APIRouter(tags=["system A"])


class TokenFilters(Parameters):
    """The filters of system A's endpoints."""

    agent_id: Text | None = Field(None, description="Only events of this agent; empty for none.")
    ai_provider: Text | None = Field(None, description="Only events of this provider; empty for none.")
    ai_model: Text | None = Field(None, description="Only events of this model; empty for none.")

    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filters given, by the dimension that they are on."""
        given = self.model_dump(include={*content_platform.FILTERS}, exclude_none=True)
        return {content_platform.FILTERS[name]: (value,) for name, value in given.items()}


class SummaryParameters(TokenFilters, ZonedParameters):
    """Filters and time zone."""


class TokenParameters(TokenFilters, DaysParameters):
    """Filters and a range of days."""


def _success(data: Any) -> JsonAnswer:
    return JsonAnswer({"success": True, "data": data})


async def _of_days(ask: Ask, parameters: TokenParameters, question: _Question) -> JsonAnswer:
    return _success(
        await ask(lambda inquiry: question(inquiry, parameters.local_days(inquiry.now), parameters.filters()))
    )


@router.get(_PATH, responses=example({"success": True, "data": _TOTALS}))
async def tokens(ask: Asker, parameters: Annotated[TokenParameters, Query()]) -> JsonAnswer:
    """Totals of AI tokens of a range of days, or of all time."""
    return await _of_days(ask, parameters, content_platform.totals_of_days)


@router.get(
    f"{_PATH}/summary",
    responses=example({"success": True, "data": {"today": _TOTALS, "this_month": _TOTALS, "all_time": _TOTALS}}),
)
async def tokens_summary(ask: Asker, parameters: Annotated[SummaryParameters, Query()]) -> JsonAnswer:
    """Totals of AI tokens today, this month and of all time."""
    where, filters = parameters.zone(), parameters.filters()
    return _success(await ask(lambda inquiry: content_platform.summary(inquiry, where, filters)))


@router.get(
    f"{_PATH}/history",
    responses=example({"success": True, "data": {"history": [{"date": "2026-05-01", **_TOTALS}]}}),
)
async def tokens_history(ask: Asker, parameters: Annotated[TokenParameters, Query()]) -> JsonAnswer:
    """Totals of AI tokens of each day. Without a range, from the first day with an event until today."""
    return await _of_days(ask, parameters, content_platform.history)


@router.get(
    f"{_PATH}/by-agent",
    responses=example({"success": True, "data": {"agents": [{"agent_id": "writer", **_TOTALS, "share": 100.0}]}}),
)
async def tokens_by_agent(ask: Asker, parameters: Annotated[TokenParameters, Query()]) -> JsonAnswer:
    """Totals of AI tokens of each agent, and its share of them in percent."""
    return await _of_days(ask, parameters, content_platform.by_agent)


@router.get(
    f"{_PATH}/by-model",
    responses=example(
        {
            "success": True,
            "data": {"models": [{"ai_provider": "openai", "ai_model": "gpt-4o", **_TOTALS, "share": 100.0}]},
        }
    ),
)
async def tokens_by_model(ask: Asker, parameters: Annotated[TokenParameters, Query()]) -> JsonAnswer:
    """Totals of AI tokens of each provider's models, and their shares in percent."""
    return await _of_days(ask, parameters, content_platform.by_model)
