"""The question of `GET /v1/forecast`, read from its parameters, and its answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tally.usage.exhaustion import BudgetState
from tally.usage.inquiry import Inquiry
from tally.usage.kindred_question import apart, parse_shared
from tally.usage.outlook import FURTHEST_DAYS, LEAST_HISTORY_DAYS, outlook
from tally.usage.question import Faults
from tally.usage.weekday import MOST_WEEKS

DEFAULT_DAYS = 30
# All that the weekday method learns from.
DEFAULT_HISTORY_DAYS = 7 * MOST_WEEKS
MOST_HISTORY_DAYS = 366
_OWN = ("days", "history_days")
_SHARED = ("timezone", "currency")


@dataclass(frozen=True, slots=True)
class ForecastQuestion:
    """How many local days of `zone` are asked for, learnt from how many, of which events, in which currency."""

    days: int
    history_days: int
    zone: ZoneInfo
    currency: str
    filters: Mapping[str, tuple[str, ...]]


def parse_forecast_question(parameters: Iterable[tuple[str, str]], now: datetime) -> ForecastQuestion:
    """The question that the query parameters ask.

    Raises:
        Malformed: names every bad parameter and lists what is allowed.
    """
    faults = Faults()
    own, shared = apart(parameters, _OWN, _SHARED, faults)
    days = _whole(own, "days", DEFAULT_DAYS, range(1, FURTHEST_DAYS + 1), faults)
    learnable = range(LEAST_HISTORY_DAYS, MOST_HISTORY_DAYS + 1)
    history_days = _whole(own, "history_days", DEFAULT_HISTORY_DAYS, learnable, faults)
    question = parse_shared(shared, now, faults)
    return ForecastQuestion(days, history_days, question.zone, question.currency, question.filters)


def answer(
    inquiry: Inquiry, question: ForecastQuestion, currency: str, budgets: Sequence[BudgetState] = ()
) -> dict[str, Any]:
    """The answer in JSON (shape: `outlook`), in `currency`, which that of `budgets` is as well.

    Raises:
        Forbidden: as `Inquiry.filters`.
        QuestionTooLarge: the time limit.
    """
    return outlook(
        inquiry,
        inquiry.filters(question.filters),
        zone=question.zone,
        days=question.days,
        history_days=question.history_days,
        currency=currency,
        budgets=budgets,
    )


def _whole(own: Mapping[str, str], name: str, default: int, allowed: range, faults: Faults) -> int:
    text = own.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) not in allowed:
        faults.add(name, f"expected a whole number from {allowed[0]} to {allowed[-1]}", text)
        return default
    return int(text)
