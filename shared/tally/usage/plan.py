"""Which tables can answer a spec: the narrowest cube of each grain that knows enough, raw events for the rest. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tally.cubes import CUBES, FINE_FIRST, HISTOGRAM, OWN_CURRENCIES, Cube, Grain
from tally.usage.coverage import Coverage, Span, cover, segments
from tally.usage.spec import PERCENTILES, STATUS_CLASS, UNIQUES, Spec

# Not every cube is kept with the first of these grains, and one with more keys may have more rows than a narrow one has
# in all of its finer buckets.
_OF_ONE_NAME: Sequence[tuple[Grain, Grain]] = (("month", "day"), ("quarter_day", "hour"))
# Percentiles of up to so long a range are exact, of raw events; those of longer ones come from histograms.
EXACT_PERCENTILES = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the figures of a spec come from: cubes by grain (coarse first), none where only raw events can tell."""

    cubes: Mapping[Grain, Cube]
    coverage: Coverage


def plan(spec: Spec) -> Plan:
    """Picks for each grain the narrowest cube that knows every key and measure, and cuts the range accordingly."""
    keys = {"status" if key == STATUS_CLASS else key for key in (*spec.keys, *spec.filters)}
    columns = set(columns_of(spec.measures, binned=True))
    keys |= columns & {*UNIQUES.values(), "currency_key"}
    measures = columns - keys
    if HISTOGRAM in measures and _is_short(spec.span):
        return Plan({}, Coverage({}, [spec.span]))
    some_users = None not in spec.filters.get("user_key", (None,))
    cubes: dict[Grain, Cube] = {}
    for cube in CUBES:
        knows = keys <= {*cube.keys} and measures <= {one.name for one in cube.measures}
        if knows and (some_users or not cube.detailed):
            cubes.setdefault(cube.grain, cube)
    for coarse, fine in _OF_ONE_NAME:
        if coarse in cubes and fine in cubes and cubes[coarse].name != cubes[fine].name:
            del cubes[coarse]
    cubes = {grain: cubes[grain] for grain in reversed(FINE_FIRST) if grain in cubes}
    coverage = cover(segments(spec.span, spec.cuts), [*cubes])
    return Plan({grain: cubes[grain] for grain in coverage.buckets}, coverage)


def columns_of(measures: Sequence[str], *, binned: bool) -> list[str]:
    """The columns of events and cubes that the measures are made of.

    Percentiles come from the histogram where `binned`, else from `timed_ms`, the response times of raw events.
    """
    names: dict[str, None] = {}
    for measure in measures:
        if measure in UNIQUES:
            names[UNIQUES[measure]] = None
        elif measure in PERCENTILES:
            names[HISTOGRAM if binned else "timed_ms"] = None
        elif ":" in measure:
            names |= dict.fromkeys(_columns_of_amount(*measure.split(":")))
        else:
            names[measure] = None
    return [*names]


def _columns_of_amount(kind: str, currency: str) -> Sequence[str]:
    if currency not in OWN_CURRENCIES:
        return ("requests", "currency_key", "cost")
    code = currency.lower()
    return (f"cost_{code}",) if kind == "cost" else ("priced_requests", f"{code}_requests")


def _is_short(span: Span) -> bool:
    return span.lower is not None and span.upper is not None and span.upper - span.lower <= EXACT_PERCENTILES
