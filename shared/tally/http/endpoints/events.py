"""Single events, newest first: as pages of JSON, or all of them as a file."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tally.http.api import JsonAnswer
from tally.http.asking import Ask, Asker
from tally.http.endpoints.examples import example
from tally.http.streaming import FORMATS, RecordFormat, streamed
from tally.usage import event_question, question
from tally.usage.event_question import DEFAULT_LIMIT, MAX_LIMIT, PAGE_OF_FILE, EventQuestion, parse_event_question
from tally.usage.events import FIELDS, Place
from tally.usage.inquiry import Inquiry
from tally.usage.question import DIMENSIONS

router = APIRouter(tags=["usage"])


def _described() -> dict[str, Any]:
    """OpenAPI's description of the parameters, which `parse_event_question` reads."""
    described = {
        "from": "Included. RFC 3339 with offset, epoch seconds or milliseconds, or a date, the midnight of timezone.",
        "to": "Excluded. As from. Without both: the 30 local days that end today.",
        "timezone": "IANA time zone of dates, and of the times in the answer; UTC if not given.",
        "limit": f"Events a page, at most {MAX_LIMIT}; {DEFAULT_LIMIT} if not given. A file has all if not given.",
        "cursor": "next_cursor of the page before.",
        "format": f"One of {', '.join(question.FORMATS)}.",
        **dict.fromkeys(DIMENSIONS, "Only events with this value; repeat for several, empty for no value."),
    }
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in described.items()
        ]
    }


_EXAMPLE = {
    "items": [
        {
            "id": "0197b0a5-6a5e-7c3f-9d8a-0f4e2b1c7d6e",
            "source": "gateway",
            "time": "2026-05-01T12:00:00Z",
            "route": "/v1/chat",
            "status": 200,
            "total_tokens": 1550,
            "cost": {"amount": 0.0065, "currency": "USD"},
            "received_at": "2026-05-01T12:00:01Z",
        }
    ],
    "next_cursor": "t1777636800000000s42",
}


@router.get("/v1/usage/events", openapi_extra=_described(), responses=example(_EXAMPLE))
async def usage_events(ask: Asker, request: Request) -> Response:
    """Single events, newest first, with every field that has a value."""
    parameters = request.query_params.multi_items()
    record_format = FORMATS.get(dict(parameters).get("format", "json"))
    if record_format is not None:
        return await streamed(_file(ask, parameters, record_format), record_format)
    return JsonAnswer(
        await ask(lambda inquiry: event_question.answer(inquiry, parse_event_question(parameters, inquiry.now)))
    )


async def _file(
    ask: Ask, parameters: list[tuple[str, str]], record_format: RecordFormat
) -> AsyncGenerator[bytes, None]:
    """All that is asked for, a page of events after the other, each of them written in the thread that read it."""
    question = await ask(lambda inquiry: parse_event_question(parameters, inquiry.now))
    head = record_format.head(FIELDS)
    left = question.limit
    while left is None or left > 0:
        size = PAGE_OF_FILE if left is None else min(left, PAGE_OF_FILE)
        body, following = await ask(partial(_part, question=question, size=size, record_format=record_format))
        yield head + body
        if following is None:
            return
        head, question = b"", replace(question, after=following)
        left = None if left is None else left - size


def _part(
    inquiry: Inquiry, question: EventQuestion, size: int, record_format: RecordFormat
) -> tuple[bytes, Place | None]:
    found = event_question.page(inquiry, question, size)
    return record_format.body(FIELDS, event_question.shown(found, question)), found.following
