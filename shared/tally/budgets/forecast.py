"""What a budget will have spent at the end of its window."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from tally.budgets.budget import Standing
from tally.budgets.spending import alike_in_days, daily
from tally.usage.days import each_day
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
    found: dict[str, Decimal | None] = {}
    by_day: dict[date, list[Standing]] = {}
    for standing in standings:
        found[standing.budget.id] = None
        if standing.span.upper is not None:
            by_day.setdefault(now.astimezone(standing.budget.zone).date(), []).append(standing)
    for today, ending in by_day.items():
        by_id = {standing.budget.id: standing for standing in ending}
        first, last = today - HISTORY_DAYS * _DAY, today - _DAY
        for group in alike_in_days([standing.budget for standing in ending], first, last):
            for budget_id, history in daily(connection, group, each_day(first, last, group.budgets[0].zone)).items():
                found[budget_id] = at_end(by_id[budget_id].spent, history, *_left(by_id[budget_id], today, now))
    return found


def _left(standing: Standing, today: date, now: datetime) -> tuple[int, Decimal]:
    """The local days that a window still has, today among them, and the share of today that is to come."""
    where = standing.budget.zone
    last = ((standing.span.upper or now) - _MICROSECOND).astimezone(where).date()
    days = each_day(today, last, where)
    length = (days[0].upper - days[0].lower) // _MICROSECOND
    return len(days), Decimal((days[0].upper - now) // _MICROSECOND) / length
