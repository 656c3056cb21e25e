"""The shape of a question: all that its statement depends on, apart from the values of its parameters. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tally.cubes import CUBES, Grain, Kind
from tally.database import array_text
from tally.usage.coverage import Span
from tally.usage.plan import Part, Plan
from tally.usage.spec import LABEL, Spec, is_of_costs

_DETAILED = frozenset(cube.table.name for cube in CUBES if cube.detailed)
Parameters = dict[str, str]


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a column: among some values, or "no value", or both."""

    column: str
    some: bool
    nothing: bool


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of a cube that are read: of one span, or of `several`."""

    cube: str
    grain: Grain
    several: bool

    @property
    def detailed(self) -> bool:
        """Whether the cube has rows of detailed users only."""
        return self.cube in _DETAILED


@dataclass(frozen=True, slots=True)
class Side:
    """What the figures of one kind depend on.

    Attributes:
        measures: those of this kind.
        buckets: what is read of cubes; none where only raw events can tell.
        edges: whether folded events at the edges are read too.
        lower, upper: whether the range has these bounds.
    """

    of: Kind
    measures: tuple[str, ...]
    keys: tuple[str, ...]
    filters: tuple[Filter, ...]
    buckets: tuple[Buckets, ...]
    edges: bool
    lower: bool
    upper: bool
    cuts: bool
    as_of: bool

    @property
    def binned(self) -> bool:
        """Whether percentiles come from histograms."""
        return bool(self.buckets)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a statement depends on: all of a spec but its values."""

    measures: tuple[str, ...]
    calls: Side
    costs: Side | None

    @property
    def keys(self) -> tuple[str, ...]:
        """What rows are grouped by; the same on both sides."""
        return self.calls.keys

    def label_of(self, measure: str) -> str:
        """The name of the column of a measure."""
        return measure_label(self.measures.index(measure))


def shape_of(spec: Spec, plan: Plan) -> tuple[Shape, Parameters]:
    """The shape of a spec, and the values of its parameters as PostgreSQL reads them."""
    parameters: Parameters = {}
    keys = tuple(_key_of_shape(f"key_{number}", key, parameters) for number, key in enumerate(spec.keys))
    filters = tuple(_filters_of_shape(spec, parameters))
    if spec.span.lower is not None:
        parameters["lower"] = spec.span.lower.isoformat()
    if spec.span.upper is not None:
        parameters["upper"] = spec.span.upper.isoformat()
    if spec.cuts:
        parameters["cuts"] = array_text(cut.isoformat() for cut in spec.cuts)
    for measure in spec.measures:
        _, _, currency = measure.partition(":")
        if currency:
            parameters[f"currency_{currency}"] = currency
    if spec.as_of is not None:
        parameters["as_of"] = spec.as_of

    def side(of: Kind, part: Part) -> Side:
        buckets = tuple(_buckets_of_shape(of, part, parameters))
        edges = bool(buckets) and bool(part.coverage.raw)
        if edges:
            parameters.update(_bounds(f"{of}_edge", part.coverage.raw) | _each(f"{of}_edge", part.coverage.raw))
        return Side(
            of=of,
            measures=tuple(measure for measure in spec.measures if is_of_costs(measure) == (of == "costs")),
            keys=keys,
            filters=filters,
            buckets=buckets,
            edges=edges,
            lower=spec.span.lower is not None,
            upper=spec.span.upper is not None,
            cuts=bool(spec.cuts),
            as_of=spec.as_of is not None,
        )

    costs = None if plan.costs is None else side("costs", plan.costs)
    return Shape(spec.measures, side("calls", plan.calls), costs), parameters


def _filters_of_shape(spec: Spec, parameters: Parameters) -> Iterator[Filter]:
    for number, (column, values) in enumerate(spec.filters.items()):
        some = [value for value in values if value is not None]
        if some:
            parameters[f"filter_{number}_values"] = array_text(some)
        key = _key_of_shape(f"filter_{number}", column, parameters)
        yield Filter(key, bool(some), len(some) < len(values))


def _buckets_of_shape(of: Kind, part: Part, parameters: Parameters) -> Iterator[Buckets]:
    for grain, cube in part.cubes.items():
        spans = part.coverage.buckets[grain]
        parameters |= _bounds(f"{of}_{grain}", spans)
        if len(spans) > 1 or cube.detailed:
            parameters |= _each(f"{of}_{grain}", spans)
        yield Buckets(cube.table.name, grain, len(spans) > 1)


def _key_of_shape(place: str, key: str, parameters: Parameters) -> str:
    """A key as the shape has it: the name of a label is a value, and the shape only knows its parameter."""
    if not key.startswith(LABEL):
        return key
    parameters[f"label_of_{place}"] = key.removeprefix(LABEL)
    return f"{LABEL}label_of_{place}"


def key_label(number: int) -> str:
    """The name of the column of a key, by its place in the shape."""
    return f"k{number}"


def measure_label(number: int) -> str:
    """The name of the column of a measure, by its place in the shape."""
    return f"m{number}"


def _bounds(name: str, spans: Sequence[Span]) -> Parameters:
    """The outer bounds of spans, which are in order."""
    return {f"{name}_lower": _text(spans[0].lower, "-infinity"), f"{name}_upper": _text(spans[-1].upper, "infinity")}


def _each(name: str, spans: Sequence[Span]) -> Parameters:
    """Every lower and every upper bound."""
    lowers = array_text(_text(span.lower, "-infinity") for span in spans)
    uppers = array_text(_text(span.upper, "infinity") for span in spans)
    return {f"{name}_lowers": lowers, f"{name}_uppers": uppers}


def _text(instant: datetime | None, unbounded: str) -> str:
    return unbounded if instant is None else instant.isoformat()
