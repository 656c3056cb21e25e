"""What was spent, exactly as of this moment: many budgets in few statements of the engine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
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
    """Budgets that the engine is asked about together: same currency, same range, same kind of subject."""

    currency: str
    span: Span
    dimensions: tuple[str, ...]
    budgets: tuple[Budget, ...]

    def each(self) -> list["Alike"]:
        """The same budgets, each by itself."""
        return [replace(self, budgets=(budget,)) for budget in self.budgets]


def alike(budgets: Iterable[Budget], now: datetime) -> list[Alike]:
    """All budgets, put together where their windows at `now` (UTC) and all else are the same.

    Raises:
        ValueError: the time zone of one is not known.
    """
    return _together((budget, budget.span_at(now), "") for budget in budgets)


def alike_in_days(budgets: Iterable[Budget], first: date, last: date) -> list[Alike]:
    """All budgets, put together where they have the same days, from `first` to `last`, and all else.

    Raises:
        ValueError: as `alike`.
    """
    return _together((budget, LocalDays(budget.zone, first, last).span, budget.timezone) for budget in budgets)


def _together(budgets: Iterable[tuple[Budget, Span, str]]) -> list[Alike]:
    found: dict[tuple[Any, ...], list[Budget]] = {}
    for budget, span, apart in budgets:
        found.setdefault((budget.currency, span, _dimensions_of(budget), apart), []).append(budget)
    return [
        Alike(currency, span, dimensions, tuple(members)) for (currency, span, dimensions, _), members in found.items()
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


def daily(connection: Connection, group: Alike, days: Sequence[LocalWindow]) -> dict[str, list[Decimal]]:
    """What was spent on each of the `days` that the group's range has, by the id of the budget.

    Raises:
        QuestionTooLarge: the time limit.
    """
    cost = f"cost:{group.currency}"
    keys = _keys_of(connection, group)
    rows = _rows(connection, group, keys, Spec((cost,), span=group.span, cuts=[day.lower for day in days]))
    found: dict[str, list[Decimal]] = {}
    for budget in group.budgets:
        amounts = [Decimal(0)] * len(days)
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
