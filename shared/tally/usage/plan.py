"""Which tables can answer a spec: the narrowest cube of each grain that knows enough, raw events for the rest. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tally.cubes import (
    CUBES,
    CURRENCY_KEY,
    FINE_FIRST,
    HISTOGRAM,
    LIST_CURRENCY_KEY,
    OWN_CURRENCIES,
    Cube,
    Grain,
    Kind,
)
from tally.usage.coverage import Coverage, Span, cover, segments
from tally.usage.spec import (
    AMOUNTS,
    COUNTS_OF_COSTS,
    OF_COMPARED,
    PERCENTILES,
    STATUS_CLASS,
    UNIQUES,
    Spec,
    is_of_costs,
)

# Not every cube is kept with the first of these grains, and one with more keys may have more rows than a narrow one has
# in all of its finer buckets.
_OF_ONE_NAME: Sequence[tuple[Grain, Grain]] = (("month", "day"), ("quarter_day", "hour"))
# Percentiles of up to so long a range are exact, of raw events; those of longer ones come from histograms.
EXACT_PERCENTILES = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Part:
    """Where figures of one kind come from: cubes by grain (coarse first), none where only raw events can tell."""

    cubes: Mapping[Grain, Cube]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the figures of a spec come from. `costs` is None where it asks for none."""

    calls: Part
    costs: Part | None

    @property
    def cubes(self) -> list[Cube]:
        """All cubes that are read."""
        return [cube for part in (self.calls, self.costs) if part is not None for cube in part.cubes.values()]


def plan(spec: Spec) -> Plan:
    """Picks for each grain the narrowest cube that knows every key and measure, and cuts the range accordingly.

    Calls are looked at even where only costs are asked for: they say which rows there are.
    """
    measures = [measure for measure in spec.measures if not is_of_costs(measure)]
    columns = {*columns_of_calls(measures, binned=True)}
    uniques = columns & {*UNIQUES.values()}
    if HISTOGRAM in columns and _is_short(spec.span):
        calls = Part({}, Coverage({}, [spec.span]))
    else:
        calls = _part(spec, "calls", uniques, columns - uniques)
    costs = None if len(measures) == len(spec.measures) else _part(spec, "costs", set(), set())
    return Plan(calls, costs)


def _part(spec: Spec, of: Kind, keys: set[str], measures: set[str]) -> Part:
    keys = keys | {"status" if key == STATUS_CLASS else key for key in (*spec.keys, *spec.filters)}
    some_users = None not in spec.filters.get("user_key", (None,))
    cubes: dict[Grain, Cube] = {}
    for cube in CUBES:
        knows = cube.of == of and keys <= {*cube.keys} and measures <= {one.name for one in cube.measures}
        if knows and (some_users or not cube.detailed):
            cubes.setdefault(cube.grain, cube)
    for coarse, fine in _OF_ONE_NAME:
        if coarse in cubes and fine in cubes and cubes[coarse].name != cubes[fine].name:
            del cubes[coarse]
    cubes = {grain: cubes[grain] for grain in reversed(FINE_FIRST) if grain in cubes}
    coverage = cover(segments(spec.span, spec.cuts), [*cubes])
    return Part({grain: cubes[grain] for grain in coverage.buckets}, coverage)


def columns_of_calls(measures: Sequence[str], *, binned: bool) -> list[str]:
    """The columns of events and cubes that measures of calls are made of.

    Percentiles come from the histogram where `binned`, else from `timed_ms`, the response times of raw events.
    """
    names: dict[str, None] = {}
    for measure in measures:
        if measure in UNIQUES:
            names[UNIQUES[measure]] = None
        elif measure in PERCENTILES:
            names[HISTOGRAM if binned else "timed_ms"] = None
        else:
            names[measure] = None
    return [*names]


def columns_of_costs(measures: Sequence[str]) -> list[str]:
    """The columns of events and cubes that measures of costs are made of, and the UTC `day` that they are of."""
    names: dict[str, None] = {CURRENCY_KEY: None, "day": None}
    for measure in measures:
        name, _, code = measure.partition(":")
        if name in COUNTS_OF_COSTS:
            names["billed_requests"] = None
        if name in OF_COMPARED:
            names[LIST_CURRENCY_KEY] = None
        if name == "list_cost":
            names["list_cost"] = None
        elif name in AMOUNTS:
            names["cost"] = None
            if code in OWN_CURRENCIES:
                names[f"cost_{code.lower()}"] = None
    return [*names]


def _is_short(span: Span) -> bool:
    return span.lower is not None and span.upper is not None and span.upper - span.lower <= EXACT_PERCENTILES
