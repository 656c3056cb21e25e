"""The question of `GET /v1/usage/events`: read from its parameters, and a page of its answer."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tally.usage import events
from tally.usage.coverage import Span
from tally.usage.events import Event, Page, Place, Selection
from tally.usage.inquiry import Inquiry
from tally.usage.kindred_question import apart, parse_shared
from tally.usage.question import FORMATS, MAX_LIMIT_OF_FILE, Faults

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
# A file is read in pages of so many events.
PAGE_OF_FILE = 2000
_OWN = ("limit", "cursor", "format")
_SHARED = ("from", "to", "timezone")


@dataclass(frozen=True, slots=True)
class EventQuestion:
    """Which events are asked for: at most `limit` of them, all if that is None, from behind the place `after`."""

    span: Span
    zone: ZoneInfo
    filters: Mapping[str, tuple[str, ...]]
    limit: int | None
    after: Place | None


def parse_event_question(parameters: Iterable[tuple[str, str]], now: datetime) -> EventQuestion:
    """The question that the query parameters ask; `now` (UTC) decides which day is today.

    Raises:
        Malformed: names every bad parameter and lists what is allowed.
    """
    faults = Faults()
    own, shared = apart(parameters, _OWN, _SHARED, faults)
    form = own.get("format", "json")
    if form not in FORMATS:
        faults.add("format", f"allowed are {', '.join(FORMATS)}", form)
    limit = _limit(own.get("limit"), form, faults)
    after = _place(own.get("cursor"), faults)
    question = parse_shared(shared, now, faults)
    return EventQuestion(question.span, question.zone, question.filters, limit, after)


def page(inquiry: Inquiry, question: EventQuestion, limit: int) -> Page:
    """The first `limit` of the events asked for.

    Raises:
        Forbidden: as `Inquiry.filters`.
        QuestionTooLarge: the time limit.
    """
    selection = Selection(inquiry.filters(question.filters), question.span)
    return events.page(inquiry.connection, selection, limit, after=question.after)


def answer(inquiry: Inquiry, question: EventQuestion) -> dict[str, Any]:
    """The answer in JSON: `{"items", "next_cursor"}`.

    Raises:
        Forbidden, QuestionTooLarge: as `page`.
    """
    found = page(inquiry, question, question.limit or DEFAULT_LIMIT)
    return {"items": shown(found, question), "next_cursor": events.cursor_of(found.following)}


def shown(found: Page, question: EventQuestion) -> list[Event]:
    """The events of a page as clients see them: what has a value, times in the zone that was asked for."""
    return [events.given(events.in_zone(event, question.zone)) for event in found.events]


def _limit(text: str | None, form: str, faults: Faults) -> int | None:
    most = MAX_LIMIT if form == "json" else MAX_LIMIT_OF_FILE
    if text is None:
        return DEFAULT_LIMIT if form == "json" else None
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= most:
        faults.add("limit", f"expected a whole number from 1 to {most}", text)
        return None
    return int(text)


def _place(cursor: str | None, faults: Faults) -> Place | None:
    if cursor is None:
        return None
    try:
        return events.place_of(cursor)
    except ValueError as error:
        faults.add("cursor", str(error), cursor)
        return None
