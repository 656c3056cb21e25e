"""When the budgets of the events that are forecast run out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tally.budgets.budget import Budget
from tally.budgets.spending import alike, standings
from tally.budgets.storage import every
from tally.principal import Principal
from tally.usage.exhaustion import BudgetState
from tally.usage.inquiry import Inquiry

_DATE = "budget_exhausted_on"
# What a budget may be of, by the dimension that it is filtered by.
_DIMENSIONS = ("organization_id", "user_id", "token", "agent_id", "model")
Forecast = Callable[[str, Sequence[BudgetState]], dict[str, Any]]


def with_budgets(
    inquiry: Inquiry, filters: Mapping[str, Sequence[str]], currency: str, forecast: Forecast
) -> dict[str, Any]:
    """What `forecast` answers in a currency; `budget_exhausted_on` is the first date of all budgets, in any currency.

    Those count that are of just the events which `filters` (by dimension) and the caller's own bounds leave. `forecast`
    answers in a currency, given the budgets in it.

    Raises:
        QuestionTooLarge: the time limit.
    """
    states = _states(inquiry, filters)
    found = forecast(currency, states.pop(currency, ()))
    dates = [found[_DATE], *(forecast(other, of_other)[_DATE] for other, of_other in states.items())]
    return found | {_DATE: min(filter(None, dates), default=None)}


def _states(inquiry: Inquiry, filters: Mapping[str, Sequence[str]]) -> dict[str, list[BudgetState]]:
    subject = _subject(inquiry.principal, filters)
    if subject is None:
        return {}
    concerned = [budget for budget in every(inquiry.connection) if _subject_of(budget) == subject]
    states: dict[str, list[BudgetState]] = {}
    for group in alike(concerned, inquiry.now):
        for standing in standings(inquiry.connection, group):
            budget = standing.budget
            state = BudgetState(budget.amount, budget.window, budget.zone, standing.spent)
            states.setdefault(budget.currency, []).append(state)
    return states


def _subject(principal: Principal, filters: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """What a budget of these events is of; None where there can be none."""
    subject: dict[str, str] = {}
    for dimension, values in filters.items():
        if dimension not in _DIMENSIONS or len(values) != 1 or not values[0]:
            return None
        subject[dimension] = values[0].lower() if dimension == "token" else values[0]
    if "read:all" not in principal.scopes:
        own = {"organization_id": principal.organization_id, "user_id": principal.user_id}
        subject |= {name: value for name, value in own.items() if value is not None}
    return subject


def _subject_of(budget: Budget) -> dict[str, str | None]:
    given = dict(budget.subject.given())
    if "token_id" in given:
        del given["token_id"]
        return {**given, "token": budget.token_hash}
    return {**given}
