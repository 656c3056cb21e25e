"""The price book in the database. Prices are added and retired, never changed; every change is in the audit log.

Who changes what is in force holds the book's lock: no event is stored meanwhile with the prices before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping

from tally import audit, jsontext
from tally.database import array_text, statement
from tally.errors import FieldError, NotFound, Unprocessable
from tally.pricing import dataset
from tally.pricing.book import Book
from tally.pricing.form import written
from tally.pricing.price import OWN, Draft, Price, Rates
from tally.principal import Principal

KIND = "price"
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Stored:
    """A price as it is stored; `replaces` and `replaced_by` are ids of the one before and after a correction."""

    id: int
    draft: Draft
    created_at: datetime
    created_by: str
    replaces: int | None
    replaced_by: int | None
    retired_at: datetime | None

    def fields(self) -> dict[str, Any]:
        """For answers and the audit log; amounts are `Decimal`, times UTC."""
        return {
            "id": self.id,
            "origin": self.draft.origin,
            **written(self.draft),
            "created_at": self.created_at,
            "created_by": self.created_by,
            "replaces": self.replaces,
            "replaced_by": self.replaced_by,
            "retired_at": self.retired_at,
        }


def load(connection: Connection) -> Book:
    """The prices in force.

    Raises:
        StoreUnavailable: the database is away.
    """
    version = connection.execute(statement("prices", "version")).scalar_one()
    found = jsontext.parse(connection.execute(statement("prices", "in_force")).scalar_one().encode())
    return Book(version, [*map(_price, found)], dataset.listed)


def find(connection: Connection, price_id: int) -> Stored:
    """A price, retired or not.

    Raises:
        NotFound: there is none with this id.
    """
    row = connection.execute(statement("prices", "one"), {"id": price_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no price {price_id}.")
    return _stored(row)


def page(
    connection: Connection,
    *,
    provider: str | None = None,
    model: str | None = None,
    origin: str | None = None,
    at: datetime | None = None,
    behind: int | None = None,
    rows: int,
) -> list[Stored]:
    """At most `rows` of the prices that are not retired, newest first, older than the id `behind`.

    `at` leaves those that hold at that time. `model` may end in *, which finds all that begin so.
    """
    given = {"provider": provider, "model": model, "origin": origin, "at": at, "behind": behind, "rows": rows}
    return [_stored(row) for row in connection.execute(statement("prices", "page"), given).mappings()]


def add(connection: Connection, actor: Principal, draft: Draft) -> Stored:
    """A new price.

    Raises:
        Unprocessable: another version of the same price begins at the same time; names it.
    """
    turn(connection)
    added = _add_one(connection, actor, draft)
    audit.write(connection, actor, "create", KIND, added.id, after=added.fields())
    return added


def replace(connection: Connection, actor: Principal, price_id: int, draft: Draft) -> Stored:
    """A correction: a new price in the place of one, which is retired.

    Raises:
        NotFound: there is no such price.
        Unprocessable: as `add`; it is retired or none of the team's own; or nothing of it would change.
    """
    turn(connection)
    before = find(connection, price_id)
    if before.retired_at is not None:
        by = f"; {before.replaced_by} took its place" if before.replaced_by is not None else ""
        raise _refused("id", f"price {price_id} is retired{by}", price_id)
    if before.draft.origin != OWN:
        raise _refused(
            "id", f"price {price_id} is of {before.draft.origin}: add a price of your own, which wins", price_id
        )
    if (before.draft[:-1], before.draft.rates.form()) == (draft[:-1], draft.rates.form()):
        raise _refused("id", f"price {price_id} is like this already", price_id)
    connection.execute(statement("prices", "retire"), {"ids": array_text([price_id])})
    added = _add_one(connection, actor, draft, replaces=price_id)
    audit.write(connection, actor, "correct", KIND, added.id, before=before.fields(), after=added.fields())
    return added


def retire(connection: Connection, actor: Principal, price_id: int) -> None:
    """Takes a price out of force; once it is, nothing happens any more.

    Raises:
        NotFound: there is no such price.
    """
    before = find(connection, price_id)
    if before.retired_at is not None:
        return
    turn(connection)
    if connection.execute(statement("prices", "retire"), {"ids": array_text([price_id])}).rowcount:
        audit.write(connection, actor, "retire", KIND, price_id, before=before.fields())


def turn(connection: Connection) -> None:
    """To be called first by who changes what is in force: waits for who stores priced events, then holds them up."""
    connection.execute(statement("prices", "turn"))


def insert(
    connection: Connection, actor: Principal, drafts: Sequence[Draft], replaces: Mapping[int, int] | None = None
) -> list[Stored]:
    """Stores prices, those left out whose versions there are already; `replaces` by place in `drafts`."""
    rows = [
        {**draft._asdict(), "rates": draft.rates.form(), "replaces": (replaces or {}).get(place)}
        for place, draft in enumerate(drafts)
    ]
    given = {"prices": jsontext.dump(rows).decode(), "created_by": actor.name}
    return [_stored(row) for row in connection.execute(statement("prices", "add"), given).mappings()]


def _add_one(connection: Connection, actor: Principal, draft: Draft, replaces: int | None = None) -> Stored:
    added = insert(connection, actor, [draft], {} if replaces is None else {0: replaces})
    if added:
        return added[0]
    names = {"origin": draft.origin, "provider": draft.provider, "model": draft.model, "valid_from": draft.valid_from}
    conditions = jsontext.dump(draft.conditions).decode()
    other = connection.execute(statement("prices", "same_version"), {**names, "conditions": conditions}).scalar_one()
    raise _refused(
        "valid_from",
        f"price {other} of the same provider, model and conditions begins at the same time; correct or retire that one",
        draft.valid_from.isoformat(),
    )


def _refused(field: str, message: str, value: object) -> Unprocessable:
    fault: FieldError = {"field": field, "message": message, "value": value}
    return Unprocessable(f"Nothing was changed. {field}: {message}.", [fault])


def _price(fields: Sequence[Any]) -> Price:
    *names, microseconds, rates = fields
    price_id, origin, provider, model, conditions, currency = names
    valid_from = _EPOCH + timedelta(microseconds=microseconds)
    return Price(price_id, origin, provider, model, conditions, currency, valid_from, Rates.of(rates))


def _stored(row: RowMapping) -> Stored:
    return Stored(
        row["id"],
        _draft(row),
        row["created_at"],
        row["created_by"],
        row["replaces"],
        row["replaced_by"],
        row["retired_at"],
    )


def _draft(row: RowMapping) -> Draft:
    return Draft(
        row["origin"],
        row["provider"],
        row["model"],
        row["conditions"],
        row["currency"],
        row["valid_from"],
        Rates.of(row["rates"]),
    )
