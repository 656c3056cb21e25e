"""The four systems' lists of single events, each under its own field names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from tally.cubes import IS_AI
from tally.usage import events
from tally.usage.coverage import Span
from tally.usage.events import FIELDS, Event, Place, Selection
from tally.usage.gateway import call_of
from tally.usage.inquiry import Inquiry
from tally.usage.numbered import numbered_page
from tally.usage.search import search

Filters = Mapping[str, Sequence[str]]
MOST_ITEMS = 200
LAST_RECORDS = 10
# System A's names of the fields that it calls otherwise.
_NAMES_OF_A = {
    "time": "created_at",
    "route": "endpoint",
    "response_time_ms": "execution_time_ms",
    "provider": "ai_provider",
    "model": "ai_model",
    "operation": "operation_type",
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
}


@dataclass(frozen=True, slots=True)
class Table:
    """What is asked of a list that has numbered pages.

    Attributes:
        filters: by dimension the texts that are allowed.
        span: the range; None is unbounded.
        zone: of the times in the answer.
        size: events a page.
        at: the number of the page, from 1, or the place behind which it begins.
        search: a part of the topic, the user's name or the token's name; an empty text finds all.
    """

    filters: Filters
    span: Span
    zone: ZoneInfo
    size: int
    at: int | Place = 1
    search: str = ""


def detailed(inquiry: Inquiry, table: Table) -> dict[str, Any]:
    """System A's detailed table: `{"items", "pagination"}`, every column of each event.

    Raises:
        Forbidden: as `Inquiry.filters`.
        QuestionTooLarge: the time limit.
    """
    found = _page(inquiry, table, Selection(inquiry.filters(table.filters), table.span))
    return found | {"items": [{_NAMES_OF_A.get(name, name): item[name] for name in FIELDS} for item in found["items"]]}


def activity(inquiry: Inquiry, filters: Filters, limit: int, after: Place | None) -> dict[str, Any]:
    """System B's activity log: `{"items", "next_cursor"}`.

    `cost` is a number in `cost_currency`: US dollars where the event has an amount in them.

    Raises:
        Forbidden, QuestionTooLarge: as `detailed`.
    """
    found = events.page(inquiry.connection, Selection(inquiry.filters(filters)), limit, after=after)
    return {"items": [_activity(event) for event in found.events], "next_cursor": events.cursor_of(found.following)}


def records(inquiry: Inquiry, table: Table) -> dict[str, Any]:
    """System C's records: `{"items", "pagination"}`, only events with tokens, a model or an operation.

    Raises:
        Forbidden, QuestionTooLarge: as `detailed`.
    """
    wanted = search(inquiry.connection, table.search) if table.search else None
    return _page(inquiry, table, Selection(inquiry.filters(table.filters) | {IS_AI: [1]}, table.span, wanted))


def last_records(inquiry: Inquiry) -> dict[str, Any]:
    """System D's last ten records.

    Raises:
        Forbidden: as `Inquiry.filters`.
    """
    return {
        "items": [
            {"token_hash": event["token_hash"], **call_of(event)}
            for event in events.latest(inquiry, inquiry.filters(), LAST_RECORDS)
        ]
    }


def _page(inquiry: Inquiry, table: Table, selection: Selection) -> dict[str, Any]:
    """A page whose items have every field of an event, so that each row of a table has the same columns."""
    found = numbered_page(inquiry.connection, selection, table.size, table.at)
    items = [
        events.in_zone(event, table.zone) | {"tokens_estimated": bool(event["tokens_estimated"])}
        for event in found.events
    ]
    return {"items": items, "pagination": found.pagination()}


def _activity(event: Event) -> Event:
    amount, currency = event["cost_usd"], "USD"
    if amount is None and event["cost"] is not None:
        amount, currency = event["cost"]["amount"], event["cost"]["currency"]
    return {
        "id": event["id"],
        "user_id": event["user_id"],
        "organization_id": event["organization_id"],
        "endpoint": event["route"],
        "method": event["method"],
        "status_code": event["status"],
        "response_time_ms": event["response_time_ms"],
        "total_tokens": event["total_tokens"],
        "cost": amount,
        "cost_currency": None if amount is None else currency,
        "created_at": event["time"],
    }
