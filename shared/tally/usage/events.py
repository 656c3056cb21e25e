"""Single events: one composed statement behind every list of them, newest first.

The place of an event in a list is its time and its sequence number. Neither ever changes, so a page that begins behind
the last place of the page before it loses and repeats nothing, whatever is stored in between.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    extract,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from tally import jsontext
from tally.cubes import CURRENCY_KEY, LIST_CURRENCY_KEY, usage_events
from tally.dimensions import KIND_OF_FIELD
from tally.event import UsageEvent
from tally.usage.coverage import EVER, Span
from tally.usage.inquiry import Inquiry
from tally.usage.keys import Known, known_values
from tally.usage.predicates import among, within
from tally.usage.search import Search, found_by

# The fields of an event as lists show it.
FIELDS = (*UsageEvent.__annotations__, "price_id", "list_cost", "tokens_estimated", "received_at")
_KEY_OF_FIELD = {field: f"{kind}_key" for field, kind in KIND_OF_FIELD.items()}
_METADATA = ("request_metadata", "response_metadata")
_TIMES = ("time", "received_at")
_PLAIN = tuple(field for field in FIELDS if field not in (*_KEY_OF_FIELD, *_METADATA, *_TIMES))
_TIME, _SEQ = usage_events.c.time, usage_events.c.seq
_CURSOR = re.compile(r"t([0-9]{1,16})s([0-9]{1,19})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST_TIME = datetime(2201, 1, 1, tzinfo=UTC)
_LAST_SEQ = 2**63 - 1

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands in every list: the newest first, of those of one time the one stored last."""

    time: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events a list has.

    Attributes:
        filters: as those of an engine's `Spec`, the caller's own restriction included.
        span: the range; None is unbounded.
        search: only those that it finds.
    """

    filters: Mapping[str, Sequence[Any]]
    span: Span = EVER
    search: Search | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Events under the names of `FIELDS`, and where the next page begins; None where no event follows."""

    events: list[Event]
    following: Place | None


def cursor_of(place: Place | None) -> str | None:
    """The `next_cursor` that stands for a place, exactly; None for none."""
    return None if place is None else f"t{(place.time - _EPOCH) // _MICROSECOND}s{place.seq}"


def place_of(cursor: str) -> Place:
    """The place that a cursor stands for.

    Raises:
        ValueError: it is none of ours; says what was expected.
    """
    if match := _CURSOR.fullmatch(cursor):
        place = Place(_EPOCH + int(match[1]) * _MICROSECOND, int(match[2]))
        if place.time < _LAST_TIME and place.seq <= _LAST_SEQ:
            return place
    raise ValueError("expected the next_cursor of an answer")


def page(
    connection: Connection, selection: Selection, limit: int, *, after: Place | None = None, offset: int = 0
) -> Page:
    """The first `limit` events of a selection, or those behind the place `after`; `offset` of them are passed over.

    Raises:
        QuestionTooLarge: the time limit.
    """
    rows = connection.execute(_compose(selection, limit + 1, after=after, offset=offset)).mappings().all()
    found = _decoded(connection, rows[:limit])
    return Page(found, Place(found[-1]["time"], rows[limit - 1]["seq"]) if len(rows) > limit else None)


def latest(inquiry: Inquiry, filters: Mapping[str, Sequence[Any]], limit: int) -> list[Event]:
    """The newest events; `filters` as those of an engine's `Spec`, the caller's own restriction included.

    Each has every name of `FIELDS`, None where it has no value: times are UTC, amounts `Decimal`, `cost` is
    `{"amount", "currency"}`; `token_name` is the name that its token is registered with.
    """
    return page(inquiry.connection, Selection(filters), limit).events


def in_zone(event: Event, where: tzinfo) -> Event:
    """An event with its times in a zone."""
    return event | {name: event[name].astimezone(where) for name in _TIMES}


def given(event: Event) -> Event:
    """The fields that an event has a value of."""
    return {name: event[name] for name in FIELDS if event[name] is not None}


def _compose(selection: Selection, limit: int, *, after: Place | None = None, offset: int = 0) -> Select[Any]:
    statement = select(*_columns()).where(*conditions(selection))
    if after is not None:
        statement = statement.where(behind(after))
    statement = _newest_first(statement).limit(limit)
    return statement.offset(offset) if offset else statement


def conditions(selection: Selection) -> list[ColumnElement[bool]]:
    """What an event of a selection fulfils."""
    found = [within(selection.span), *(among(key, values) for key, values in selection.filters.items())]
    if selection.search is not None:
        found.append(found_by(selection.search))
    return found


def behind(place: Place, time: ColumnElement[datetime] = _TIME, seq: ColumnElement[int] = _SEQ) -> ColumnElement[bool]:
    """Whether an event stands behind a place. The time by itself is for the planner, which skips partitions by it."""
    at_time, at_seq = literal(place.time, TIMESTAMP(timezone=True)), literal(place.seq, BigInteger())
    return and_(time <= at_time, tuple_(time, seq) < tuple_(at_time, at_seq))


def at(connection: Connection, places: Sequence[Place]) -> list[Event]:
    """The events at those places, in the order of every list."""
    times = bindparam(None, [place.time for place in places], type_=ARRAY(TIMESTAMP(timezone=True)))
    seqs = bindparam(None, [place.seq for place in places], type_=ARRAY(BigInteger()))
    wanted = func.unnest(times, seqs).table_valued("at_time", "at_seq").render_derived("wanted")
    joined = usage_events.join(wanted, and_(wanted.c.at_time == _TIME, wanted.c.at_seq == _SEQ))
    statement = _newest_first(select(*_columns()).select_from(joined))
    return _decoded(connection, connection.execute(statement).mappings().all())


def _decoded(connection: Connection, rows: Sequence[RowMapping]) -> list[Event]:
    key_columns = (*_KEY_OF_FIELD.values(), CURRENCY_KEY, LIST_CURRENCY_KEY)
    known = known_values(connection, {row[key] for row in rows for key in key_columns if row[key] is not None})
    return [_event(row, known) for row in rows]


def _newest_first(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(_TIME.desc(), _SEQ.desc())


def _columns() -> list[ColumnElement[Any]]:
    keys = [usage_events.c[key] for key in (*_KEY_OF_FIELD.values(), CURRENCY_KEY, LIST_CURRENCY_KEY)]
    metadata = [cast(usage_events.c[name], Text).label(name) for name in _METADATA]
    return [_SEQ, *keys, *(usage_events.c[name] for name in _PLAIN), *metadata, *map(_microseconds, _TIMES)]


def _microseconds(name: str) -> ColumnElement[int]:
    """A time as a number since 1970: the driver takes 40 µs to read a date, half of all that it does."""
    return cast(extract("epoch", usage_events.c[name]) * 1_000_000, BigInteger).label(name)


def _event(row: RowMapping, known: Mapping[int, Known]) -> Event:
    event = dict.fromkeys(FIELDS) | {name: row[name] for name in _PLAIN}
    for field, key in _KEY_OF_FIELD.items():
        if row[key] is not None:
            event[field] = known[row[key]].value
    for name in _TIMES:
        event[name] = _EPOCH + row[name] * _MICROSECOND
    for name in _METADATA:
        if row[name] is not None:
            event[name] = jsontext.raw(row[name])
    for amount, key in (("cost", CURRENCY_KEY), ("list_cost", LIST_CURRENCY_KEY)):
        if row[key] is not None:
            event[amount] = {"amount": row[amount], "currency": known[row[key]].value[:3]}
    event["tokens_estimated"] = row["tokens_estimated"] or None
    event["token_name"] = known[row["token_key"]].token_name if row["token_key"] is not None else None
    return event
