"""What the coming days will bring."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request

from tally.budgets.running_out import with_budgets
from tally.http.api import JsonAnswer
from tally.http.asking import Asker
from tally.http.endpoints.question_parameters import forecast_parameters
from tally.http.examples import example
from tally.usage.forecast_question import answer, parse_forecast_question
from tally.usage.inquiry import Inquiry

router = APIRouter(tags=["usage"])


@router.get(
    "/v1/forecast",
    openapi_extra={"parameters": forecast_parameters()},
    responses=example(
        {
            "tokens": 43400,
            "cost": 0.182,
            "lower": 40100,
            "upper": 46700,
            "confidence": 0.8,
            "backtest_error_percent": 12.5,
            "method": "weekday",
            "budget_exhausted_on": None,
            "days": [{"date": "2026-05-02", "tokens": 820, "cost": 0.0035, "lower": 510, "upper": 1130}],
        }
    ),
)
async def usage_forecast(ask: Asker, request: Request) -> JsonAnswer:
    """Tokens (with bounds) and cost of each coming day, tomorrow first, and of all of them.

    Learnt from the whole local days up to yesterday: the pattern of the week, a level that moves, and a trend where
    there is one. Single days far out of line and outages do not count. Labels filter too: `label:NAME`.
    """
    given = request.query_params.multi_items()

    def found(inquiry: Inquiry) -> dict[str, Any]:
        question = parse_forecast_question(given, inquiry.now)
        return with_budgets(inquiry, question.filters, question.currency, partial(answer, inquiry, question))

    return JsonAnswer(await ask(found))
