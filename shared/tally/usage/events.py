"""Raw events."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from tally.cubes import usage_events
from tally.usage.inquiry import Inquiry
from tally.usage.keys import known_values

_KEYED = {"route": "route_key", "method": "method_key", "token_hash": "token_key"}
_PLAIN = ("time", "status", "response_time_ms", "error_message")


def latest(inquiry: Inquiry, filters: Mapping[str, Sequence[Any]], limit: int) -> list[dict[str, Any]]:
    """The newest events under their canonical field names; `filters` as those of an engine's `Spec`."""
    of = usage_events.c
    rows = inquiry.connection.execute(
        select(*(of[column] for column in (*_KEYED.values(), *_PLAIN)))
        .where(*(of[column].in_(keys) for column, keys in filters.items()))
        .order_by(of.time.desc(), of.seq.desc())
        .limit(limit)
    ).mappings()
    found = [dict(row) for row in rows]
    known = known_values(inquiry.connection, (row[column] or 0 for row in found for column in _KEYED.values()))
    return [
        {name: known[row[column]].value if row[column] else None for name, column in _KEYED.items()}
        | {name: row[name] for name in _PLAIN}
        for row in found
    ]
