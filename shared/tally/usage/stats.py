"""What `tally stats` asks: figures of the last days, as questions of `GET /v1/usage`. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

By = Literal["day", "operation", "agent", "model", "user", "token", "route"]
Row = Mapping[str, Any]
# Answers the question that parameters of `GET /v1/usage` ask, in its shape.
Ask = Callable[[Sequence[tuple[str, str]]], Mapping[str, Any]]

METRICS = (
    "requests", "errors", "success_rate", "avg_response_time_ms", "p95_response_time_ms", "total_tokens", "cost",
    "unpriced_requests",
)  # fmt: skip
SHOWN_VALUES = 20
# A user id alone does not tell users apart: in two organizations it is two users.
DIMENSIONS: Mapping[By, tuple[str, ...]] = {
    "day": (),
    "operation": ("operation",),
    "agent": ("agent_id",),
    "model": ("model",),
    "user": ("user_id", "organization_id"),
    "token": ("token",),
    "route": ("route",),
}
# What spends tokens is ranked by them; who calls and what is called, by requests.
_RANKED_BY_TOKENS = ("operation", "agent", "model")


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of the local days from `first` to `last`, both included.

    Attributes:
        rows: rows of `GET /v1/usage` with `METRICS`: every day, oldest first, or the values with most, largest first.
        total: such a row of the whole range.
        left_out: how many values there are besides; a lower bound where `is_bound`.
        shared: user ids (None is no user) that occur in more than one organization, shown or not.
    """

    by: By
    first: date
    last: date
    zone: ZoneInfo
    currency: str
    rows: Sequence[Row]
    total: Row
    left_out: int = 0
    is_bound: bool = False
    shared: frozenset[str | None] = frozenset()


def stats(ask: Ask, now: datetime, *, by: By, days: int, zone: ZoneInfo, currency: str) -> Stats:
    """The figures of today and the `days` - 1 days before it in `zone`; `now` (UTC) decides which day is today.

    Raises:
        Malformed: the currency is none. Besides, what `ask` raises.
    """
    last = now.astimezone(zone).date()
    first = last - timedelta(days=days - 1)
    common = [
        ("metrics", ",".join(METRICS)),
        ("from", str(first)),
        ("to", str(last + timedelta(days=1))),
        ("timezone", zone.key),
        ("currency", currency),
    ]
    found = ask([*common, *_told_apart(by)])
    [total] = ask(common)["rows"]
    rows = found["rows"]
    shown = len(rows) if by == "day" else SHOWN_VALUES
    users = Counter(row["user_id"] for row in rows) if by == "user" else Counter[str | None]()
    return Stats(
        by=by,
        first=first,
        last=last,
        zone=zone,
        currency=found["currency"],
        rows=rows[:shown],
        total=total,
        left_out=len(rows[shown:]),
        is_bound=found["next_cursor"] is not None,
        shared=frozenset(user for user, times in users.items() if times > 1),
    )


def _told_apart(by: By) -> list[tuple[str, str]]:
    """The parameters that make the rows."""
    if by == "day":
        return [("window", "day"), ("fill", "zero")]
    order = "-total_tokens" if by in _RANKED_BY_TOKENS else "-requests"
    return [("group_by", ",".join(DIMENSIONS[by])), ("order_by", order)]
