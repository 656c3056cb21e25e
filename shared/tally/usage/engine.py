"""Runs the one statement behind every figure."""

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, cast, literal_column
from sqlalchemy.types import Integer

from tally.database import QuestionTooLarge, compiled, run_prepared
from tally.usage.compose import figures
from tally.usage.parts import parameter
from tally.usage.plan import plan
from tally.usage.shape import Shape, key_label, measure_label, shape_of
from tally.usage.spec import Spec

MAX_ROWS = 200_000
# A statement is planned once a connection, for whatever values: planning takes longer than answering from a cube.
QUERY_OPTIONS = {"plan_cache_mode": "force_generic_plan"}


def run(connection: Connection, spec: Spec) -> list[dict[str, Any]]:
    """The rows of a spec as mappings: `piece`, its keys, its measures. Where there is no event, there is no row.

    Raises:
        QuestionTooLarge: more than 200,000 rows, or the time limit.
    """
    shape, parameters = shape_of(spec, plan(spec))
    parameters["rows"] = str(spec.limit or MAX_ROWS + 1)
    rows = run_prepared(connection, _statement(shape, spec.order_by), parameters)
    if len(rows) > MAX_ROWS:
        raise QuestionTooLarge(
            f"The answer has more than {MAX_ROWS} rows: take a longer window, fewer dimensions or a filter."
        )
    names = ("piece", *spec.keys, *spec.measures)
    return [dict(zip(names, row, strict=True)) for row in rows]


@lru_cache(maxsize=256)
def _statement(shape: Shape, order_by: str | None) -> str:
    question = figures(shape)
    if order_by is not None:
        question = _ordered(shape, question, order_by)
    return compiled(question.limit(cast(parameter("rows"), Integer())))


def _ordered(shape: Shape, question: Select[Any], order_by: str) -> Select[Any]:
    number = shape.measures.index(order_by.removeprefix("-"))
    rank: ColumnElement[Any] = literal_column(measure_label(number))
    rank = rank.desc() if order_by.startswith("-") else rank.asc()
    keys: list[ColumnElement[Any]] = [literal_column(key_label(number)) for number in range(len(shape.keys))]
    return question.order_by(rank.nulls_last(), literal_column("piece"), *keys)
