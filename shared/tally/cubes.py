"""The tables that figures come from: raw events, and cubes of sums by hour, quarter of a day, day or month (UTC).

A cube holds for each bucket and combination of keys the sums of all folded events. Which cubes there are is data:
folding and questions are both composed from it. Key 0 stands for "no value".

Costs have cubes of their own. They have sums of those events only that cost something or should, apart by currency so
that each converts at its own day's rate, and they change when events are priced again; all others never do.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    and_,
    case,
    cast,
    func,
    literal_column,
    or_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from tally.dimensions import CURRENCY, KIND_OF_FIELD, SENDER

Grain = Literal["hour", "quarter_day", "day", "month"]
Kind = Literal["calls", "costs"]
FINE_FIRST: Sequence[Grain] = ("hour", "quarter_day", "day", "month")

metadata = MetaData()

CURRENCY_KEY = f"{CURRENCY}_key"
LIST_CURRENCY_KEY = f"list_{CURRENCY_KEY}"
KEY_COLUMNS = (*(f"{kind}_key" for kind in KIND_OF_FIELD.values()), CURRENCY_KEY, LIST_CURRENCY_KEY)
TOKEN_COUNTS = ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens")
TEXTS = (
    "user_name", "error_message", "ip_address", "user_agent", "workflow_id", "content_id", "request_id", "topic",
)  # fmt: skip
COSTS = ("cost", "cost_usd", "cost_rub", "list_cost")
# Currencies in which a sender may give an amount beside another one.
OWN_CURRENCIES = ("USD", "RUB")
HISTOGRAM = "histogram"
IS_AI = "is_ai"

usage_events = Table(
    "usage_events",
    metadata,
    Column("time", DateTime(timezone=True)),
    Column("seq", BigInteger),
    Column("txid", BigInteger),
    Column("received_at", DateTime(timezone=True)),
    Column(f"{SENDER}_key", Integer),
    Column("id", String),
    *(Column(name, Integer) for name in KEY_COLUMNS),
    Column("status", SmallInteger),
    Column("tokens_estimated", Boolean),
    *(Column(name, BigInteger) for name in TOKEN_COUNTS),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("response_time_ms", Numeric),
    *(Column(name, Numeric) for name in COSTS),
    Column("price_id", Integer),
    *(Column(name, BigInteger) for name in ("input_text_length", "output_text_length")),
    *(Column(name, String) for name in TEXTS),
    *(Column(name, JSONB) for name in ("labels", "request_metadata", "response_metadata")),
)
dimensions = Table(
    "dimensions",
    metadata,
    Column("key", Integer),
    Column("kind", String),
    Column("scope", Integer),
    Column("value", String),
)
api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String),
    Column("name", String),
    Column("team_id", String),
    Column("token_hash", String),
)
detailed_users = Table("detailed_users", metadata, Column("user_key", Integer, primary_key=True))
fold_state = Table("fold_state", metadata, Column("watermark", BigInteger), Column("txid_offset", BigInteger))

_events = usage_events.c
_ONE: ColumnElement[Any] = literal_column("1")
_ZERO: ColumnElement[Any] = literal_column("0")
_IS_ERROR = or_(
    _events.status >= literal_column("400"),
    and_(_events.status.is_(None), or_(_events.error_message.is_not(None), _events.error_type_key.is_not(None))),
)
_IS_AI = or_(
    _events.model_key.is_not(None),
    _events.operation_key.is_not(None),
    _events.total_tokens.is_not(None),
)
# Unpriced, where it has no currency.
IS_BILLED = or_(_events.model_key.is_not(None), _events.total_tokens.is_not(None), _events.currency_key.is_not(None))

# Histograms of response times: bin n > 0 holds those in (γ^(n-4097), γ^(n-4096)] ms, bin 0 those of 0 ms. With
# γ = (1+α)/(1-α), the middle 2γ^n/(γ+1) of a bin differs from every value in it by a share of at most α (Masson, Rim,
# Lee: DDSketch, VLDB 2019). An element of the array is the bin in the upper 16 bits and its count in the lower 48.
HISTOGRAM_ERROR = 0.019
_GAMMA = (1 + HISTOGRAM_ERROR) / (1 - HISTOGRAM_ERROR)
_BINS_AN_E_FOLD = 1 / math.log(_GAMMA)
_FIRST_BIN = 4096
_BITS: ColumnElement[Any] = literal_column("48")


def bin_of(element: ColumnElement[Any]) -> ColumnElement[Any]:
    """The bin of an element of a histogram."""
    return element.op(">>")(_BITS)


def count_of(element: ColumnElement[Any]) -> ColumnElement[Any]:
    """The count of an element of a histogram."""
    return element.op("&")(literal_column(str(2**48 - 1), BigInteger()))


def milliseconds_of(number: ColumnElement[Any]) -> ColumnElement[Any]:
    """The middle of a bin."""
    exponent: ColumnElement[Any] = cast(number - literal_column(str(_FIRST_BIN)), Double())
    middle = func.power(_float(_GAMMA), exponent) * _float(2 / (_GAMMA + 1))
    return case((number == _ZERO, _ZERO), else_=cast(middle, Numeric()))


def _float(value: float) -> ColumnElement[Any]:
    return literal_column(f"{value!r}::float8", Double())


def _element_of_event() -> ColumnElement[Any]:
    """The element that one event adds to a histogram; NULL for an event without a response time."""
    logarithm = func.ln(cast(_events.response_time_ms, Double())) * _float(_BINS_AN_E_FOLD)
    number = cast(func.ceil(logarithm), BigInteger()) + literal_column(str(_FIRST_BIN))
    element = number.op("<<")(_BITS).op("|")(_ONE)
    return case((_events.response_time_ms == _ZERO, _ONE), (_events.response_time_ms > _ZERO, element))


def _short(elements: ColumnElement[Any]) -> ColumnElement[Any]:
    """Elements of one bin made one, where there are many: the call takes longer than it saves where there are few."""
    return case((func.cardinality(elements) <= literal_column("32"), elements), else_=func.histogram_compact(elements))


_NUMERIC = Numeric()
Combine = Literal["sum", "min", "max", "histogram"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a bucket: how it comes from an event, and how two of them become one."""

    name: str
    of_event: ColumnElement[Any]
    combine: Combine = "sum"
    type: TypeEngine[Any] = _NUMERIC

    def aggregate(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """The figure of many rows, from this measure's column of each."""
        if self.combine == "histogram":
            return func.array_concat(column)
        return getattr(func, self.combine)(column)  # type: ignore[no-any-return]

    def aggregate_events(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """The figure of many events, from what `of_event` gives for each."""
        if self.combine == "histogram":
            return func.array_agg(column).filter(column.is_not(None))
        return self.aggregate(column)

    def stored(self, figure: ColumnElement[Any]) -> ColumnElement[Any]:
        """A figure as a cube keeps it."""
        return _short(figure) if self.combine == "histogram" else figure

    def add(self, there: ColumnElement[Any], added: ColumnElement[Any]) -> ColumnElement[Any]:
        """The figure of a bucket that is there and of one to be added."""
        if self.combine == "histogram":
            return self.stored(func.array_cat(there, added))
        if self.combine == "sum":
            return there + added
        return func.least(there, added) if self.combine == "min" else func.greatest(there, added)


def _count(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return case((condition, _ONE), else_=_ZERO)


_CALLS: Sequence[Measure] = (
    Measure("requests", _ONE, type=BigInteger()),
    Measure("errors", _count(_IS_ERROR), type=BigInteger()),
    Measure("timed_requests", _count(_events.response_time_ms.is_not(None)), type=BigInteger()),
    Measure("response_time_ms", func.coalesce(_events.response_time_ms, _ZERO)),
)
_USUAL: Sequence[Measure] = (
    *_CALLS,
    *(Measure(name, func.coalesce(_events[name], _ZERO)) for name in TOKEN_COUNTS),
    Measure(
        "estimated_tokens",
        case((_events.tokens_estimated, func.coalesce(_events.total_tokens, _ZERO)), else_=_ZERO),
    ),
    Measure("min_response_time_ms", _events.response_time_ms, "min"),
    Measure("max_response_time_ms", _events.response_time_ms, "max"),
)
_COSTS: Sequence[Measure] = (
    Measure("billed_requests", _ONE, type=BigInteger()),
    *(Measure(name, func.coalesce(_events[name], _ZERO)) for name in COSTS),
)
_TIMES: Sequence[Measure] = (
    Measure("first_time", _events.time, "min", DateTime(timezone=True)),
    Measure("last_time", _events.time, "max", DateTime(timezone=True)),
)
_RECEIVED: Sequence[Measure] = (Measure("last_received", _events.received_at, "max", DateTime(timezone=True)),)
_ERRORS: Sequence[Measure] = (
    Measure("last_error_time", case((_IS_ERROR, _events.time)), "max", DateTime(timezone=True)),
)
_HISTOGRAM: Sequence[Measure] = (Measure(HISTOGRAM, _element_of_event(), "histogram", ARRAY(BigInteger)),)
MEASURES: Sequence[Measure] = (*_USUAL, *_COSTS, *_TIMES, *_RECEIVED, *_ERRORS, *_HISTOGRAM)


@dataclass(frozen=True, slots=True)
class Cube:
    """A table of sums.

    Attributes:
        name: what its keys are about; cubes of one name differ in their grain.
        keys: the columns that it keeps apart besides the bucket.
        measures: its columns.
        family: what it is folded with: events are summed up once by all keys of a family's cubes, and each cube from
            those sums. It pays where the sums are few.
        of: whether it has the sums of all calls, or of what those cost that cost something or should.
        detailed: whether it has rows of detailed users only, those with so many events that reading their raw events
            takes longer than reading buckets. Of the others, most buckets would hold a single event.
    """

    name: str
    table: Table
    grain: Grain
    keys: tuple[str, ...]
    measures: Sequence[Measure]
    family: str
    of: Kind = "calls"
    detailed: bool = False


def _cube(
    name: str,
    grain: Grain,
    keys: Sequence[str],
    measures: Sequence[Measure] = _USUAL,
    *,
    family: str,
    of: Kind = "calls",
    detailed: bool = False,
) -> Cube:
    table = Table(
        f"{'cost' if of == 'costs' else 'cube'}_{name}_{grain}",
        metadata,
        Column("bucket", DateTime(timezone=True), primary_key=True),
        *(Column(key, Integer, primary_key=True) for key in keys),
        *(Column(measure.name, measure.type) for measure in measures),
    )
    return Cube(name, table, grain, tuple(keys), measures, family, of, detailed)


def _call_cubes() -> Iterator[Cube]:
    keys: Sequence[str] = ("organization_key", "source_key")
    yield _cube("source", "hour", keys, family="model")
    yield _cube("source", "day", keys, (*_USUAL, *_TIMES, *_RECEIVED, *_HISTOGRAM), family="model")

    yield _cube("status", "day", ("organization_key", "status", "error_type_key"), family="route")

    keys = ("organization_key", "route_key", "method_key")
    yield _cube("route", "hour", keys, family="route")
    yield _cube("route", "quarter_day", keys, family="route")
    yield _cube("route", "day", keys, (*_USUAL, *_TIMES, *_HISTOGRAM), family="route")

    keys = ("organization_key", "token_key")
    yield _cube("token", "hour", keys, family="token")
    yield _cube("token", "quarter_day", keys, family="token")
    yield _cube("token", "day", ("organization_key", "team_key", "token_key"), (*_USUAL, *_TIMES), family="token")

    keys = ("organization_key", "provider_key", "model_key", "operation_key", IS_AI)
    yield _cube("model", "hour", keys, family="model")
    yield _cube("model", "quarter_day", keys, family="model")
    yield _cube("agent", "hour", ("organization_key", "agent_key", IS_AI), family="model")
    keys = (
        "organization_key", "agent_key", "provider_key", "model_key", "operation_key", "token_type_key", IS_AI,
    )  # fmt: skip
    yield _cube("model", "day", keys, (*_USUAL, *_HISTOGRAM), family="model")

    keys = ("organization_key", "route_key", "method_key", "status", "error_type_key")
    yield _cube("route_status", "month", keys, (*_CALLS, *_ERRORS), family="route")

    keys = ("organization_key", "user_key")
    yield _cube("user", "hour", keys, family="user_hour", detailed=True)
    yield _cube("user", "quarter_day", keys, family="user_hour", detailed=True)
    keys = ("organization_key", "user_key", IS_AI)
    yield _cube("user", "day", keys, family="user")
    yield _cube("user", "month", keys, family="user")

    yield _cube("token_route", "month", ("organization_key", "token_key", "route_key"), _CALLS, family="token_route")

    keys = ("organization_key", "user_key", "agent_key")
    yield _cube("user_agent", "day", keys, family="user", detailed=True)
    yield _cube("user_agent", "month", keys, family="user")

    keys = ("organization_key", "user_key", "provider_key", "model_key", "operation_key", IS_AI)
    yield _cube("user_model", "day", keys, family="user", detailed=True)
    yield _cube("user_model", "month", keys, family="user")


def _cost_cubes() -> Iterator[Cube]:
    """By day at most: a month has no one rate."""
    currencies = (CURRENCY_KEY, LIST_CURRENCY_KEY)

    def cube(name: str, grain: Grain, keys: Sequence[str], family: str, *, detailed: bool = False) -> Cube:
        of: Kind = "costs"
        return _cube(name, grain, (*keys, *currencies), _COSTS, family=f"cost_{family}", of=of, detailed=detailed)

    keys: Sequence[str] = ("organization_key", "source_key")
    yield cube("source", "hour", keys, "model")
    yield cube("source", "day", keys, "model")

    yield cube("status", "day", ("organization_key", "status", "error_type_key"), "route")
    yield cube("route", "hour", ("organization_key", "route_key", "method_key"), "route")
    yield cube("route", "day", ("organization_key", "route_key", "method_key"), "route")

    yield cube("token", "hour", ("organization_key", "token_key"), "token")
    yield cube("token", "day", ("organization_key", "team_key", "token_key"), "token")

    keys = ("organization_key", "provider_key", "model_key", "operation_key", IS_AI)
    yield cube("model", "hour", keys, "model")
    yield cube("model", "quarter_day", keys, "model")
    yield cube("agent", "hour", ("organization_key", "agent_key", IS_AI), "model")
    keys = (
        "organization_key", "agent_key", "provider_key", "model_key", "operation_key", "token_type_key", IS_AI,
    )  # fmt: skip
    yield cube("model", "day", keys, "model")

    keys = ("organization_key", "user_key")
    yield cube("user", "hour", keys, "user_hour", detailed=True)
    yield cube("user", "quarter_day", keys, "user_hour", detailed=True)
    yield cube("user", "day", (*keys, IS_AI), "user")
    yield cube("user_agent", "day", (*keys, "agent_key"), "user", detailed=True)
    keys = (*keys, "provider_key", "model_key", "operation_key", IS_AI)
    yield cube("user_model", "day", keys, "user", detailed=True)


# Those that questions of the four systems need; others are answered from raw events. The narrow come first: a question
# takes the first that knows its keys.
CUBES: Sequence[Cube] = (*_call_cubes(), *_cost_cubes())
COST_CUBES: Sequence[Cube] = tuple(cube for cube in CUBES if cube.of == "costs")


_LENGTH: Mapping[Grain, str] = {"hour": "1 hour", "quarter_day": "6 hours", "day": "1 day"}


def key_of_event(key: str) -> ColumnElement[Any]:
    """A cube's key as it comes from an event."""
    return _count(_IS_AI) if key == IS_AI else func.coalesce(_events[key], _ZERO)


def bucket_of(grain: Grain, instant: ColumnElement[Any]) -> ColumnElement[Any]:
    """The bucket that an instant falls into (UTC)."""
    if grain == "month":
        return func.date_trunc(literal_column("'month'"), instant, literal_column("'UTC'"))
    # date_trunc would look up the time zone for each event.
    midnight: ColumnElement[Any] = literal_column("timestamptz '2000-01-01 00:00+00'")
    return func.date_bin(literal_column(f"interval '{_LENGTH[grain]}'"), instant, midnight)
