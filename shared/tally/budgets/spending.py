"""What was spent, exactly as of this moment: many budgets in few statements of the engine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

from sqlalchemy import Connection

from tally import jsontext
from tally.budgets.budget import Budget, Standing
from tally.database import run_prepared, statements
from tally.dimensions import KIND_OF_FIELD, digest
from tally.usage import engine
from tally.usage.coverage import Span
from tally.usage.days import LocalDays
from tally.usage.figures import cost_measures, left_out, total
from tally.usage.keys import UNKNOWN_KEY, column_of
from tally.usage.spec import Spec
from tally.usage.windows import LocalWindow

_DIMENSION_OF_FIELD = {"token_id": "token"}
_FIELD_OF_EVENT = {"token": "token_hash"}
_Keys = tuple[tuple[int, ...], ...]
_Rows = Mapping[tuple[int, ...], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Alike:
    """Budgets that the engine is asked about together: same currency, same window, same kind of subject."""

    currency: str
    span: Span
    dimensions: tuple[str, ...]
    budgets: tuple[Budget, ...]

    def each(self) -> list["Alike"]:
        """The same budgets, each by itself."""
        return [replace(self, budgets=(budget,)) for budget in self.budgets]


def alike(budgets: Iterable[Budget], now: datetime) -> list[Alike]:
    """All budgets, put together where they are alike.

    Raises:
        ValueError: the time zone of one is not known.
    """
    together: dict[tuple[Any, ...], list[Budget]] = {}
    for budget in budgets:
        key = (budget.currency, budget.span_at(now), budget.timezone, _dimensions_of(budget))
        together.setdefault(key, []).append(budget)
    return [
        Alike(currency, span, dimensions, tuple(members))
        for (currency, span, _, dimensions), members in together.items()
    ]


def standings(connection: Connection, group: Alike) -> list[Standing]:
    """How each budget of a group stands.

    Raises:
        QuestionTooLarge: the time limit.
    """
    keys = _keys_of(connection, group)
    rows = _rows(connection, group, keys, Spec(cost_measures(group.currency), span=group.span))
    found = []
    for budget in group.budgets:
        own = _own(rows, keys[budget.id])
        spent = total(row[f"cost:{group.currency}"] for row in own)
        found.append(Standing(budget, group.span, spent, left_out(own, group.currency)))
    return found


def daily(
    connection: Connection, group: Alike, days: LocalDays, each: Sequence[LocalWindow]
) -> dict[str, list[Decimal]]:
    """What was spent on each of some local days, by the id of the budget.

    Raises:
        QuestionTooLarge: the time limit.
    """
    cost = f"cost:{group.currency}"
    keys = _keys_of(connection, group)
    rows = _rows(connection, group, keys, Spec((cost,), span=days.span, cuts=[day.lower for day in each]))
    found: dict[str, list[Decimal]] = {}
    for budget in group.budgets:
        amounts = [Decimal(0)] * len(each)
        for row in _own(rows, keys[budget.id]):
            amounts[row["piece"] - 1] = total((amounts[row["piece"] - 1], row[cost]))
        found[budget.id] = amounts
    return found


def _dimensions_of(budget: Budget) -> tuple[str, ...]:
    return tuple(_DIMENSION_OF_FIELD.get(name, name) for name, _ in budget.subject.given())


def _keys_of(connection: Connection, group: Alike) -> dict[str, _Keys]:
    """By the id of a budget, for each of the group's dimensions the keys that count.

    The same user id in two organizations has two keys.
    """
    wanted: list[dict[str, object]] = []
    for budget in group.budgets:
        for dimension, (name, value) in zip(group.dimensions, budget.subject.given(), strict=True):
            text = str(budget.token_hash) if name == "token_id" else value
            kind = KIND_OF_FIELD[_FIELD_OF_EVENT.get(dimension, dimension)]
            wanted.append({"position": len(wanted), "kind": kind, "digest": digest(text)})
    found: dict[int, list[int]] = {}
    if wanted:
        parameters = {"wanted": jsontext.dump(wanted).decode()}
        for position, key in run_prepared(connection, statements("query")["keys_of_values"], parameters):
            found.setdefault(position, []).append(key)
    count = len(group.dimensions)
    return {
        budget.id: tuple(
            tuple(found.get(position, (UNKNOWN_KEY,))) for position in range(number * count, (number + 1) * count)
        )
        for number, budget in enumerate(group.budgets)
    }


def _rows(connection: Connection, group: Alike, keys: Mapping[str, _Keys], spec: Spec) -> _Rows:
    """The rows of a spec for all subjects of a group at once, by their keys."""
    columns = tuple(column_of(dimension) for dimension in group.dimensions)
    filters = {
        column: sorted({key for own in keys.values() for key in own[place]}) for place, column in enumerate(columns)
    }
    rows: dict[tuple[int, ...], list[Mapping[str, Any]]] = {}
    for row in engine.run(connection, replace(spec, keys=columns, filters=filters)):
        rows.setdefault(tuple(row[column] for column in columns), []).append(row)
    return rows


def _own(rows: _Rows, keys: _Keys) -> list[Mapping[str, Any]]:
    return [row for combination in product(*keys) for row in rows.get(combination, ())]
