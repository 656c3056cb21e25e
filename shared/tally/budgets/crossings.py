"""Notices that budgets have crossed thresholds, each crossing once, and makes it something to be told."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from tally.budgets import storage
from tally.budgets.budget import Budget, Standing
from tally.budgets.spending import Alike, alike, standings
from tally.database import QuestionTooLarge, Store
from tally.errors import DataRefused
from tally.log import logger
from tally.notifications import outbox
from tally.notifications.outbox import Target

KIND = "budget.crossed"


def notice(store: Store, now: datetime, function: str, topic: str | None) -> int:
    """Notes what is crossed and was not noted before; returns how many crossings. Does no harm beside another one.

    A budget that cannot be evaluated is logged with its id, and the others go on.

    Args:
        store: needs one connection; its statements should have a time limit.
        now: the database's time, UTC.
        function: whose log lines go to.
        topic: Pub/Sub topic that crossings are published to, if any.

    Raises:
        StoreUnavailable: the database is away.
    """
    with store.connect() as connection:
        budgets = storage.every(connection)
    found = [one for group in _groups(budgets, now, function) for one in _evaluated(store, group, function)]
    reached = [one for one in found if one.crossed]
    if not reached:
        return 0
    with store.connect() as connection:
        begins = min((one.span.lower for one in reached if one.span.lower is not None), default=now)
        known = storage.crossings_since(connection, begins)
    noticed = 0
    for standing in reached:
        new = [
            threshold
            for threshold in standing.crossed
            if (standing.budget.id, standing.span.lower, threshold, standing.budget.amount) not in known
        ]
        if new:
            noticed += _note(store, standing, new, topic)
    return noticed


def _groups(budgets: Sequence[Budget], now: datetime, function: str) -> list[Alike]:
    """The budgets put together; without those whose time zone is not known here."""
    readable = []
    for budget in budgets:
        try:
            budget.span_at(now)
        except ValueError as error:
            _log_failure(function, budget, error)
        else:
            readable.append(budget)
    return alike(readable, now)


def _evaluated(store: Store, group: Alike, function: str) -> Iterator[Standing]:
    """How the budgets of a group stand: asked together, or each by itself where that is too much."""
    try:
        with store.connect() as connection:
            yield from standings(connection, group)
    except (QuestionTooLarge, DataRefused) as error:
        if len(group.budgets) == 1:
            _log_failure(function, group.budgets[0], error)
            return
        for one in group.each():
            yield from _evaluated(store, one, function)


def _note(store: Store, standing: Standing, thresholds: Sequence[Decimal], topic: str | None) -> int:
    """Notes crossings and what is to be told of them, in one transaction; returns how many nobody else had noted."""
    noted = 0
    targets = [Target("log")]
    if standing.budget.webhook_id is not None:
        targets.append(Target("webhook", standing.budget.webhook_id))
    if topic is not None:
        targets.append(Target("topic", topic))
    with store.transaction() as connection:
        for threshold in thresholds:
            notification_id = outbox.new_id()
            crossed_at = storage.cross(connection, standing, threshold, notification_id)
            if crossed_at is not None:
                payload = _payload(standing, threshold, crossed_at)
                outbox.notify(connection, notification_id, KIND, payload, targets)
                noted += 1
    return noted


def _payload(standing: Standing, threshold: Decimal, crossed_at: datetime) -> dict[str, Any]:
    budget = standing.budget
    return {
        "budget_id": budget.id,
        "name": budget.name,
        "subject": dict(budget.subject.given()),
        "threshold": threshold,
        "spent": standing.spent,
        "amount": budget.amount,
        "currency": budget.currency,
        "hard": budget.hard,
        "window": budget.window,
        "timezone": budget.timezone,
        **standing.shown_span(),
        "crossed_at": crossed_at,
    }


def _log_failure(function: str, budget: Budget, error: Exception) -> None:
    logger(function).error("budget not evaluated", budget_id=budget.id, reason=str(error))
