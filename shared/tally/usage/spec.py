"""What the engine is asked: which figures, of which events, told apart by what. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tally.usage.coverage import EVER, Span

STATUS_CLASS = "status_class"
LABEL = "label:"
PERCENTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99"}
# Counts of distinct keys, "no value" not counted.
UNIQUES = {"unique_users": "user_key", "unique_routes": "route_key"}


@dataclass(frozen=True, slots=True)
class Spec:
    """What to sum up.

    Attributes:
        measures: names of `cubes.MEASURES` but for the histogram, `unique_users`, `unique_routes`, `p50` … `p99` (of
            response times, ms), or `cost:XXX` and `unconverted:XXX`, the cost in a currency and the requests whose cost
            has no amount in it.
        keys: columns to group by: dimension keys, `status`, `status_class` or `label:NAME`.
        span: the range; None is unbounded.
        cuts: ascending UTC times; rows are apart by the number of cuts at or before the event (`piece`).
        filters: per column the keys that count (label values, or 0 and 1 for `is_ai`); None among them is "no value".
        order_by: a measure, with `-` before it for the largest first; equal rows come by piece and keys.
        limit: how many rows at most, in that order.
        as_of: a snapshot of PostgreSQL as text: what was stored after it does not count, so that pages of one answer
            fit together. Minima, maxima, percentiles and unique counts may know later events all the same.
    """

    measures: tuple[str, ...]
    keys: tuple[str, ...] = ()
    span: Span = EVER
    cuts: Sequence[datetime] = ()
    filters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    order_by: str | None = None
    limit: int | None = None
    as_of: str | None = None
