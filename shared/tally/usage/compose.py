"""The one statement behind every figure: whole cube buckets, raw events at the edges, and the events not yet folded.

Watermark, cubes and raw events are read in one statement and so in one snapshot: an event is in the cubes or behind
the watermark, never in both and never in neither.

A statement depends only on the shape of a question; ranges and keys are parameters. So it is composed once for each
shape, and PostgreSQL plans it once for each connection: planning takes longer than answering from a cube.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, TSTZMULTIRANGE, array
from sqlalchemy.sql.selectable import CTE, Subquery
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from tally.cubes import (
    CUBES,
    HISTOGRAM,
    MEASURES,
    OWN_CURRENCIES,
    Cube,
    Grain,
    bin_of,
    count_of,
    detailed_users,
    dimensions,
    fold_state,
    key_of_event,
    milliseconds_of,
    usage_events,
)
from tally.database import array_text
from tally.usage.coverage import Span
from tally.usage.plan import Plan, columns_of
from tally.usage.predicates import of_event
from tally.usage.spec import LABEL, PERCENTILES, STATUS_CLASS, UNIQUES, Spec

_MEASURES = {measure.name: measure for measure in MEASURES}
_CUBES = {cube.table.name: cube for cube in CUBES}
_INSTANT = TIMESTAMP(timezone=True)
_ZERO: ColumnElement[Any] = literal_column("0")
_HUNDRED: ColumnElement[Any] = literal_column("100", Integer())
_CURRENCY = dimensions.alias("currency")
_WATERMARK = select(fold_state.c.watermark).scalar_subquery()
_TXID_OFFSET = select(fold_state.c.txid_offset).scalar_subquery()
Parameters = dict[str, str]


class _Xid8(UserDefinedType[int]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class _Snapshot(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "pg_snapshot"


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a column: among some values, or "no value", or both."""

    column: str
    some: bool
    nothing: bool


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of a cube that are read: between two bounds, or where `several`, in spans between them."""

    cube: str
    grain: Grain
    several: bool

    @property
    def detailed(self) -> bool:
        """Whether the cube has rows of detailed users only."""
        return _CUBES[self.cube].detailed


@dataclass(frozen=True, slots=True)
class Shape:
    """What a statement depends on: all of a spec but its values.

    Attributes:
        buckets: what is read of cubes; none where only raw events can tell.
        edges: whether folded events at the edges are read too.
        lower, upper: whether the range has these bounds.
        binned: whether percentiles come from histograms.
    """

    measures: tuple[str, ...]
    keys: tuple[str, ...]
    filters: tuple[Filter, ...]
    buckets: tuple[Buckets, ...]
    edges: bool
    lower: bool
    upper: bool
    cuts: bool
    binned: bool
    as_of: bool


def shape_of(spec: Spec, plan: Plan) -> tuple[Shape, Parameters]:
    """The shape of a spec, and the values of its parameters as PostgreSQL reads them."""
    parameters: Parameters = {}
    keys = tuple(_key_of_shape(f"key_{number}", key, parameters) for number, key in enumerate(spec.keys))
    filters = tuple(_filters_of_shape(spec, parameters))
    buckets = tuple(_buckets_of_shape(plan, parameters))
    edges = bool(buckets) and bool(plan.coverage.raw)
    if edges:
        parameters |= _bounds("edge", plan.coverage.raw) | _each("edge", plan.coverage.raw)
    if spec.span.lower is not None:
        parameters["lower"] = spec.span.lower.isoformat()
    if spec.span.upper is not None:
        parameters["upper"] = spec.span.upper.isoformat()
    if spec.cuts:
        parameters["cuts"] = array_text(cut.isoformat() for cut in spec.cuts)
    for measure in spec.measures:
        _, _, currency = measure.partition(":")
        if currency and currency not in OWN_CURRENCIES:
            parameters[f"currency_{currency}"] = currency
    if spec.as_of is not None:
        parameters["as_of"] = spec.as_of
    shape = Shape(
        measures=spec.measures,
        keys=keys,
        filters=filters,
        buckets=buckets,
        edges=edges,
        lower=spec.span.lower is not None,
        upper=spec.span.upper is not None,
        cuts=bool(spec.cuts),
        binned=bool(buckets),
        as_of=spec.as_of is not None,
    )
    return shape, parameters


def _filters_of_shape(spec: Spec, parameters: Parameters) -> Iterator[Filter]:
    for number, (column, values) in enumerate(spec.filters.items()):
        some = [value for value in values if value is not None]
        if some:
            parameters[f"filter_{number}_values"] = array_text(some)
        key = _key_of_shape(f"filter_{number}", column, parameters)
        yield Filter(key, bool(some), len(some) < len(values))


def _buckets_of_shape(plan: Plan, parameters: Parameters) -> Iterator[Buckets]:
    for grain, cube in plan.cubes.items():
        spans = plan.coverage.buckets[grain]
        parameters |= _bounds(grain, spans)
        if len(spans) > 1:
            parameters[f"{grain}_spans"] = _multirange(spans)
        if cube.detailed:
            parameters |= _each(grain, spans)
        yield Buckets(cube.table.name, grain, len(spans) > 1)


def _key_of_shape(place: str, key: str, parameters: Parameters) -> str:
    """A key as the shape has it: the name of a label is a value, and the shape only knows its parameter."""
    if not key.startswith(LABEL):
        return key
    parameters[f"label_of_{place}"] = key.removeprefix(LABEL)
    return f"{LABEL}label_of_{place}"


def key_label(number: int) -> str:
    """The name of the column of a key, by its place in the shape."""
    return f"k{number}"


def measure_label(number: int) -> str:
    """The name of the column of a measure, by its place in the shape."""
    return f"m{number}"


@lru_cache(maxsize=1024)
def figures(shape: Shape) -> Select[Any]:
    """The statement. Columns: `piece`, then those of the keys and of the measures in the order of the shape.

    Where there is no event, there is no row.
    """
    parts = [_cube_part(shape, buckets) for buckets in shape.buckets]
    if parts:
        parts += [_span_part(shape, one.grain, _of_light_users(shape)) for one in shape.buckets if one.detailed]
        if shape.edges:
            parts.append(_span_part(shape, "edge", _filters_of_events(shape)))
        # The upper bound leaves nothing out; but PostgreSQL takes a range for few events, and one bound for a third.
        unfolded = and_(usage_events.c.txid >= _WATERMARK, usage_events.c.txid < literal_column(str(2**63 - 1)))
        parts.append(_by_txid(shape, unfolded, _visible(shape)))
        if shape.as_of:
            parts.append(_later_part(shape))
    else:
        parts.append(_raw_part(shape, and_(_in_range(shape), _visible(shape))))
    percentiles = [name for name in shape.measures if name in PERCENTILES] if shape.binned else []
    rows = union_all(*parts).cte("rows") if percentiles else union_all(*parts).subquery("rows")
    groups = [rows.c.piece, *(rows.c[key_label(number)] for number in range(len(shape.keys)))]
    sums = [_figure(shape, name, rows.c).label(measure_label(number)) for number, name in enumerate(shape.measures)]
    question = select(*groups, *sums).group_by(*groups)
    if "currency_key" in rows.c:
        question = question.select_from(rows.outerjoin(_CURRENCY, _CURRENCY.c.key == rows.c.currency_key))
    if shape.as_of and shape.binned:
        question = question.having(func.sum(rows.c.weight) > _ZERO)
    return _with_percentiles(shape, question, rows, percentiles) if percentiles else question


def _with_percentiles(
    shape: Shape, question: Select[Any], rows: CTE | Subquery, percentiles: Sequence[str]
) -> Select[Any]:
    """`question` with percentiles from the histograms of its rows: the bin that the nearest rank falls into."""
    names = ["piece", *(key_label(number) for number in range(len(shape.keys)))]
    elements = func.unnest(rows.c[HISTOGRAM]).table_valued("element").render_derived("elements")
    element = elements.c.element
    groups = [rows.c[name] for name in names]
    bins = (
        select(*groups, bin_of(element).label("bin"), func.sum(count_of(element)).label("count"))
        .select_from(rows.join(elements, true()))
        .group_by(*groups, bin_of(element))
        .subquery("bins")
    )
    groups = [bins.c[name] for name in names]
    ranked = select(
        *groups,
        bins.c.bin,
        func.sum(bins.c.count).over(partition_by=groups, order_by=bins.c.bin).label("rank"),
        func.sum(bins.c.count).over(partition_by=groups).label("total"),
    ).subquery("ranked")
    groups = [ranked.c[name] for name in names]
    found = (
        select(
            *groups,
            *(
                milliseconds_of(
                    func.min(ranked.c.bin).filter(
                        ranked.c.rank >= func.ceil(ranked.c.total * literal_column(PERCENTILES[name]))
                    )
                ).label(name)
                for name in percentiles
            ),
        )
        .group_by(*groups)
        .subquery("percentiles")
    )
    sums = question.subquery("sums")
    columns = [
        found.c[name].label(measure_label(number)) if name in percentiles else sums.c[measure_label(number)]
        for number, name in enumerate(shape.measures)
    ]
    same = and_(*(sums.c[name] == found.c[name] for name in names))
    return select(*(sums.c[name] for name in names), *columns).select_from(sums.outerjoin(found, same))


def _columns(shape: Shape) -> list[str]:
    """The columns of the parts that the figures need."""
    names = columns_of(shape.measures, binned=shape.binned)
    return [*names, "weight"] if shape.as_of and shape.binned else names


def _cube_part(shape: Shape, buckets: Buckets) -> Select[Any]:
    cube, grain = _CUBES[buckets.cube], buckets.grain
    columns = cube.table.c
    conditions = [columns.bucket >= _instant(f"{grain}_lower"), columns.bucket < _instant(f"{grain}_upper")]
    if buckets.several:
        spans = cast(parameter(f"{grain}_spans"), TSTZMULTIRANGE)
        conditions.append(columns.bucket.op("<@")(spans))
    conditions += [
        _among(number, one, _of_bucket(columns, one.column), nothing_is_zero=True)
        for number, one in enumerate(shape.filters)
    ]
    return select(
        _piece(shape, columns.bucket),
        *(_of_bucket(columns, key).label(key_label(number)) for number, key in enumerate(shape.keys)),
        *(_value_of_bucket(cube, name).label(name) for name in _columns(shape)),
    ).where(*conditions)


def _raw_part(
    shape: Shape, condition: ColumnElement[bool], filters: Iterable[ColumnElement[bool]] | None = None
) -> Select[Any]:
    return select(*_of_events(shape, _value_of_event)).where(
        condition, *(_filters_of_events(shape) if filters is None else filters)
    )


def _of_events(shape: Shape, value: Callable[[str], ColumnElement[Any]]) -> Iterator[ColumnElement[Any]]:
    """The columns of a part that reads raw events."""
    yield _piece(shape, usage_events.c.time)
    for number, key in enumerate(shape.keys):
        yield _key_of_event(key).label(key_label(number))
    for name in _columns(shape):
        yield value(name).label(name)


def _by_txid(
    shape: Shape, *which: ColumnElement[bool], value: Callable[[str], ColumnElement[Any]] | None = None
) -> Select[Any]:
    """Events of some transactions, which are few.

    OFFSET 0 keeps the inner question apart, so that they are found by their transaction id. PostgreSQL does not know
    how few they are, and would rather walk through all events of the range or of a user.
    """
    columns = [*_of_events(shape, value or _value_of_event)]
    filtered = [_of_event(one.column).label(f"filter_{number}") for number, one in enumerate(shape.filters)]
    events = (
        select(*columns, usage_events.c.time, *filtered).where(*which).offset(literal_column("0")).subquery("events")
    )
    conditions = [_in_range(shape, events.c.time)]
    conditions += [
        _among(number, one, events.c[f"filter_{number}"], nothing_is_zero=False)
        for number, one in enumerate(shape.filters)
    ]
    return select(*(events.c[column.name] for column in columns)).where(*conditions)


def _span_part(shape: Shape, spans: str, filters: Iterable[ColumnElement[bool]]) -> Select[Any]:
    """Folded events of some spans: an index scan for each. The outer bounds let PostgreSQL leave out partitions."""
    each = func.unnest(
        cast(parameter(f"{spans}_lowers"), ARRAY(_INSTANT)), cast(parameter(f"{spans}_uppers"), ARRAY(_INSTANT))
    )
    span = each.table_valued("lower", "upper").render_derived("span")
    time = usage_events.c.time
    inside = and_(
        time >= span.c.lower, time < span.c.upper,
        time >= _instant(f"{spans}_lower"), time < _instant(f"{spans}_upper"),
    )  # fmt: skip
    folded = usage_events.c.txid < _WATERMARK
    # OFFSET 0 keeps the inner question apart, so that it is planned for one span.
    events = _raw_part(shape, and_(folded, inside), filters).offset(literal_column("0")).lateral("events")
    return select(*events.c).select_from(span.join(events, true()))


def _of_light_users(shape: Shape) -> Iterator[ColumnElement[bool]]:
    """The filters, for those of the users asked for who are not detailed. Of none of them, nothing is read."""
    for number, one in enumerate(shape.filters):
        if one.column != "user_key":
            yield among_events(one, _array(one.column, f"filter_{number}_values"))
        else:
            asked = func.unnest(_array(one.column, f"filter_{number}_values")).column_valued("asked")
            light = select(asked).where(asked.not_in(select(detailed_users.c.user_key)))
            yield usage_events.c.user_key == func.any(func.array(light.scalar_subquery()))


def _later_part(shape: Shape) -> Select[Any]:
    """What was folded after the snapshot asked for, to be taken off the sums of the cubes."""
    from_then_on = usage_events.c.txid >= _stored_txid(func.pg_snapshot_xmin(_snapshot()))
    return _by_txid(shape, from_then_on, usage_events.c.txid < _WATERMARK, ~_is_visible(), value=_less)


def _less(name: str) -> ColumnElement[Any]:
    """A column of an event that is to be taken off: nothing, where figures are not sums."""
    if name in (*UNIQUES.values(), "currency_key"):
        return key_of_event(name) if name == "currency_key" else _ZERO
    if name != "weight" and _MEASURES[name].combine != "sum":
        return cast(null(), _MEASURES[name].type)
    return -_value_of_event(name)


def _in_range(shape: Shape, time: ColumnElement[Any] = usage_events.c.time) -> ColumnElement[bool]:
    bounds = [time >= _instant("lower")] if shape.lower else []
    bounds += [time < _instant("upper")] if shape.upper else []
    return and_(true(), *bounds)


def _visible(shape: Shape) -> ColumnElement[bool]:
    return _is_visible() if shape.as_of else true()


def _is_visible() -> ColumnElement[bool]:
    xid: ColumnElement[Any] = cast(cast(usage_events.c.txid - _TXID_OFFSET, String), _Xid8())
    visible: ColumnElement[bool] = func.pg_visible_in_snapshot(xid, _snapshot())
    return visible


def _snapshot() -> ColumnElement[Any]:
    return cast(parameter("as_of"), _Snapshot())


def _stored_txid(xid: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(cast(xid, String), BigInteger()) + _TXID_OFFSET


def _filters_of_events(shape: Shape) -> Iterable[ColumnElement[bool]]:
    for number, one in enumerate(shape.filters):
        yield among_events(one, _array(one.column, f"filter_{number}_values"))


def among_events(one: Filter, values: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition of a filter on raw events; `values` is an array."""
    return _condition(one, _of_event(one.column), values, nothing_is_zero=False)


def _among(number: int, one: Filter, of: ColumnElement[Any], *, nothing_is_zero: bool) -> ColumnElement[bool]:
    return _condition(one, of, _array(one.column, f"filter_{number}_values"), nothing_is_zero=nothing_is_zero)


def _condition(
    one: Filter, of: ColumnElement[Any], values: ColumnElement[Any], *, nothing_is_zero: bool
) -> ColumnElement[bool]:
    """Whether a key is one of some values, or stands for "no value": 0 in a cube, NULL in an event."""
    choices: list[ColumnElement[bool]] = [of == func.any(values)] if one.some else [false()]
    if one.nothing:
        choices.append(of == _ZERO if nothing_is_zero else of.is_(None))
    return or_(*choices)


def _array(column: str, name: str) -> ColumnElement[Any]:
    of: TypeEngine[Any] = String() if column.startswith(LABEL) else Integer()
    return cast(parameter(name), ARRAY(of))


def parameter(name: str) -> ColumnElement[Any]:
    """A parameter without a type: it has the one that the statement casts it to, once and not for each row."""
    return bindparam(name, type_=NullType())


def _instant(name: str) -> ColumnElement[Any]:
    return cast(parameter(name), _INSTANT)


def _of_bucket(columns: Any, key: str) -> ColumnElement[Any]:
    return columns.status // _HUNDRED if key == STATUS_CLASS else columns[key]  # type: ignore[no-any-return]


def _value_of_bucket(cube: Cube, name: str) -> ColumnElement[Any]:
    return cube.table.c["requests" if name == "weight" else name]


def _of_event(key: str) -> ColumnElement[Any]:
    if key.startswith(LABEL):
        name = parameter(key.removeprefix(LABEL))
        label: ColumnElement[Any] = usage_events.c.labels[cast(name, String)].astext
        return label
    return of_event(key)


def _key_of_event(key: str) -> ColumnElement[Any]:
    return _of_event(key) if key.startswith(LABEL) else func.coalesce(_of_event(key), _ZERO)


def _value_of_event(name: str) -> ColumnElement[Any]:
    if name == "timed_ms":
        return usage_events.c.response_time_ms
    if name == "weight":
        return literal_column("1")
    if name.endswith("_key"):
        return key_of_event(name)
    if name == HISTOGRAM:
        element = _MEASURES[HISTOGRAM].of_event
        return case((usage_events.c.response_time_ms.is_not(None), array([element])))
    return _MEASURES[name].of_event


def _piece(shape: Shape, instant: ColumnElement[Any]) -> ColumnElement[Any]:
    if not shape.cuts:
        return _ZERO.label("piece")
    cuts = cast(parameter("cuts"), ARRAY(_INSTANT))
    return func.width_bucket(instant, cuts).label("piece")


def _figure(shape: Shape, name: str, of: Any) -> ColumnElement[Any]:
    if name in UNIQUES:
        return func.count(func.nullif(of[UNIQUES[name]], _ZERO).distinct())
    if name in PERCENTILES:
        if shape.binned:
            return null()  # joined later
        return func.percentile_disc(literal_column(PERCENTILES[name])).within_group(of.timed_ms)
    kind, _, currency = name.partition(":")
    if not currency:
        return _MEASURES[name].aggregate(of[name])
    if currency in OWN_CURRENCIES:
        code = currency.lower()
        amount = of[f"cost_{code}"] if kind == "cost" else of.priced_requests - of[f"{code}_requests"]
        return func.coalesce(func.sum(amount), _ZERO)
    given_in = func.split_part(_CURRENCY.c.value, literal_column("','"), literal_column("1"))
    is_in = given_in == cast(parameter(f"currency_{currency}"), String)
    if kind == "cost":
        return func.coalesce(func.sum(case((is_in, of.cost))), _ZERO)
    missing = and_(of.currency_key != _ZERO, ~is_in)
    return func.coalesce(func.sum(case((missing, of.requests), else_=_ZERO)), _ZERO)


def _bounds(name: str, spans: Sequence[Span]) -> Parameters:
    """The outer bounds of spans, which are in order."""
    return {f"{name}_lower": _text(spans[0].lower, "-infinity"), f"{name}_upper": _text(spans[-1].upper, "infinity")}


def _each(name: str, spans: Sequence[Span]) -> Parameters:
    """Every lower and every upper bound."""
    lowers = array_text(_text(span.lower, "-infinity") for span in spans)
    uppers = array_text(_text(span.upper, "infinity") for span in spans)
    return {f"{name}_lowers": lowers, f"{name}_uppers": uppers}


def _multirange(spans: Iterable[Span]) -> str:
    ranges = (f"[{_text(span.lower, '')},{_text(span.upper, '')})" for span in spans)
    return "{" + ",".join(ranges) + "}"


def _text(instant: datetime | None, unbounded: str) -> str:
    return unbounded if instant is None else instant.isoformat()
