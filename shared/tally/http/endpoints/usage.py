"""Tally's own questions: any figures by any dimensions."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tally.http.api import JsonAnswer
from tally.http.asking import Ask, Asker
from tally.http.endpoints.question_parameters import usage_parameters
from tally.http.examples import example
from tally.http.streaming import FORMATS, RecordFormat, streamed
from tally.usage.answer import answer, columns_of, page_of, question_after
from tally.usage.figures import LEFT_OUT
from tally.usage.inquiry import Inquiry
from tally.usage.question import Question, parse_question

router = APIRouter(tags=["usage"])
_ROW = {
    "window_start": "2026-05-01T00:00:00+03:00",
    "model": "gpt-4o",
    "requests": 3,
    "total_tokens": 4650,
    "cost": 0.0195,
}
_EXAMPLE = {
    "from": "2026-05-01T00:00:00+03:00",
    "to": "2026-06-01T00:00:00+03:00",
    "timezone": "Europe/Moscow",
    "currency": "USD",
    "window": "day",
    "rows": [_ROW],
    "next_cursor": None,
}


@router.get(
    "/v1/usage",
    openapi_extra={"parameters": usage_parameters()},
    responses=example(_EXAMPLE, columns=[*_ROW, *LEFT_OUT], records=[_ROW]),
)
async def usage(ask: Asker, request: Request) -> Response:
    """Any figures of any events, by any dimension, in windows of any time zone.

    A label is a dimension too: `label:NAME` groups and, as a parameter, filters. The default metrics are requests,
    total_tokens and cost.
    """
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
