"""Making, changing and removing budgets, each in an open transaction, and in the audit log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import uuid_utils
from sqlalchemy import Connection

from tally import audit
from tally.budgets import storage
from tally.budgets.budget import Budget, Subject
from tally.budgets.fields import BudgetFields
from tally.errors import FieldError, NotFound, Unprocessable
from tally.notifications import webhooks
from tally.notifications.addresses import checked_url
from tally.principal import Principal

_KIND = "budget"
# What a budget counts and when; with another of these it is another budget, whose thresholds are all to be crossed.
_MEANING = (*(field.name for field in fields(Subject)), "currency", "window", "timezone")


@dataclass(frozen=True, slots=True)
class Managed:
    """A budget as it is now, and the secret of its webhook where that is new: it is shown this once."""

    budget: Budget
    webhook_secret: str | None = None


@dataclass(frozen=True, slots=True)
class BudgetManager:
    """Manages budgets.

    Attributes:
        connection: an open transaction.
        actor: who does it.
        private_webhooks: whether webhooks may be http, and at addresses of private networks.
    """

    connection: Connection
    actor: Principal
    private_webhooks: bool

    def add(self, given: BudgetFields) -> Managed:
        """Makes a budget.

        Raises:
            Unprocessable: there is no such token, or the webhook's URL is not allowed.
        """
        self._check(given)
        budget_id, webhook_id, secret = str(uuid_utils.uuid7()), None, None
        if given.webhook_url is not None:
            secret = webhooks.new_secret()
            webhook_id = webhooks.add(self.connection, given.webhook_url, secret)
        storage.add(self.connection, budget_id, given.model_dump(), webhook_id)
        made = self._found(budget_id)
        self._audit("create", made.id, after=made.settable())
        return Managed(made, secret)

    def change(
        self, budget_id: str, merge: Callable[[Mapping[str, Any]], BudgetFields], *, rotate_secret: bool = False
    ) -> Managed:
        """Changes a budget: `merge` makes its new fields from those that it has.

        Raises:
            NotFound: there is no such budget.
            Unprocessable: as `add`, what `merge` raises, or there is no webhook whose secret could be rotated.
        """
        before = storage.lock(self.connection, budget_id)
        if before is None:
            raise _no_such(budget_id)
        given = merge(before.settable())
        self._check(given)
        webhook_id, secret = self._webhook(before, given.webhook_url, rotate_secret=rotate_secret)
        storage.change(self.connection, budget_id, given.model_dump(), webhook_id)
        if before.webhook_id is not None and webhook_id is None:
            webhooks.remove(self.connection, before.webhook_id)
        after = self._found(budget_id)
        if _meaning(before) != _meaning(after):
            storage.forget_crossings(self.connection, budget_id)
        self._audit("change", budget_id, before=before.settable(), after=after.settable())
        return Managed(after, secret)

    def remove(self, budget_id: str) -> None:
        """Removes a budget and its webhook. What is still to be told to the webhook is given up.

        Raises:
            NotFound: there is no such budget.
        """
        before = storage.lock(self.connection, budget_id)
        if before is None:
            raise _no_such(budget_id)
        storage.remove(self.connection, budget_id)
        if before.webhook_id is not None:
            webhooks.remove(self.connection, before.webhook_id)
        self._audit("delete", budget_id, before=before.settable())

    def _webhook(self, before: Budget, url: str | None, *, rotate_secret: bool) -> tuple[str | None, str | None]:
        """The webhook of a changed budget, and its secret if that is new."""
        if url is None:
            if rotate_secret:
                raise _refused("rotate_webhook_secret", "there is no webhook_url whose secret could be rotated", True)
            return None, None
        if before.webhook_id is None:
            secret = webhooks.new_secret()
            return webhooks.add(self.connection, url, secret), secret
        if url != before.webhook_url:
            webhooks.move(self.connection, before.webhook_id, url)
        if not rotate_secret:
            return before.webhook_id, None
        secret = webhooks.new_secret()
        webhooks.rotate(self.connection, before.webhook_id, secret)
        self._audit("rotate webhook secret", before.id)
        return before.webhook_id, secret

    def _check(self, given: BudgetFields) -> None:
        if given.token_id is not None and not storage.token_exists(self.connection, given.token_id):
            raise _refused("token_id", "is not the id of a token", given.token_id)
        if given.webhook_url is not None:
            try:
                checked_url(given.webhook_url, private=self.private_webhooks)
            except ValueError as error:
                raise _refused("webhook_url", str(error), given.webhook_url) from None

    def _found(self, budget_id: str) -> Budget:
        found = storage.find(self.connection, budget_id)
        if found is None:
            raise _no_such(budget_id)
        return found

    def _audit(self, action: str, budget_id: str, **how: Mapping[str, Any]) -> None:
        audit.write(self.connection, self.actor, action, _KIND, budget_id, **how)


def _meaning(budget: Budget) -> dict[str, Any]:
    settable = budget.settable()
    return {name: settable[name] for name in _MEANING}


def _no_such(budget_id: str) -> NotFound:
    return NotFound(f'There is no budget "{budget_id[:100]}".')


def _refused(field: str, message: str, value: object) -> Unprocessable:
    fault: FieldError = {"field": field, "message": message, "value": str(value)[:100]}
    return Unprocessable(f"Nothing was changed. {field}: {message}.", [fault])
