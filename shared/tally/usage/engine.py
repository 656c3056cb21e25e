"""The one statement behind every figure: whole cube buckets, raw events at the edges, and the events not yet folded.

Watermark, cubes and raw events are read in one statement and so in one snapshot: an event is in the cubes or behind
the watermark, never in both and never in neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from tally.cubes import (
    CUBES,
    MEASURES,
    Cube,
    dimensions,
    fold_state,
    key_of_event,
    usage_events,
)
from tally.database import QuestionTooLarge
from tally.usage.coverage import EVER, Coverage, Grain, Span, cover, segments
from tally.usage.question import LABEL

STATUS_CLASS = "status_class"
MAX_ROWS = 200_000
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_TIMES = ("first_time", "last_time")
_MEASURES = {measure.name: measure for measure in MEASURES}
_ZERO: ColumnElement[Any] = literal_column("0")
_HUNDRED: ColumnElement[Any] = literal_column("100", Integer())
_CURRENCY = dimensions.alias("currency")


@dataclass(frozen=True, slots=True)
class Spec:
    """What to sum up.

    Attributes:
        measures: names of `cubes.MEASURES`, `unique_users`, `p50` … `p99`, `first_time` and `last_time`, or `cost:XXX`
            and `unconverted:XXX`, the cost in a currency and the requests whose cost has no amount in it.
        keys: columns to group by: dimension keys, `status`, or `label:NAME`.
        span: the range; None is unbounded.
        cuts: ascending UTC times; rows are apart by the number of cuts at or before the event (`piece`).
        filters: per column the keys (or label values) that count; None among them is "no value".
        order_by: a measure, with `-` before it for the largest first; equal rows come by piece and keys.
        limit: how many rows at most, in that order.
    """

    measures: tuple[str, ...]
    keys: tuple[str, ...] = ()
    span: Span = EVER
    cuts: Sequence[datetime] = ()
    filters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    order_by: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the figures of a spec come from: cubes by grain (coarse first), none where only raw events can tell."""

    cubes: Mapping[Grain, Cube]
    coverage: Coverage


def plan(spec: Spec) -> Plan:
    """Picks for each grain the narrowest cube that knows every key, and cuts the range accordingly."""
    needed = {"status" if key == STATUS_CLASS else key for key in (*spec.keys, *spec.filters)}
    needed |= {"user_key"} if "unique_users" in spec.measures else set()
    pieces = segments(spec.span, spec.cuts)
    if any(measure in PERCENTILES or measure in _TIMES for measure in spec.measures):
        return Plan({}, Coverage({}, [spec.span]))
    cubes: dict[Grain, Cube] = {}
    for grain in ("day", "hour"):
        fitting = [cube for cube in CUBES if cube.grain == grain and needed <= {*cube.keys}]
        if fitting:
            cubes[grain] = min(fitting, key=lambda cube: ("user_key" in cube.keys, len(cube.keys)))
    return Plan(cubes, cover(pieces, [*cubes]))


def compose(spec: Spec) -> Select[Any]:
    """The statement. Columns: `piece`, the keys by their names, then the measures by theirs."""
    chosen = plan(spec)
    parts = [_cube_part(spec, cube, chosen.coverage.buckets[grain])
             for grain, cube in chosen.cubes.items() if grain in chosen.coverage.buckets]  # fmt: skip
    if parts:
        watermark = select(fold_state.c.watermark).scalar_subquery()
        folded = and_(usage_events.c.txid < watermark, _inside(usage_events.c.time, chosen.coverage.raw))
        if chosen.coverage.raw:
            parts.append(_raw_part(spec, folded))
        parts.append(_raw_part(spec, and_(usage_events.c.txid >= watermark, _inside(usage_events.c.time, [spec.span]))))
    else:
        parts.append(_raw_part(spec, _inside(usage_events.c.time, [spec.span])))
    rows = union_all(*parts).subquery("rows")
    groups = [rows.c.piece, *(rows.c[key] for key in spec.keys)]
    figures = [_figure(name, rows.c).label(name) for name in spec.measures]
    question = select(*groups, *figures).group_by(*groups).limit(spec.limit or MAX_ROWS + 1)
    if spec.order_by is not None:
        measure = next(figure for figure in figures if figure.name == spec.order_by.removeprefix("-"))
        rank = measure.element.desc() if spec.order_by.startswith("-") else measure.element
        question = question.order_by(rank.nulls_last(), *groups)
    if "currency_key" in rows.c:
        question = question.select_from(rows.outerjoin(_CURRENCY, _CURRENCY.c.key == rows.c.currency_key))
    return question


def run(connection: Connection, spec: Spec) -> list[dict[str, Any]]:
    """The rows of a spec as mappings; where there is no event, there is no row.

    Raises:
        QuestionTooLarge: more than 200,000 rows, or the time limit.
    """
    rows = [dict(row) for row in connection.execute(compose(spec)).mappings()]
    if len(rows) > MAX_ROWS:
        raise QuestionTooLarge(
            f"The answer has more than {MAX_ROWS} rows: take a longer window, fewer dimensions or a filter."
        )
    return rows


def _columns(spec: Spec) -> list[str]:
    """The columns of the parts that the figures need."""
    names: dict[str, None] = {}
    for measure in spec.measures:
        if measure == "unique_users":
            names["user_key"] = None
        elif measure in PERCENTILES:
            names["timed_ms"] = None
        elif measure in _TIMES:
            names["time"] = None
        elif ":" in measure:
            names |= dict.fromkeys(_amount_columns(measure[-3:]))
        else:
            names[measure] = None
    return [name for name in names if name not in spec.keys]


def _cube_part(spec: Spec, cube: Cube, spans: Sequence[Span]) -> Select[Any]:
    columns = cube.table.c
    conditions = [_inside(columns.bucket, spans)]
    conditions += [_among(_of_bucket(columns, key), values, 0) for key, values in spec.filters.items()]
    return select(
        _piece(columns.bucket, spec.cuts),
        *(_of_bucket(columns, key).label(key) for key in spec.keys),
        *(columns[name].label(name) for name in _columns(spec)),
    ).where(*conditions)


def _raw_part(spec: Spec, condition: ColumnElement[bool]) -> Select[Any]:
    conditions = [condition]
    conditions += [_among(_of_event(key), values, None) for key, values in spec.filters.items()]
    return select(
        _piece(usage_events.c.time, spec.cuts),
        *(_key_of_event(key).label(key) for key in spec.keys),
        *(_value_of_event(name).label(name) for name in _columns(spec)),
    ).where(*conditions)


def _of_bucket(columns: Any, key: str) -> ColumnElement[Any]:
    return columns.status // _HUNDRED if key == STATUS_CLASS else columns[key]  # type: ignore[no-any-return]


def _of_event(key: str) -> ColumnElement[Any]:
    if key.startswith(LABEL):
        label: ColumnElement[Any] = usage_events.c.labels[key.removeprefix(LABEL)].astext
        return label
    return usage_events.c.status // _HUNDRED if key == STATUS_CLASS else usage_events.c[key]


def _key_of_event(key: str) -> ColumnElement[Any]:
    return _of_event(key) if key.startswith(LABEL) else func.coalesce(_of_event(key), _ZERO)


def _value_of_event(name: str) -> ColumnElement[Any]:
    if name == "timed_ms":
        return usage_events.c.response_time_ms
    if name == "time":
        return usage_events.c.time
    if name.endswith("_key"):
        return key_of_event(name)
    return _MEASURES[name].of_event


def _piece(instant: ColumnElement[Any], cuts: Sequence[datetime]) -> ColumnElement[Any]:
    if not cuts:
        return literal_column("0").label("piece")
    times = bindparam(None, list(cuts), type_=ARRAY(TIMESTAMP(timezone=True)))
    return func.width_bucket(instant, times).label("piece")


def _inside(instant: ColumnElement[Any], spans: Sequence[Span]) -> ColumnElement[bool]:
    return or_(false(), *(_between(instant, span) for span in spans))


def _between(instant: ColumnElement[Any], span: Span) -> ColumnElement[bool]:
    bounds = [instant >= _time(span.lower)] if span.lower is not None else []
    bounds += [instant < _time(span.upper)] if span.upper is not None else []
    return and_(true(), *bounds)


def _time(instant: datetime) -> ColumnElement[Any]:
    return literal(instant, TIMESTAMP(timezone=True))


def _among(of: ColumnElement[Any], values: Sequence[Any], nothing: int | None) -> ColumnElement[bool]:
    """Whether a key is one of `values`, where None stands for "no value": 0 in a cube, NULL in an event."""
    given = [value for value in values if value is not None]
    choices: list[ColumnElement[bool]] = [of.in_(given)] if given else [false()]
    if None in values:
        choices.append(of.is_(None) if nothing is None else of == nothing)
    return or_(*choices)


def _amount_columns(currency: str) -> tuple[str, ...]:
    own = f"cost_{currency.lower()}"
    return ("requests", "currency_key", own if own in _MEASURES else "cost")


def _figure(name: str, of: Any) -> ColumnElement[Any]:
    if name == "unique_users":
        return func.count(func.nullif(of.user_key, _ZERO).distinct())
    if name in PERCENTILES:
        share = literal(PERCENTILES[name], literal_execute=True)
        return func.percentile_disc(share).within_group(of.timed_ms)
    if name in _TIMES:
        first: ColumnElement[Any] = func.min(of.time)
        return first if name == "first_time" else func.max(of.time)
    kind, _, currency = name.partition(":")
    if not currency:
        return _MEASURES[name].aggregate(of[name])
    amount = _amount(of, currency)
    if kind == "cost":
        return func.coalesce(func.sum(amount), _ZERO)
    missing = and_(of.currency_key != _ZERO, amount.is_(None))
    return func.coalesce(func.sum(case((missing, of.requests), else_=_ZERO)), _ZERO)


def _amount(of: Any, currency: str) -> ColumnElement[Any]:
    """A row's cost in a currency it was given in, else NULL."""
    own = f"cost_{currency.lower()}"
    if own in _MEASURES:
        return of[own]  # type: ignore[no-any-return]
    return case((func.split_part(_CURRENCY.c.value, ",", 1) == currency, of.cost))
