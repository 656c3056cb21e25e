"""Answers of any length as CSV or NDJSON, sent page by page: memory stays flat, and the first byte comes early."""

import csv
import io
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import StreamingResponse

from tally import jsontext

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How records are written. `head` comes first, then `body` of each page; both know the columns.

    What is missing or None is empty in CSV, and left as it is in NDJSON.
    """

    media_type: str
    head: Callable[[Sequence[str]], bytes]
    body: Callable[[Sequence[str], Iterable[Record]], bytes]


def _csv_head(columns: Sequence[str]) -> bytes:
    return _csv_lines([columns])


def _csv_body(columns: Sequence[str], records: Iterable[Record]) -> bytes:
    return _csv_lines([_cell(record.get(name)) for name in columns] for record in records)


def _csv_lines(lines: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    """Text as it is, a time in RFC 3339, anything else as JSON writes it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, datetime) else jsontext.dump_answer(value).decode()


def _ndjson_body(_columns: Sequence[str], records: Iterable[Record]) -> bytes:
    return b"".join(jsontext.dump_answer(record) + b"\n" for record in records)


FORMATS: Mapping[str, RecordFormat] = {
    "csv": RecordFormat("text/csv; charset=utf-8", _csv_head, _csv_body),
    "ndjson": RecordFormat("application/x-ndjson", lambda _columns: b"", _ndjson_body),
}


async def streamed(chunks: AsyncGenerator[bytes, None], record_format: RecordFormat) -> StreamingResponse:
    """An answer whose body is `chunks`, begun when the first of them is there.

    What goes wrong before that is an answer of its own. A later error breaks the connection, which tells a client that
    the answer is not whole. A client that goes away ends `chunks`, in the middle of whatever they wait for.
    """
    first = await anext(chunks, b"")

    async def body() -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    return StreamingResponse(body(), media_type=record_format.media_type)
