"""Which part of a range comes from which grain: whole buckets inside, raw events at the edges. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tally.cubes import Grain

_LENGTH = {"hour": timedelta(hours=1), "quarter_day": timedelta(hours=6), "day": timedelta(days=1)}
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open UTC times; None is unbounded."""

    lower: datetime | None
    upper: datetime | None


EVER = Span(None, None)


@dataclass(frozen=True, slots=True)
class Coverage:
    """A range taken apart: spans of whole buckets by grain, and spans of raw events."""

    buckets: dict[Grain, list[Span]]
    raw: list[Span]


def segments(span: Span, cuts: Iterable[datetime]) -> list[Span]:
    """`span` cut at those of `cuts` (ascending) that lie inside it."""
    inside = [
        cut for cut in cuts if (span.lower is None or cut > span.lower) and (span.upper is None or cut < span.upper)
    ]
    edges = [span.lower, *inside, span.upper]
    return [Span(lower, upper) for lower, upper in pairwise(edges)]


def cover(spans: Sequence[Span], grains: Sequence[Grain]) -> Coverage:
    """Covers `spans`, none of which a bucket may cross, with the coarsest of `grains` (coarse first) that fit."""
    buckets: dict[Grain, list[Span]] = {}
    rest = list(spans)
    for grain in grains:
        whole, rest = _inner(rest, grain)
        if whole:
            buckets[grain] = _joined(whole)
    return Coverage(buckets, _joined(rest))


def _inner(spans: Iterable[Span], grain: Grain) -> tuple[list[Span], list[Span]]:
    whole: list[Span] = []
    rest: list[Span] = []
    for span in spans:
        lower = None if span.lower is None else _ceiling(span.lower, grain)
        upper = None if span.upper is None else _floor(span.upper, grain)
        if lower is not None and upper is not None and lower >= upper:
            rest.append(span)
            continue
        whole.append(Span(lower, upper))
        if span.lower is not None and lower is not None and span.lower < lower:
            rest.append(Span(span.lower, lower))
        if span.upper is not None and upper is not None and upper < span.upper:
            rest.append(Span(upper, span.upper))
    return whole, rest


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Neighbours made one, so that a condition on time has few ranges."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.lower is not None, one.lower)):
        if joined and joined[-1].upper is not None and joined[-1].upper == span.lower:
            joined[-1] = Span(joined[-1].lower, span.upper)
        else:
            joined.append(span)
    return joined


def _floor(instant: datetime, grain: Grain) -> datetime:
    if grain == "month":
        return instant.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return instant - (instant - _EPOCH) % _LENGTH[grain]


def _ceiling(instant: datetime, grain: Grain) -> datetime:
    floor = _floor(instant, grain)
    if floor == instant:
        return floor
    return _floor(floor + timedelta(days=32), grain) if grain == "month" else floor + _LENGTH[grain]
