"""System A, the content platform: AI tokens, under its own field names. Every answer is `{"success": true, "data"}`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from tally.http.api import JsonAnswer
from tally.http.asking import Asker
from tally.http.endpoints.examples import example
from tally.http.endpoints.parameters import Text, ZonedParameters
from tally.usage import content_platform

_PATH = "/api/v1/billing/usage/tokens"
_TOTALS = {
    "total_tokens": 1550,
    "prompt_tokens": 1200,
    "completion_tokens": 350,
    "cost_usd": 0.0065,
    "cost_rub": 0.6,
    "requests_count": 1,
}
router = APIRouter(tags=["system A"])


class TokenParameters(ZonedParameters):
    """Filters and time zone of system A's endpoints."""

    agent_id: Text | None = None
    ai_provider: Text | None = None
    ai_model: Text | None = None

    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filters given, by the dimension that they are on."""
        given = self.model_dump(include={*content_platform.FILTERS}, exclude_none=True)
        return {content_platform.FILTERS[name]: (value,) for name, value in given.items()}


def _success(data: Any) -> JsonAnswer:
    return JsonAnswer({"success": True, "data": data})


@router.get(
    f"{_PATH}/summary",
    responses=example({"success": True, "data": {"today": _TOTALS, "this_month": _TOTALS, "all_time": _TOTALS}}),
)
async def tokens_summary(ask: Asker, parameters: Annotated[TokenParameters, Query()]) -> JsonAnswer:
    """Totals of AI tokens today, this month and of all time."""
    where, filters = parameters.zone(), parameters.filters()
    return _success(await ask(lambda inquiry: content_platform.summary(inquiry, where, filters)))
