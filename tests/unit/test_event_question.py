"""Cursors stand for a place exactly, and a question about events is read or refused."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally import jsontext
from tally.errors import Malformed
from tally.http.streaming import FORMATS
from tally.usage.event_question import parse_event_question
from tally.usage.events import Place, cursor_of, place_of
from tally.usage.question import DIMENSIONS
from tests.support.functions import read_json

NOW = datetime(2026, 4, 6, 12, tzinfo=UTC)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
PARAMETERS = st.tuples(
    st.sampled_from(["from", "to", "timezone", "limit", "cursor", "format", "label:x", "metrics", *DIMENSIONS])
    | st.text(max_size=8),
    st.sampled_from(["json", "csv", "2026-05-01", "UTC", "100", "t1s1", "t1s" + "9" * 19, "t" + "9" * 16 + "s1", "²"])
    | st.text(max_size=8),
)


@given(TIMES, st.integers(0, 2**63 - 1))
def test_a_cursor_stands_for_its_place(time: datetime, seq: int) -> None:
    cursor = cursor_of(Place(time, seq))
    assert cursor is not None
    assert place_of(cursor) == Place(time, seq)


@given(st.text() | st.from_regex(r"t[0-9]{0,20}s[0-9]{0,20}"))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert place_of(text).seq < 2**63


@given(st.lists(PARAMETERS, max_size=6))
def test_a_question_is_read_or_refused(parameters: list[tuple[str, str]]) -> None:
    with suppress(Malformed):
        question = parse_event_question(parameters, NOW)
        assert question.limit is None or 1 <= question.limit <= 10**9


@pytest.mark.parametrize(
    ("parameters", "limit"),
    [({}, 100), ({"limit": "1000"}, 1000), ({"format": "csv"}, None), ({"format": "ndjson", "limit": "5000"}, 5000)],
)
def test_a_page_has_a_hundred_events_and_a_file_has_all(parameters: dict[str, str], limit: int | None) -> None:
    assert parse_event_question(parameters.items(), NOW).limit == limit


TRICKY: list[dict[str, Any]] = [
    {"text": 'a "quoted", b\r\nc', "number": Decimal("1E-10"), "nested": {"ключ": [1, None]}, "flag": True},
    {"text": "=1+1", "number": Decimal("1E+3"), "time": datetime(2026, 5, 1, tzinfo=timezone(timedelta(hours=5.5)))},
    {"text": "", "number": 0, "nested": {}, "flag": False},
]


def test_csv_is_read_back_by_any_reader() -> None:
    columns = ("text", "number", "nested", "flag", "time", "missing")
    text = (FORMATS["csv"].head(columns) + FORMATS["csv"].body(columns, TRICKY)).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        [*columns],
        ['a "quoted", b\r\nc', "0.0000000001", '{"ключ":[1,null]}', "true", "", ""],
        ["=1+1", "1000", "", "", "2026-05-01T00:00:00+05:30", ""],
        ["", "0", "{}", "false", "", ""],
    ]


def test_ndjson_has_a_record_on_each_line() -> None:
    lines = FORMATS["ndjson"].body((), TRICKY).splitlines(keepends=True)
    assert [read_json(line) for line in lines] == [read_json(jsontext.dump_answer(record)) for record in TRICKY]
    assert all(line.endswith(b"\n") for line in lines)
    assert FORMATS["ndjson"].head(("a",)) == b""
