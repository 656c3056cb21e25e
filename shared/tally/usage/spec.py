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
# Of what calls cost: amounts in a currency, such as `cost:USD`, and numbers of requests.
AMOUNTS = ("cost", "sent_cost", "list_cost")
COUNTS_OF_COSTS = ("unpriced_requests", "compared_requests", "unconverted", "older_rate")
# Of those only whose sender said what they cost while a price is known as well.
OF_COMPARED = ("sent_cost", "list_cost", "compared_requests")


@dataclass(frozen=True, slots=True)
class Spec:
    """What to sum up.

    Attributes:
        measures: names of `cubes.MEASURES` but for the histogram and those of costs, `unique_users`, `unique_routes`,
            `p50` … `p99` (of response times, ms). Of costs: `unpriced_requests`; `cost:XXX`, all costs in a currency;
            `unconverted:XXX`, the requests whose cost is in another and no rate is known; `older_rate:XXX`, those whose
            cost is converted with the rate of an earlier day. Of the `compared_requests`, whose sender said what they
            cost while a price is known as well: `sent_cost:XXX` and what the prices say, `list_cost:XXX`.
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


def is_of_costs(measure: str) -> bool:
    """Whether a measure comes from costs, not from calls."""
    return ":" in measure or measure in COUNTS_OF_COSTS
