"""The question of `GET /v1/forecast`, read from its parameters, and its answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from tally.errors import Malformed
from tally.usage.exhaustion import BudgetState
from tally.usage.inquiry import Inquiry
from tally.usage.outlook import FURTHEST_DAYS, LEAST_HISTORY_DAYS, outlook
from tally.usage.question import DIMENSIONS, Faults, is_dimension, parse_question
from tally.usage.spec import LABEL
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
    own: dict[str, str] = {}
    shared: list[tuple[str, str]] = []
    for name, value in parameters:
        if name in _OWN:
            own[name] = value
        elif name in _SHARED or is_dimension(name):
            shared.append((name, value))
        else:
            faults.add(name[:100], f"is not a parameter; {_hint(name)}", value)
    days = _whole(own, "days", DEFAULT_DAYS, range(1, FURTHEST_DAYS + 1), faults)
    learnable = range(LEAST_HISTORY_DAYS, MOST_HISTORY_DAYS + 1)
    history_days = _whole(own, "history_days", DEFAULT_HISTORY_DAYS, learnable, faults)
    try:
        question = parse_question(shared, now)
    except Malformed as error:
        faults.errors += error.errors
        faults.raise_if_any()
        raise
    faults.raise_if_any()
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


def _hint(name: str) -> str:
    known = [*_OWN, *_SHARED, *DIMENSIONS]
    near = get_close_matches(name[:100], known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)} and {LABEL}NAME"


def _whole(own: Mapping[str, str], name: str, default: int, allowed: range, faults: Faults) -> int:
    text = own.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) not in allowed:
        faults.add(name, f"expected a whole number from {allowed[0]} to {allowed[-1]}", text)
        return default
    return int(text)
