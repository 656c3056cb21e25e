"""Budgets put into a store as the endpoints put them there."""

from typing import Any

from tally.budgets.budget import Budget
from tally.budgets.fields import BudgetFields
from tally.budgets.managing import BudgetManager, Managed
from tally.database import Store
from tally.principal import Principal

ACTOR = Principal("", "tests", frozenset({"admin"}))
USUAL: dict[str, Any] = {"name": "b", "amount": "100", "currency": "USD", "window": "month"}


def make(store: Store, **fields: Any) -> Managed:
    """A budget with `fields` over the usual ones."""
    with store.transaction() as connection:
        return BudgetManager(connection, ACTOR, private_webhooks=True).add(BudgetFields(**{**USUAL, **fields}))


def change(store: Store, budget: Budget, *, rotate_secret: bool = False, **fields: Any) -> Managed:
    """The budget with other fields."""
    with store.transaction() as connection:
        manager = BudgetManager(connection, ACTOR, private_webhooks=True)
        return manager.change(
            budget.id, lambda current: BudgetFields(**{**current, **fields}), rotate_secret=rotate_secret
        )


def remove(store: Store, budget: Budget) -> None:
    """Deletes a budget."""
    with store.transaction() as connection:
        BudgetManager(connection, ACTOR, private_webhooks=True).remove(budget.id)
