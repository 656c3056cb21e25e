"""The parts that a figure is put together from: buckets of cubes, raw events at the edges, events not yet folded.

Every part has the same columns: `piece`, those of the keys, and those that the measures are made of.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
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
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, array
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from tally.cubes import (
    CUBES,
    CURRENCY_KEY,
    HISTOGRAM,
    IS_BILLED,
    LIST_CURRENCY_KEY,
    MEASURES,
    Cube,
    detailed_users,
    fold_state,
    key_of_event,
    usage_events,
)
from tally.usage.plan import columns_of_calls, columns_of_costs
from tally.usage.predicates import of_event
from tally.usage.shape import Buckets, Filter, Side, key_label
from tally.usage.spec import LABEL, STATUS_CLASS, UNIQUES

_MEASURES = {measure.name: measure for measure in MEASURES}
_CUBES = {cube.table.name: cube for cube in CUBES}
_INSTANT = TIMESTAMP(timezone=True)
_ZERO: ColumnElement[Any] = literal_column("0")
_HUNDRED: ColumnElement[Any] = literal_column("100", Integer())
_WATERMARK = select(fold_state.c.watermark).scalar_subquery()
_TXID_OFFSET = select(fold_state.c.txid_offset).scalar_subquery()


class _Xid8(UserDefinedType[int]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class _Snapshot(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "pg_snapshot"


def parts(side: Side) -> list[Select[Any]]:
    """All that has to be added up: every event of the range is in one of them, or is put in and taken off again.

    On the side of costs only events count that cost something or should.
    """
    if not side.buckets:
        return [_raw_part(side, and_(_in_range(side), _visible(side)))]
    found = [_cube_part(side, buckets) for buckets in side.buckets]
    found += [_span_part(side, one.grain, _of_light_users(side)) for one in side.buckets if one.detailed]
    if side.edges:
        found.append(_span_part(side, "edge", _filters_of_events(side)))
    # The upper bound leaves nothing out; but PostgreSQL takes a range for few events, and one bound for a third.
    unfolded = and_(usage_events.c.txid >= _WATERMARK, usage_events.c.txid < literal_column(str(2**63 - 1)))
    found.append(_by_txid(side, unfolded, _visible(side)))
    if side.as_of:
        found.append(_later_part(side))
    return found


def parameter(name: str) -> ColumnElement[Any]:
    """A parameter without a type: it has the one that the statement casts it to, once and not for each row."""
    return bindparam(name, type_=NullType())


def _columns(side: Side) -> Sequence[str]:
    """The columns of the parts that the figures need."""
    if side.of == "costs":
        return columns_of_costs(side.measures)
    names = columns_of_calls(side.measures, binned=side.binned)
    return [*names, "weight"] if side.as_of and side.binned else names


def _cube_part(side: Side, buckets: Buckets) -> Select[Any]:
    """Buckets of a cube, of one span or of each of several."""
    cube, grain = _CUBES[buckets.cube], buckets.grain
    columns = cube.table.c
    part = select(
        _piece(side, columns.bucket),
        *(_of_bucket(columns, key).label(key_label(number)) for number, key in enumerate(side.keys)),
        *(_value_of_bucket(cube, name).label(name) for name in _columns(side)),
    ).where(
        *(
            _among(number, one, _of_bucket(columns, one.column), nothing_is_zero=True)
            for number, one in enumerate(side.filters)
        )
    )
    within = f"{side.of}_{grain}"
    if buckets.several:
        return _of_each_span(within, lambda span: part.where(columns.bucket >= span.lower, columns.bucket < span.upper))
    return part.where(columns.bucket >= _instant(f"{within}_lower"), columns.bucket < _instant(f"{within}_upper"))


def _raw_part(
    side: Side, condition: ColumnElement[bool], filters: Iterable[ColumnElement[bool]] | None = None
) -> Select[Any]:
    return select(*_of_events(side, _value_of_event)).where(
        condition, *_counted(side), *(_filters_of_events(side) if filters is None else filters)
    )


def _of_events(side: Side, value: Callable[[str], ColumnElement[Any]]) -> Iterator[ColumnElement[Any]]:
    """The columns of a part that reads raw events."""
    yield _piece(side, usage_events.c.time)
    for number, key in enumerate(side.keys):
        yield _key_of_event(key).label(key_label(number))
    for name in _columns(side):
        yield value(name).label(name)


def _by_txid(
    side: Side, *which: ColumnElement[bool], value: Callable[[str], ColumnElement[Any]] | None = None
) -> Select[Any]:
    """Events of some transactions, which are few.

    OFFSET 0 keeps the inner question apart, so that they are found by their transaction id. PostgreSQL does not know
    how few they are, and would rather walk through all events of the range or of a user.
    """
    columns = [*_of_events(side, value or _value_of_event)]
    filtered = [_of_event(one.column).label(f"filter_{number}") for number, one in enumerate(side.filters)]
    events = select(*columns, usage_events.c.time, *filtered).where(*which, *_counted(side))
    few = events.offset(literal_column("0")).subquery("events")
    conditions = [_in_range(side, few.c.time)]
    conditions += [
        _among(number, one, few.c[f"filter_{number}"], nothing_is_zero=False) for number, one in enumerate(side.filters)
    ]
    return select(*(few.c[column.name] for column in columns)).where(*conditions)


def _span_part(side: Side, spans: str, filters: Iterable[ColumnElement[bool]]) -> Select[Any]:
    """Folded events of some spans. The outer bounds let PostgreSQL leave out partitions."""
    time = usage_events.c.time
    spans = f"{side.of}_{spans}"
    outer = and_(time >= _instant(f"{spans}_lower"), time < _instant(f"{spans}_upper"))
    events = _raw_part(side, and_(usage_events.c.txid < _WATERMARK, outer), filters)
    return _of_each_span(spans, lambda span: events.where(time >= span.lower, time < span.upper))


def _of_each_span(spans: str, part: Callable[[Any], Select[Any]]) -> Select[Any]:
    """A part, read by index for each of some spans: `part` has the columns `lower` and `upper` of one.

    OFFSET 0 keeps it apart, so that it is planned for one span.
    """
    lowers, uppers = (cast(parameter(f"{spans}_{name}"), ARRAY(_INSTANT)) for name in ("lowers", "uppers"))
    span = func.unnest(lowers, uppers).table_valued("lower", "upper").render_derived("span")
    rows = part(span.c).offset(literal_column("0")).lateral("of_span")
    return select(*rows.c).select_from(span.join(rows, true()))


def _of_light_users(side: Side) -> Iterator[ColumnElement[bool]]:
    """The filters, for those of the users asked for who are not detailed. Of none of them, nothing is read."""
    for number, one in enumerate(side.filters):
        if one.column != "user_key":
            yield _among(number, one, _of_event(one.column), nothing_is_zero=False)
        else:
            asked = func.unnest(_array(one.column, f"filter_{number}_values")).column_valued("asked")
            light = select(asked).where(asked.not_in(select(detailed_users.c.user_key)))
            yield usage_events.c.user_key == func.any(func.array(light.scalar_subquery()))


def _later_part(side: Side) -> Select[Any]:
    """What was folded after the snapshot asked for, to be taken off the sums of the cubes."""
    from_then_on = usage_events.c.txid >= _stored_txid(func.pg_snapshot_xmin(_snapshot()))
    return _by_txid(side, from_then_on, usage_events.c.txid < _WATERMARK, ~_is_visible(), value=_less)


def _less(name: str) -> ColumnElement[Any]:
    """A column of an event that is to be taken off: nothing, where figures are not sums."""
    if name in UNIQUES.values():
        return _ZERO
    if name in (CURRENCY_KEY, LIST_CURRENCY_KEY, "day"):
        return _value_of_event(name)
    if name != "weight" and _MEASURES[name].combine != "sum":
        return cast(null(), _MEASURES[name].type)
    return -_value_of_event(name)


def _in_range(side: Side, time: ColumnElement[Any] = usage_events.c.time) -> ColumnElement[bool]:
    bounds = [time >= _instant("lower")] if side.lower else []
    bounds += [time < _instant("upper")] if side.upper else []
    return and_(true(), *bounds)


def _visible(side: Side) -> ColumnElement[bool]:
    return _is_visible() if side.as_of else true()


def _is_visible() -> ColumnElement[bool]:
    xid: ColumnElement[Any] = cast(cast(usage_events.c.txid - _TXID_OFFSET, String), _Xid8())
    visible: ColumnElement[bool] = func.pg_visible_in_snapshot(xid, _snapshot())
    return visible


def _snapshot() -> ColumnElement[Any]:
    return cast(parameter("as_of"), _Snapshot())


def _stored_txid(xid: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(cast(xid, String), BigInteger()) + _TXID_OFFSET


def _counted(side: Side) -> Sequence[ColumnElement[bool]]:
    return [IS_BILLED] if side.of == "costs" else []


def _filters_of_events(side: Side) -> Iterable[ColumnElement[bool]]:
    for number, one in enumerate(side.filters):
        yield _among(number, one, _of_event(one.column), nothing_is_zero=False)


def _among(number: int, one: Filter, of: ColumnElement[Any], *, nothing_is_zero: bool) -> ColumnElement[bool]:
    """Whether a key is one of some values, or stands for "no value": 0 in a cube, NULL in an event."""
    values = _array(one.column, f"filter_{number}_values")
    choices: list[ColumnElement[bool]] = [of == func.any(values)] if one.some else [false()]
    if one.nothing:
        choices.append(of == _ZERO if nothing_is_zero else of.is_(None))
    return or_(*choices)


def _array(column: str, name: str) -> ColumnElement[Any]:
    of: TypeEngine[Any] = String() if column.startswith(LABEL) else Integer()
    return cast(parameter(name), ARRAY(of))


def _instant(name: str) -> ColumnElement[Any]:
    return cast(parameter(name), _INSTANT)


def _of_bucket(columns: Any, key: str) -> ColumnElement[Any]:
    return columns.status // _HUNDRED if key == STATUS_CLASS else columns[key]  # type: ignore[no-any-return]


def _value_of_bucket(cube: Cube, name: str) -> ColumnElement[Any]:
    if name == "day":
        return _day_of(cube.table.c.bucket)
    return cube.table.c["requests" if name == "weight" else name]


def _day_of(instant: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.timezone(literal_column("'UTC'"), instant), Date)


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
    if name == "day":
        return _day_of(usage_events.c.time)
    if name == "weight":
        return literal_column("1")
    if name.endswith("_key"):
        return key_of_event(name)
    if name == HISTOGRAM:
        element = _MEASURES[HISTOGRAM].of_event
        return case((usage_events.c.response_time_ms.is_not(None), array([element])))
    return _MEASURES[name].of_event


def _piece(side: Side, instant: ColumnElement[Any]) -> ColumnElement[Any]:
    if not side.cuts:
        return _ZERO.label("piece")
    cuts = cast(parameter("cuts"), ARRAY(_INSTANT))
    return func.width_bucket(instant, cuts).label("piece")
