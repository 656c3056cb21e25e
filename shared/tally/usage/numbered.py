"""Numbered pages of events, of which the last costs what the first does.

Where a page begins is found by counts from the cubes: events by day, then by hour of one day. Only within that hour are
events passed over one by one. What a search finds is in no cube: it is found as a whole, by time and sequence number
alone, and pages are cut from that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select, true

from tally.cubes import usage_events
from tally.usage import engine, events
from tally.usage.coverage import Span, segments
from tally.usage.events import Event, Page, Place, Selection
from tally.usage.spec import Spec

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
_NOTHING = Page([], None)
Counts = Sequence[tuple[Span, int]]


@dataclass(frozen=True, slots=True)
class NumberedPage:
    """A page of a list, and how many events the whole list has. A page that was asked for by cursor has no number."""

    page: Page
    number: int | None
    size: int
    total: int

    @property
    def events(self) -> list[Event]:
        """Its events."""
        return self.page.events

    def pagination(self) -> dict[str, int | str | None]:
        """The place of the page in the list, as clients see it."""
        return {
            "page": self.number,
            "page_size": self.size,
            "total_items": self.total,
            "total_pages": -(-self.total // self.size),
            "next_cursor": events.cursor_of(self.page.following),
        }


def numbered_page(connection: Connection, selection: Selection, size: int, at: int | Place) -> NumberedPage:
    """The page of that number, from 1, or the one behind a place.

    Raises:
        QuestionTooLarge: the time limit.
    """
    if selection.search is not None:
        page, total = _searched(connection, selection, size, at)
    elif isinstance(at, Place):
        page = events.page(connection, selection, size, after=at)
        total = sum(count for _, count in _counts(connection, selection, []))
    else:
        page, total = _counted(connection, selection, size, (at - 1) * size)
    return NumberedPage(page, None if isinstance(at, Place) else at, size, total)


def _counted(connection: Connection, selection: Selection, size: int, offset: int) -> tuple[Page, int]:
    span = _stored(connection, selection.span)
    if span is None:
        return _NOTHING, 0
    selection = replace(selection, span=span)
    days = _counts(connection, selection, _cuts(span, _DAY))
    total = sum(count for _, count in days)
    if offset >= total:
        return _NOTHING, total
    day, within_day = _find(days, offset)
    hours = _counts(connection, replace(selection, span=day), _cuts(day, _HOUR))
    hour, within_hour = _find(hours, within_day)
    last_day, _ = _find(days, min(offset + size, total - 1))
    selection = replace(selection, span=Span(last_day.lower, hour.upper))
    return events.page(connection, selection, size, offset=within_hour), total


def _searched(connection: Connection, selection: Selection, size: int, at: int | Place) -> tuple[Page, int]:
    of = usage_events.c
    found = select(of.time, of.seq).where(*events.conditions(selection)).cte("found").prefix_with("MATERIALIZED")
    total = select(func.count().label("total")).select_from(found).subquery("total")
    here = select(found.c.time, found.c.seq).order_by(found.c.time.desc(), found.c.seq.desc()).limit(size + 1)
    if isinstance(at, Place):
        here = here.where(events.behind(at, found.c.time, found.c.seq))
    else:
        here = here.offset((at - 1) * size)
    part = here.subquery("part")
    rows = connection.execute(
        select(total.c.total, part.c.time, part.c.seq)
        .select_from(total.outerjoin(part, true()))
        .order_by(part.c.time.desc(), part.c.seq.desc())
    ).all()
    places = [Place(row.time, row.seq) for row in rows if row.time is not None]
    following = places[size - 1] if len(places) > size else None
    return Page(events.at(connection, places[:size]), following), rows[0].total


def _counts(connection: Connection, selection: Selection, cuts: Sequence[datetime]) -> Counts:
    """How many events of a selection there are between `cuts`, the newest span first."""
    spec = Spec(("requests",), span=selection.span, cuts=cuts, filters=selection.filters)
    counts = {row["piece"]: int(row["requests"]) for row in engine.run(connection, spec)}
    spans = list(enumerate(segments(selection.span, cuts)))
    return [(span, counts.get(piece, 0)) for piece, span in reversed(spans)]


def _find(counts: Counts, offset: int) -> tuple[Span, int]:
    """The span that the event at `offset` falls into, and how many newer ones of that span are before it."""
    for span, count in counts:
        if offset < count:
            return span, offset
        offset -= count
    raise ValueError("there are fewer events than that")


def _stored(connection: Connection, span: Span) -> Span | None:
    """The part of a span that may have events, in whole days; None where there is no event at all."""
    of = usage_events.c
    first, last = connection.execute(select(func.min(of.time), func.max(of.time))).one()
    if first is None:
        return None
    lower, upper = _floor(first, _DAY), _floor(last, _DAY) + _DAY
    lower, upper = max(lower, span.lower or lower), min(upper, span.upper or upper)
    return Span(lower, upper) if lower < upper else None


def _cuts(span: Span, step: timedelta) -> list[datetime]:
    """The whole days or hours (UTC) inside a bounded span."""
    assert span.lower is not None  # noqa: S101 - for the type checker
    assert span.upper is not None  # noqa: S101
    first = _floor(span.lower, step) + step
    return [first + step * number for number in range(max(0, -((first - span.upper) // step)))]


def _floor(instant: datetime, step: timedelta) -> datetime:
    return instant - (instant - _EPOCH) % step
