"""What a budget will have spent at the end of its window."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import dropwhile

from sqlalchemy import Connection

from tally.budgets.budget import Standing
from tally.budgets.spending import alike, daily
from tally.usage.days import LocalDays, each_day
from tally.usage.forecast import average

# Whole local days that are learnt from, the last one yesterday.
HISTORY_DAYS = 28
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)


def expected(history: Sequence[Decimal], days: int) -> Decimal:
    """What the `days` after those of `history` will bring in all: the method in force."""
    return average(history, days).expected


def at_end(spent: Decimal, history: Sequence[Decimal], days: int, left_of_today: Decimal) -> Decimal | None:
    """What will have been spent after `days` days, of which today is the first. Pure.

    Args:
        spent: until now.
        history: of each whole day before today. What comes before the first cost says nothing and is left out; where
            nothing is left, there is no telling, and the answer is None.
        days: how many local days the window still has, today among them.
        left_of_today: the share of today that is to come, from 0 to 1.
    """
    learnt = [*dropwhile(lambda amount: not amount, history)]
    if not learnt:
        return None
    today = expected(learnt, 1)
    return spent + today * left_of_today + (expected(learnt, days) - today)


def forecasts(connection: Connection, standings: Iterable[Standing], now: datetime) -> dict[str, Decimal | None]:
    """By the id of each budget what it will have spent at the end of its window; None where there is no telling.

    A window of all time has no end.

    Raises:
        QuestionTooLarge: the time limit.
    """
    by_id = {standing.budget.id: standing for standing in standings}
    found: dict[str, Decimal | None] = dict.fromkeys(by_id)
    ending = [standing.budget for standing in by_id.values() if standing.span.upper is not None]
    for group in alike(ending, now):
        where = group.budgets[0].zone
        today = now.astimezone(where).date()
        past = LocalDays(where, today - HISTORY_DAYS * _DAY, today - _DAY)
        each = each_day(today - HISTORY_DAYS * _DAY, today - _DAY, where)
        upper = group.span.upper or now
        left = each_day(today, (upper - _MICROSECOND).astimezone(where).date(), where)
        share = Decimal((left[0].upper - now) // _MICROSECOND) / ((left[0].upper - left[0].lower) // _MICROSECOND)
        for budget_id, history in daily(connection, group, past, each).items():
            found[budget_id] = at_end(by_id[budget_id].spent, history, len(left), share)
    return found
