"""Rows of an answer in an order, a page at a time: windows without events filled in, keys as texts.

A page begins where the one before ended (keyset), not at a row number, so that a late page costs what the first does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Integer,
    Numeric,
    String,
    and_,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.sql.selectable import FromClause

from tally.cubes import api_tokens, dimensions
from tally.database import compiled
from tally.usage.compose import figures
from tally.usage.parts import parameter
from tally.usage.shape import Shape, key_label, measure_label
from tally.usage.spec import LABEL, STATUS_CLASS

Kind = Literal["key", "token", "number", "label"]
# What is stored as a key: one text may have two.
_KEYED = ("key", "token")


@dataclass(frozen=True, slots=True)
class Order:
    """What comes first: by a metric (of measures), a key (by its place) or the window; then by all the others."""

    by: Literal["metric", "key", "window"]
    of: tuple[str, ...] = ()
    key: int = 0
    largest_first: bool = False


@dataclass(frozen=True, slots=True)
class PageShape:
    """What the statement of a page depends on.

    Attributes:
        kinds: what each key of the shape is, so that it can be shown.
        fill: whether every window has a row for each combination of keys.
        after: for each value that rows are ordered by, whether the last row of the page before has one; None on the
            first page.
    """

    shape: Shape
    kinds: tuple[Kind, ...]
    order: Order | None
    fill: bool
    after: tuple[bool, ...] | None


def kind_of(key: str) -> Kind:
    """How a key of a spec is shown."""
    if key.startswith(LABEL):
        return "label"
    if key in ("status", STATUS_CLASS):
        return "number"
    return "token" if key == "token_key" else "key"


def number_of_places(kinds: Sequence[Kind], order: Order | None) -> int:
    """How many values the rows of a page are ordered by."""
    asked = 0 if order is None or order.by == "window" else 1
    return asked + 1 + len(kinds) + sum(kind in _KEYED for kind in kinds)


@lru_cache(maxsize=256)
def page_statement(page: PageShape) -> str:
    """The statement of a page.

    Columns: `piece`; for each key its value, as it is shown; the names of tokens; the measures; last, all that the rows
    are ordered by, as texts.
    """
    rows: FromClause = _filled(page) if page.fill else figures(page.shape).subquery("figures")
    shown: list[ColumnElement[Any]] = []
    names: list[ColumnElement[Any]] = []
    source = rows
    for number, kind in enumerate(page.kinds):
        key = rows.c[key_label(number)]
        if kind == "label":
            shown.append(key)
        elif kind == "number":
            shown.append(func.nullif(key, literal_column("0")))
        else:
            value = dimensions.alias(f"value_{number}")
            source = source.outerjoin(value, value.c.key == key)
            shown.append(value.c.value)
            if kind == "token":
                source = source.outerjoin(api_tokens, api_tokens.c.token_hash == value.c.value)
                names.append(api_tokens.c.name)
    places = _places(page, rows, shown)
    measures = [rows.c[measure_label(number)] for number in range(len(page.shape.measures))]
    question = select(rows.c.piece, *shown, *names, *measures, *(cast(place.value, String) for place in places))
    question = question.select_from(source)
    if page.after is not None:
        question = question.where(_after(places, page.after))
    question = question.order_by(*(place.ordered() for place in places))
    return compiled(question.limit(cast(parameter("rows"), Integer())))


@dataclass(frozen=True, slots=True)
class _Place:
    """One of the values that rows are ordered by; no value comes last."""

    value: ColumnElement[Any]
    type: Any
    largest_first: bool = False

    def ordered(self) -> ColumnElement[Any]:
        return (self.value.desc() if self.largest_first else self.value.asc()).nulls_last()


def _places(page: PageShape, rows: FromClause, shown: Sequence[ColumnElement[Any]]) -> list[_Place]:
    """What the rows are ordered by: as asked, then by window and texts, then by keys: one text may be two users."""
    piece = _Place(rows.c.piece, Integer())
    texts = [
        _Place(value, Integer()) if kind == "number" else _Place(value.collate("C"), String(collation="C"))
        for kind, value in zip(page.kinds, shown, strict=True)
    ]
    keys = [_Place(rows.c[key_label(number)], Integer()) for number, kind in enumerate(page.kinds) if kind in _KEYED]
    order = page.order
    if order is None:
        return [piece, *texts, *keys]
    if order.by == "window":
        return [_Place(piece.value, piece.type, order.largest_first), *texts, *keys]
    if order.by == "key":
        first = texts[order.key]
        return [_Place(first.value, first.type, order.largest_first), piece, *texts, *keys]
    return [_Place(_rank(page, rows, order.of), Numeric(), order.largest_first), piece, *texts, *keys]


def _rank(page: PageShape, rows: FromClause, measures: tuple[str, ...]) -> ColumnElement[Any]:
    """What a metric is ordered by: its measure, or one measure a unit of another."""
    first, *of = (rows.c[measure_label(page.shape.measures.index(name))] for name in measures)
    if of:
        return cast(first, Numeric()) / func.nullif(of[0], literal_column("0"))
    is_time = measures[0].endswith("_response_time_ms") or measures[0].startswith("p")
    return first if is_time else func.coalesce(first, literal_column("0"))


def _filled(page: PageShape) -> FromClause:
    """A row for every window and each combination of keys that occurs."""
    found = figures(page.shape).cte("figures")
    pieces = func.generate_series(literal_column("1"), cast(parameter("pieces"), Integer()))
    piece = pieces.table_valued("piece").render_derived("pieces")
    labels = [key_label(number) for number in range(len(page.kinds))]
    if not labels:
        same: ColumnElement[bool] = found.c.piece == piece.c.piece
        source: FromClause = piece.outerjoin(found, same)
        groups = []
    else:
        combinations = select(*(found.c[label] for label in labels)).distinct().subquery("combinations")
        same = and_(
            found.c.piece == piece.c.piece,
            *(
                found.c[label].is_not_distinct_from(combinations.c[label])
                if kind == "label"
                else found.c[label] == combinations.c[label]
                for label, kind in zip(labels, page.kinds, strict=True)
            ),
        )
        source = combinations.join(piece, true()).outerjoin(found, same)
        groups = [combinations.c[label] for label in labels]
    measures = [found.c[measure_label(number)] for number in range(len(page.shape.measures))]
    return select(piece.c.piece, *groups, *measures).select_from(source).subquery("filled")


def _after(places: Sequence[_Place], after: tuple[bool, ...]) -> ColumnElement[bool]:
    """Whether a row comes after the last one of the page before."""
    choices: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for number, (place, has_value) in enumerate(zip(places, after, strict=True)):
        last = cast(parameter(f"after_{number}"), place.type)
        if has_value:
            beyond = place.value < last if place.largest_first else place.value > last
            choices.append(and_(*same, or_(beyond, place.value.is_(None))))
            same.append(place.value == last)
        else:
            same.append(place.value.is_(None))
    return or_(false(), *choices)
