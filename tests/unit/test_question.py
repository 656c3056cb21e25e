"""The question of GET /v1/usage: what may be asked, and that each bad parameter is named with what is allowed."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.errors import Malformed
from tally.usage.coverage import Span
from tally.usage.cursor import Cursor, digest_of
from tally.usage.question import (
    DEFAULT_METRICS,
    DIMENSIONS,
    MAX_LIMIT,
    METRICS,
    is_dimension,
    parse_question,
    parse_zone,
)
from tally.usage.windows import WINDOWS

NOW = datetime(2026, 5, 13, 20, 30, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_nothing_asked_is_the_30_local_days_that_end_today() -> None:
    question = parse_question([], NOW)
    assert question.metrics == DEFAULT_METRICS
    assert (question.span.lower, question.span.upper) == (utc("2026-04-14"), utc("2026-05-14"))
    assert (question.window, question.currency, question.limit, question.group_by) == ("none", "USD", MAX_LIMIT, ())


def test_today_is_that_of_the_zone() -> None:
    question = parse_question([("timezone", "Asia/Tokyo")], NOW)
    assert (question.span.lower, question.span.upper) == (utc("2026-04-14T15:00:00"), utc("2026-05-14T15:00:00"))


def test_dates_are_midnights_of_the_zone_and_the_end_is_excluded() -> None:
    question = parse_question([("from", "2026-05-01"), ("to", "2026-05-02"), ("timezone", "Asia/Kathmandu")], NOW)
    assert (question.span.lower, question.span.upper) == (utc("2026-04-30T18:15:00"), utc("2026-05-01T18:15:00"))


@pytest.mark.parametrize(
    "text",
    ["2026-05-01T00:00:00Z", "2026-05-01T05:45:00+05:45", "2026-05-01T05:45:00 05:45", "1777593600", "1777593600000"],
)
def test_a_time_is_rfc_3339_or_an_epoch(text: str) -> None:
    assert parse_question([("from", text)], NOW).span.lower == utc("2026-05-01")


def test_names_may_be_separated_by_commas_or_repeated() -> None:
    question = parse_question(
        [("metrics", "cost, requests"), ("metrics", "cost"), ("group_by", "model"), ("group_by", "label:tier,model")],
        NOW,
    )
    assert question.metrics == ("cost", "requests")
    assert question.group_by == ("model", "label:tier")


def test_a_dimension_may_be_filtered_on_by_several_values_and_by_none() -> None:
    question = parse_question([("model", "a"), ("model", "b"), ("label:tier", ""), ("status_class", "5xx")], NOW)
    assert question.filters == {"model": ("a", "b"), "label:tier": ("",), "status_class": ("5xx",)}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_may_be_asked_and_ordered_by(name: str) -> None:
    assert parse_question([("metrics", name), ("order_by", f"-{name}")], NOW).order_by == f"-{name}"


@pytest.mark.parametrize("name", [*DIMENSIONS, "label:x"])
def test_every_dimension_may_be_grouped_by(name: str) -> None:
    assert is_dimension(name)
    assert parse_question([("group_by", name), ("order_by", name)], NOW).group_by == (name,)


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_may_be_asked(window: str) -> None:
    question = parse_question([("window", window), ("from", "2026-05-01"), ("to", "2026-05-03")], NOW)
    counts = {"none": 0, "15m": 192, "hour": 48, "day": 2, "week": 1, "month": 1}
    assert len(question.windows) == counts[window]


@pytest.mark.parametrize(
    ("parameters", "field", "says"),
    [
        ([("metrics", "cots")], "metrics", "allowed are requests, errors"),
        ([("group_by", "modle")], "group_by", "allowed are organization_id, team_id"),
        ([("group_by", "label:")], "group_by", "label:NAME"),
        ([("window", "year")], "window", "allowed are none, 15m, hour, day, week, month"),
        ([("timezone", "Mars")], "timezone", "IANA time zone such as Europe/Moscow"),
        ([("from", "yesterday")], "from", "expected a date, or a time with offset"),
        ([("from", "2026-05-01T00:00:00")], "from", "with offset"),
        ([("from", "2026-02-30")], "from", "expected a date"),
        ([("from", "")], "from", "expected a date"),
        ([("to", "9" * 5000)], "to", "expected a date"),
        ([("from", "0001-01-01")], "from", "1900 to 2200"),
        ([("from", "2026-05-02"), ("to", "2026-05-02")], "from", "must be before to"),
        ([("from", "1950-01-01"), ("window", "15m")], "window", "more than 50000 windows"),
        ([("currency", "EURO")], "currency", "ISO 4217"),
        ([("order_by", "model")], "order_by", "allowed are requests, total_tokens, cost, window_start"),
        ([("limit", "10001")], "limit", "from 1 to 10000"),
        ([("limit", "0")], "limit", "from 1 to 10000"),
        ([("limit", "-1")], "limit", "from 1 to 10000"),
        ([("limit", "١")], "limit", "from 1 to 10000"),
        ([("cursor", "5")], "cursor", "next_cursor of an answer"),
        ([("format", "xml")], "format", "allowed are json, csv, ndjson"),
        ([("format", "csv"), ("explain", "true")], "explain", "JSON"),
        ([("explain", "1")], "explain", "allowed are false, true"),
        ([("fill", "one")], "fill", "allowed are none, zero"),
        ([("status", "99")], "status", "from 100 to 599"),
        ([("status_class", "6xx")], "status_class", "1xx, 2xx, 3xx, 4xx, 5xx"),
        ([("modle", "x")], "modle", "did you mean model?"),
        ([("qqq", "x")], "qqq", "known are metrics"),
        ([("model", "a\0b")], "model", "NUL"),
    ],
)
def test_a_bad_parameter_is_named_with_what_is_allowed(
    parameters: list[tuple[str, str]], field: str, says: str
) -> None:
    with pytest.raises(Malformed) as refused:
        parse_question(parameters, NOW)
    [error] = refused.value.errors
    assert error["field"] == field
    assert says in error["message"]
    assert len(str(error.get("value"))) <= 100


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Malformed) as refused:
        parse_question([("window", "year"), ("limit", "x"), ("foo", "1")], NOW)
    assert {error["field"] for error in refused.value.errors} == {"window", "limit", "foo"}
    assert refused.value.status == 400


CURSOR = Cursor(
    digest_of([("window", "day")]), Span(utc("2026-05-01"), utc("2026-05-03")), "10:12:11", ("5", None, "ü")
)


def test_a_cursor_leads_on_in_the_range_and_snapshot_of_the_first_page() -> None:
    question = parse_question([("window", "day"), ("cursor", str(CURSOR)), ("limit", "7")], NOW)
    assert question.cursor == CURSOR
    assert question.span == CURSOR.span


def test_a_cursor_of_another_question_is_refused() -> None:
    with pytest.raises(Malformed, match="another question"):
        parse_question([("window", "hour"), ("cursor", str(CURSOR))], NOW)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_question([("window", "day"), ("cursor", text)], NOW)
    assert {error["field"] for error in refused.value.errors} == {"cursor"}


def test_other_formats_than_json_have_all_rows() -> None:
    assert parse_question([("format", "csv")], NOW).limit is None
    assert parse_question([("format", "csv"), ("limit", "5")], NOW).limit == 5


def test_a_zone_alone_is_checked_in_the_same_words() -> None:
    assert parse_zone("Asia/Tokyo").key == "Asia/Tokyo"
    with pytest.raises(Malformed, match="is not an IANA time zone"):
        parse_zone("Mars")
