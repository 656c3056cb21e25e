"""The questions that are timed, each as data, and how each side is asked.

PostgreSQL and ClickHouse have the same columns and understand the same SQL, so that a question is one plain GROUP BY
for both. An average is asked for as the sum and the count that it is made of, which can be compared exactly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from tally.dimensions import KIND_OF_FIELD
from tally.usage import engine
from tally.usage.coverage import EVER, Span
from tally.usage.keys import filter_keys, known_values
from tally.usage.spec import Spec
from tally.usage.windows import LocalWindow, WindowName, first_day, start_of_day, windows

Row = tuple[Any, ...]

TOP = 10
_MOSCOW = ZoneInfo("Europe/Moscow")
_USAGE = ("requests", "total_tokens", "input_tokens", "output_tokens", "cost:USD", "cost:RUB")
_CALLS = ("requests", "errors", "response_time_ms")

_SUMS = {
    "requests": "count(*)",
    "errors": "count(*) FILTER (WHERE status >= 400)",
    "response_time_ms": "sum(response_time_ms)",
    "total_tokens": "sum(total_tokens)",
    "input_tokens": "sum(input_tokens)",
    "output_tokens": "sum(output_tokens)",
    "cost:USD": "coalesce(sum(cost_usd), 0)",
    "cost:RUB": "coalesce(sum(cost_rub), 0)",
}
_FIELD_OF_KEY = {f"{kind}_key": field for field, kind in KIND_OF_FIELD.items()}
_TENTH = Decimal("0.1")


@dataclass(frozen=True)
class Question:
    """Sums over a span, by windows or by keys; rows without a value of a key are left out.

    Attributes:
        user: whose calls count; None for everybody's.
        window: the length and the zone of the windows to divide the span into.
        top: only the ten with the most requests, in this order.
    """

    name: str
    measures: tuple[str, ...]
    span: Span = EVER
    user: str | None = None
    window: tuple[WindowName, tzinfo] | None = None
    keys: tuple[str, ...] = ()
    top: bool = False

    @property
    def windows(self) -> Sequence[LocalWindow]:
        if self.window is None or self.span.lower is None or self.span.upper is None:
            return ()
        return list(windows(self.span.lower, self.span.upper, *self.window))


def about_user(user: str, end: datetime) -> list[Question]:
    """What a user's page shows at the time `end`."""
    days = _last_days(end, UTC)
    first = start_of_day(first_day(_last_day(end, UTC), "month"), UTC)
    month = Span(first, (first + timedelta(days=32)).replace(day=1))
    return [
        Question("user: this month", _USAGE, month, user),
        Question("user: all time", _USAGE, EVER, user),
        Question("user: 30 days by local day", _USAGE, _last_days(end, _MOSCOW), user, ("day", _MOSCOW)),
        Question("user: 30 days by agent", _USAGE, days, user, keys=("agent_key",)),
        Question("user: 30 days by model", _USAGE, days, user, keys=("model_key",)),
    ]


def about_all(end: datetime) -> list[Question]:
    """What an overview of all tenants shows at the time `end`."""
    day = Span(end - timedelta(hours=24), end)
    return [
        Question("all tenants: 24 h by hour", _CALLS, day, window=("hour", UTC)),
        Question("all tenants: top 10 routes of 24 h", _CALLS, day, keys=("route_key",), top=True),
        Question("all tenants: top 10 tokens of 24 h", _CALLS, day, keys=("token_key",), top=True),
        Question("all tenants: 30 days by model", _USAGE, _last_days(end, UTC), keys=("provider_key", "model_key")),
    ]


def _last_day(end: datetime, where: tzinfo) -> date:
    """The last day with calls, all of which are before `end`."""
    return (end - timedelta(microseconds=1)).astimezone(where).date()


def _last_days(end: datetime, where: tzinfo) -> Span:
    """30 calendar days of a zone, the last of which is under way."""
    last = _last_day(end, where)
    return Span(start_of_day(last - timedelta(days=29), where), start_of_day(last + timedelta(days=1), where))


def ask_tally(connection: Connection, question: Question) -> list[Row]:
    """As the functions ask: texts to keys, the figures, and the keys of the rows that are shown back to texts."""
    shown = question.windows
    spec = Spec(
        measures=question.measures,
        keys=question.keys,
        span=question.span,
        cuts=[window.lower for window in shown],
        filters=filter_keys(connection, {"user_id": [question.user]} if question.user else {}),
        # One more: calls without a value may be among them. Of equal ones the first in the alphabet comes first, as
        # keys are here, see history/dimensions.sql.
        order_by="-requests" if question.top else None,
        limit=TOP + 1 if question.top else None,
    )
    rows = [row for row in engine.run(connection, spec) if all(row[key] for key in question.keys)]
    rows = rows[:TOP] if question.top else rows
    known = known_values(connection, (row[key] for row in rows for key in question.keys))
    return [
        (
            *([shown[row["piece"] - 1].start] if shown else []),
            *(known[row[key]].value for key in question.keys),
            *(row[measure] for measure in question.measures),
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Dialect:
    """How a parameter is written, and what kind of value it is given as."""

    placeholders: Mapping[str, str]
    time: Callable[[datetime], object]


POSTGRES = Dialect({name: f"%({name})s" for name in ("user", "lower", "upper")}, lambda time: time)
CLICKHOUSE = Dialect(
    {"user": "{user:String}", **{name: f"{{{name}:DateTime64(6, 'UTC')}}" for name in ("lower", "upper")}},
    lambda time: time.strftime("%Y-%m-%d %H:%M:%S"),
)


def sql(question: Question, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    """The statement for the flat table, and its parameters."""
    fields = [_FIELD_OF_KEY[key] for key in question.keys]
    groups = [f"date_trunc('{length}', created_at, '{zone}')" for length, zone in filter(None, [question.window])]
    groups += fields
    parameters: dict[str, Any] = {}
    conditions = [f"{field} <> ''" for field in fields]
    if question.user is not None:
        conditions.append(f"user_id = {dialect.placeholders['user']}")
        parameters["user"] = question.user
    for name, comparison, bound in (("lower", ">=", question.span.lower), ("upper", "<", question.span.upper)):
        if bound is not None:
            conditions.append(f"created_at {comparison} {dialect.placeholders[name]}")
            parameters[name] = dialect.time(bound)
    clauses = [
        f"SELECT {', '.join([*groups, *(_SUMS[measure] for measure in question.measures)])}",
        "FROM service.usage_log",
        f"WHERE {' AND '.join(conditions)}",
    ]
    if groups:
        clauses.append(f"GROUP BY {', '.join(groups)}")
    if question.top:
        clauses.append(f"ORDER BY count(*) DESC, {', '.join(fields)} LIMIT {TOP}")
    return "\n".join(clauses), parameters


def comparable(question: Question, rows: Sequence[Row]) -> list[Row]:
    """An answer in a form in which right answers are equal, whichever side they come from.

    Costs are compared to the last digit. Sums of times are floating-point numbers but for Tally's; all times have one
    decimal, and so have their sums.
    """
    first = len(question.keys) + (question.window is not None)
    times = [first + place for place, measure in enumerate(question.measures) if measure == "response_time_ms"]
    found = [
        tuple(Decimal(value).quantize(_TENTH) if place in times else value for place, value in enumerate(row))
        for row in rows
    ]
    return found if question.top else sorted(found)
