"""Hard budgets: those that deny further calls once their amount is spent."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from tally.budgets.budget import Budget, Standing, Subject
from tally.budgets.spending import alike, standings


def counting(connection: Connection, budgets: Iterable[Budget], call: Subject, now: datetime) -> list[Standing]:
    """How the hard budgets among `budgets` stand that a call counts for.

    A budget counts for a call that has everything which the budget names: one of a user in an organization only for
    calls with both, one of a model only for calls whose model is known beforehand.

    Args:
        connection: an open connection.
        budgets: as `tally.budgets.storage.every` reads them.
        call: what is known of the call; a token by its id.
        now: the database's time, UTC.

    Raises:
        QuestionTooLarge: the time limit.
        ValueError: the time zone of one is not known.
    """
    concerned = [budget for budget in budgets if budget.hard and budget.subject.covers(call)]
    return [one for group in alike(concerned, now) for one in standings(connection, group)]
