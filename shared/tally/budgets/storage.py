"""Where budgets and their crossings are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row

from tally.budgets.budget import Budget, Standing, Subject
from tally.database import array_text, statement
from tally.dimensions import digest


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose budgets may be seen: those of an organization, of a user in it, or of a user without organization."""

    organization_id: str | None
    user_id: str | None


# Budget, start of the window, threshold, amount.
Crossing = tuple[str, datetime | None, Decimal, Decimal]


def every(connection: Connection) -> list[Budget]:
    """All budgets, in the order of their making."""
    return _budgets(connection)


def page(connection: Connection, owner: Owner | None, after: str | None, rows: int) -> list[Budget]:
    """Up to `rows` budgets behind the id `after`: those of an owner, or of everybody."""
    return _budgets(connection, **_of(owner), after=after, rows=rows)


def find(connection: Connection, budget_id: str, owner: Owner | None = None) -> Budget | None:
    """The budget of an id; None where there is none, or it is not the owner's."""
    found = _budgets(connection, **_of(owner), id=budget_id)
    return found[0] if found else None


def lock(connection: Connection, budget_id: str) -> Budget | None:
    """The budget of an id as it stays until the transaction ends; None where there is none."""
    if connection.execute(statement("budgets", "lock"), {"id": budget_id}).one_or_none() is None:
        return None
    return find(connection, budget_id)


def token_exists(connection: Connection, token_id: str) -> bool:
    """Whether a token has this id."""
    return bool(connection.execute(statement("budgets", "token_exists"), {"id": token_id}).scalar_one())


def add(connection: Connection, budget_id: str, fields: Mapping[str, Any], webhook_id: str | None) -> None:
    """Stores a new budget with `fields` as `Budget.settable` has them; when it was made is the database's to say."""
    connection.execute(statement("budgets", "add"), _stored(budget_id, fields, webhook_id))


def change(connection: Connection, budget_id: str, fields: Mapping[str, Any], webhook_id: str | None) -> None:
    """Gives a budget other fields, all of them."""
    connection.execute(statement("budgets", "change"), _stored(budget_id, fields, webhook_id))


def remove(connection: Connection, budget_id: str) -> None:
    """Removes a budget and its crossings."""
    connection.execute(statement("budgets", "remove"), {"id": budget_id})


def forget_crossings(connection: Connection, budget_id: str) -> None:
    """As if no threshold of the budget had ever been crossed."""
    connection.execute(statement("budgets", "forget_crossings"), {"id": budget_id})


def crossings_since(connection: Connection, since: datetime) -> set[Crossing]:
    """What was crossed in windows that began at `since` or later, and in that of all time."""
    return {tuple(row) for row in connection.execute(statement("budgets", "crossings_since"), {"since": since})}


def cross(connection: Connection, standing: Standing, threshold: Decimal, notification_id: str) -> datetime | None:
    """Notes a crossing; when it was, or None where it is noted already or the budget was changed since it was read."""
    found: datetime | None = connection.execute(
        statement("budgets", "cross"),
        {
            "budget_id": standing.budget.id,
            "updated_at": standing.budget.updated_at,
            "window_start": standing.span.lower,
            "threshold": threshold,
            "spent": standing.spent,
            "notification_id": notification_id,
        },
    ).scalar_one_or_none()
    return found


def latest_crossings(connection: Connection, budget_id: str, crossings: int) -> Sequence[Row[Any]]:
    """The latest crossings of a budget, and what became of telling them: a row for each delivery."""
    given = {"id": budget_id, "crossings": crossings}
    return connection.execute(statement("budgets", "latest_crossings"), given).all()


def _of(owner: Owner | None) -> dict[str, str | None]:
    if owner is None:
        return {}
    alone = owner.organization_id is None and owner.user_id is not None
    return {
        "organization_id": owner.organization_id,
        "user_id": owner.user_id,
        "user_digest": digest(str(owner.user_id)) if alone else None,
    }


def _budgets(connection: Connection, **given: object) -> list[Budget]:
    nothing = dict.fromkeys(("id", "after", "organization_id", "user_id", "user_digest", "rows"))
    rows = connection.execute(statement("budgets", "budgets"), {**nothing, **given})
    return [_budget(row) for row in rows]


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        id=row.id,
        name=row.name,
        subject=Subject(row.organization_id, row.user_id, row.token_id, row.agent_id, row.model),
        amount=row.amount,
        currency=row.currency,
        window=row.window,
        timezone=row.timezone,
        thresholds=tuple(row.thresholds),
        hard=row.hard,
        created_at=row.created_at,
        updated_at=row.updated_at,
        token_hash=row.token_hash,
        webhook_id=row.webhook_id,
        webhook_url=row.webhook_url,
    )


def _stored(budget_id: str, fields: Mapping[str, Any], webhook_id: str | None) -> dict[str, Any]:
    stored = {name: value for name, value in fields.items() if name != "webhook_url"}
    return {**stored, "id": budget_id, "thresholds": array_text(fields["thresholds"]), "webhook_id": webhook_id}
