"""What a budget will have spent at the end of its window."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from tally.budgets.budget import Standing
from tally.budgets.spending import alike, daily
from tally.usage.days import LocalDays, each_day
from tally.usage.forecast import forecast, history_begins
from tally.usage.weekday import MOST_WEEKS

# Whole local days that are learnt from, the last one yesterday.
HISTORY_DAYS = 7 * MOST_WEEKS
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)


def at_end(spent: Decimal, history: Sequence[Decimal], days: int, left_of_today: Decimal) -> Decimal | None:
    """What will have been spent after `days` days, of which today is the first. Pure.

    Args:
        spent: until now.
        history: of each whole day before today. Days before the first cost say nothing and are left out; where there is
            no cost, there is no telling, and the answer is None.
        days: how many local days the window still has, today among them.
        left_of_today: the share of today that is to come, from 0 to 1.
    """
    if not any(history):
        return None
    coming = forecast(history[history_begins([int(amount != 0) for amount in history]) :], days)
    today = coming.days[0].expected
    return spent + today * left_of_today + (coming.total.expected - today)


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
