"""Tally's own questions: any figures by any dimensions."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tally.http.api import JsonAnswer
from tally.http.asking import Ask, Asker
from tally.http.streaming import FORMATS, RecordFormat, streamed
from tally.usage.answer import answer, columns_of, page_of, question_after
from tally.usage.inquiry import Inquiry
from tally.usage.question import DIMENSIONS, MAX_LIMIT, METRICS, Question, parse_question
from tally.usage.windows import WINDOWS

router = APIRouter(tags=["usage"])


def _described() -> dict[str, Any]:
    """OpenAPI's description of the parameters of `GET /v1/usage`, which `parse_question` reads."""
    described = {
        "metrics": f"Comma-separated or repeated. Any of {', '.join(METRICS)}.",
        "group_by": f"Comma-separated or repeated. Any of {', '.join(DIMENSIONS)}, label:NAME.",
        "window": f"One of {', '.join(WINDOWS)}.",
        "from": "Included. RFC 3339 with offset, epoch seconds or milliseconds, or a date, the midnight of timezone.",
        "to": "Excluded. As from. Without both: the 30 local days that end today.",
        "timezone": "IANA time zone of dates and windows; UTC if not given.",
        "currency": "ISO 4217 code that cost is reported in; USD if not given.",
        "order_by": "A metric or dimension asked for; with - before it the largest first.",
        "limit": f"Rows a page, at most {MAX_LIMIT}.",
        "cursor": "next_cursor of the page before.",
        "fill": "zero: windows without events are rows too.",
        "format": "json, csv or ndjson. The last two have all rows where no limit is given.",
        "explain": "true (scope admin): which cubes and how many rows of each table were read.",
        **dict.fromkeys(DIMENSIONS, "Only events with this value; repeat for several, empty for no value."),
    }
    examples = {
        "metrics": "requests,total_tokens,cost", "group_by": "model", "window": "day", "timezone": "Europe/Moscow",
        "from": "2026-05-01", "to": "2026-06-01", "order_by": "-requests",
    }  # fmt: skip
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": text,
                "schema": {"type": "string"},
                **({"example": examples[name]} if name in examples else {}),
            }
            for name, text in described.items()
        ]
    }


@router.get("/v1/usage", openapi_extra=_described())
async def usage(ask: Asker, request: Request) -> Response:
    """Any figures of any events, by any dimension, in windows of any time zone."""
    given = request.query_params.multi_items()
    record_format = FORMATS.get(dict(given).get("format", "json"))
    if record_format is not None:
        return await streamed(_file(ask, given, record_format), record_format)
    return JsonAnswer(await ask(lambda inquiry: answer(inquiry, parse_question(given, inquiry.now))))


async def _file(ask: Ask, given: list[tuple[str, str]], record_format: RecordFormat) -> AsyncGenerator[bytes, None]:
    """All that is asked for, a page of rows after the other, each of them written in the thread that read it."""
    question: Question | None = await ask(lambda inquiry: parse_question(given, inquiry.now))
    columns = columns_of(question) if question else ()
    head = record_format.head(columns)
    while question is not None:
        body, question = await ask(partial(_part, question=question, columns=columns, record_format=record_format))
        yield head + body
        head = b""


def _part(
    inquiry: Inquiry, question: Question, columns: Sequence[str], record_format: RecordFormat
) -> tuple[bytes, Question | None]:
    page = page_of(inquiry, question)
    return record_format.body(columns, page.rows), question_after(question, page)
