"""When a budget runs out, from what is spent and what coming days are expected to cost. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from tally.usage.windows import first_day


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget and what is spent of it.

    Attributes:
        amount: what may be spent in a window, in the currency of the expected costs.
        window: after which it begins anew, on Monday for a week; `total` never does.
        zone: the time zone of its days.
        spent: in the window that is now, in the same currency.
    """

    amount: Decimal
    window: Literal["day", "week", "month", "total"]
    zone: ZoneInfo
    spent: Decimal


def exhausted_on(budget: BudgetState, now: datetime, costs: Iterable[tuple[date, Decimal]]) -> date | None:
    """The first local date on which what is spent reaches the amount; None if it does not within the days of `costs`.

    That is today, in the budget's zone at `now` (UTC), if it is all spent already. `costs` are days to come, in order,
    and what each is expected to cost; each counts for that date of the budget's zone, whosever local day it is.
    """
    day, spent = now.astimezone(budget.zone).date(), budget.spent
    if spent >= budget.amount:
        return day
    for to_come, cost in costs:
        following = max(to_come, day)
        if budget.window != "total" and first_day(following, budget.window) > first_day(day, budget.window):
            spent = Decimal(0)
        day, spent = following, spent + cost
        if spent >= budget.amount:
            return day
    return None
