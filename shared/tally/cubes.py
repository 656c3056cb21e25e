"""The tables that figures come from: raw events, and cubes of sums by hour or UTC day.

A cube holds for each bucket and combination of keys the sums of all folded events. Which cubes there are is data:
folding and questions are both composed from it. Key 0 stands for "no value".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
)
from sqlalchemy.dialects.postgresql import JSONB

from tally.dimensions import CURRENCY, KIND_OF_FIELD, SENDER

metadata = MetaData()

KEY_COLUMNS = (*(f"{kind}_key" for kind in KIND_OF_FIELD.values()), f"{CURRENCY}_key")
COUNTS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
COSTS = ("cost", "cost_usd", "cost_rub")

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
    *(Column(name, BigInteger) for name in COUNTS),
    Column("response_time_ms", Numeric),
    *(Column(name, Numeric) for name in COSTS),
    Column("error_message", String),
    Column("labels", JSONB),
)
dimensions = Table(
    "dimensions",
    metadata,
    Column("key", Integer),
    Column("kind", String),
    Column("scope", Integer),
    Column("value", String),
)
fold_state = Table("fold_state", metadata, Column("watermark", BigInteger))

IS_ERROR: ColumnElement[bool] = or_(
    usage_events.c.status >= literal_column("400"),
    and_(
        usage_events.c.status.is_(None),
        or_(usage_events.c.error_message.is_not(None), usage_events.c.error_type_key.is_not(None)),
    ),
)
IS_AI: ColumnElement[bool] = or_(
    usage_events.c.model_key.is_not(None),
    usage_events.c.operation_key.is_not(None),
    usage_events.c.total_tokens.is_not(None),
)
IS_UNPRICED: ColumnElement[bool] = and_(
    or_(usage_events.c.model_key.is_not(None), usage_events.c.total_tokens.is_not(None)),
    usage_events.c.currency_key.is_(None),
)
_ONE: ColumnElement[Any] = literal_column("1")
_ZERO: ColumnElement[Any] = literal_column("0")


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a bucket: how it comes from an event, and how two of them become one."""

    name: str
    of_event: ColumnElement[Any]
    combine: Literal["sum", "min", "max"] = "sum"

    def aggregate(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """The figure of many rows, from this measure's column of each."""
        return getattr(func, self.combine)(column)  # type: ignore[no-any-return]


def _count(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return case((condition, _ONE), else_=_ZERO)


_events = usage_events.c
MEASURES: Sequence[Measure] = (
    Measure("requests", _ONE),
    Measure("errors", _count(IS_ERROR)),
    Measure("ai_requests", _count(IS_AI)),
    Measure("unpriced_requests", _count(IS_UNPRICED)),
    *(Measure(name, func.coalesce(_events[name], _ZERO)) for name in COUNTS),
    Measure(
        "estimated_tokens",
        case((_events.tokens_estimated, func.coalesce(_events.total_tokens, _ZERO)), else_=_ZERO),
    ),
    Measure("timed_requests", _count(_events.response_time_ms.is_not(None))),
    Measure("response_time_ms", func.coalesce(_events.response_time_ms, _ZERO)),
    Measure("min_response_time_ms", _events.response_time_ms, "min"),
    Measure("max_response_time_ms", _events.response_time_ms, "max"),
    *(Measure(name, _events[name]) for name in COSTS),
)


@dataclass(frozen=True, slots=True)
class Cube:
    """A table of sums. `keys` are the columns that it keeps apart besides the bucket, the currencies included."""

    table: Table
    grain: Literal["hour", "day"]
    keys: tuple[str, ...]


def _cube(name: str, grain: Literal["hour", "day"], *keys: str) -> Cube:
    keys = (*keys, "currency_key")
    table = Table(
        name,
        metadata,
        Column("bucket", DateTime(timezone=True), primary_key=True),
        *(Column(key, Integer, primary_key=True) for key in keys),
        *(Column(measure.name, Numeric) for measure in MEASURES),
    )
    return Cube(table, grain, keys)


# Those that questions of the four systems need; others are answered from raw events.
CUBES: Sequence[Cube] = (
    _cube("cube_token_hour", "hour", "organization_key", "token_key"),
    _cube("cube_model_hour", "hour", "organization_key", "agent_key", "provider_key", "model_key", "operation_key"),
    _cube("cube_route_hour", "hour", "organization_key", "route_key", "method_key", "status"),
    _cube("cube_user_day", "day", "organization_key", "user_key"),
    _cube("cube_user_hour", "hour", "organization_key", "user_key"),
    _cube(
        "cube_user_model_day", "day",
        "organization_key", "user_key", "agent_key", "provider_key", "model_key", "operation_key",
    ),
)  # fmt: skip


def key_of_event(key: str) -> ColumnElement[Any]:
    """A cube's key as it comes from an event."""
    return func.coalesce(_events[key], _ZERO)


def bucket_of_event(grain: Literal["hour", "day"]) -> ColumnElement[Any]:
    """The bucket that an event falls into (UTC)."""
    return func.date_trunc(literal(grain, literal_execute=True), _events.time, literal("UTC", literal_execute=True))
