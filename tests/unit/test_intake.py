"""From bytes to events: encodings, content types, sizes, and one bad event that spoils no other."""

import gzip
import json
import zlib
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.dialects.native import MAX_EVENTS
from tally.errors import Malformed, PayloadTooLarge, RequestError, UnsupportedMediaType
from tally.event import MAX_EVENT_BYTES, Window
from tally.intake import MAX_INFLATED_BYTES, inflate, read_items, read_message, take

WINDOW = Window.at_receipt(datetime(2026, 5, 1, 12, tzinfo=UTC), 400)
EVENT = b'{"model": "m"}'
PLAIN: dict[str, str] = {}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip ", "x-gzip"])
def test_gzip_is_undone(encoding: str) -> None:
    assert inflate(gzip.compress(EVENT), encoding) == EVENT


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_no_encoding_is_none(encoding: str) -> None:
    assert inflate(EVENT, encoding) == EVENT


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "nonsense"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=f'"{encoding}" is not understood; expected gzip'):
        inflate(EVENT, encoding)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        EVENT,
        zlib.compress(EVENT),
        gzip.compress(EVENT, mtime=0)[:-1],
        gzip.compress(EVENT, mtime=0)[:12],
        gzip.compress(EVENT, mtime=0)[:-8] + b"\0" * 8,
        gzip.compress(EVENT, mtime=0) + b"x",
        gzip.compress(EVENT, mtime=0) + gzip.compress(EVENT, mtime=0),
    ],
    ids=["nothing", "no gzip", "zlib", "cut off", "no content", "wrong checksum", "something behind", "two members"],
)
def test_gzip_that_is_none_is_refused_and_never_read_in_part(body: bytes) -> None:
    with pytest.raises(Malformed):
        inflate(body, "gzip")


def test_10_mb_are_inflated_and_not_a_byte_more() -> None:
    assert len(inflate(gzip.compress(b" " * MAX_INFLATED_BYTES), "gzip")) == MAX_INFLATED_BYTES
    with pytest.raises(PayloadTooLarge, match="over 10 MB after gunzip"):
        inflate(gzip.compress(b" " * (MAX_INFLATED_BYTES + 1)), "gzip")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=x",
        " application/json ",
        "application/x-ndjson",
        "application/ndjson; charset=utf-8",
        "application/jsonl",
        "application/cloudevents+json; charset=UTF-8",
        "application/cloudevents-batch+json",
    ],
)
def test_content_types_that_are_understood(content_type: str) -> None:
    assert read_items(EVENT, content_type, PLAIN) == [{"model": "m"}]


@pytest.mark.parametrize("content_type", ["text/plain", "text/json", "application/xml", "json", "application/json, x"])
def test_content_types_that_are_not_are_named(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="is not understood; expected one of application/json"):
        read_items(EVENT, content_type, PLAIN)


@pytest.mark.parametrize("content_type", ["", "  ", "; charset=utf-8"])
def test_no_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="There is no Content-Type"):
        read_items(EVENT, content_type, PLAIN)


def test_a_structured_cloudevent_is_not_wrapped_again_by_its_headers() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "of the header"}
    body = b'{"specversion": "1.0", "id": "of the body"}'
    assert read_items(body, "application/cloudevents+json", headers) == [{"specversion": "1.0", "id": "of the body"}]


@pytest.mark.parametrize(("opening", "separator", "closing"), [(b"[", b",", b"]"), (b"", b"\n", b"")])
def test_a_thousand_events_are_taken_and_no_more(opening: bytes, separator: bytes, closing: bytes) -> None:
    kind = "application/json" if opening else "application/x-ndjson"
    assert len(read_items(opening + separator.join([EVENT] * MAX_EVENTS) + closing, kind, PLAIN)) == 1000
    with pytest.raises(PayloadTooLarge, match="1001 events in one request; at most 1000 are taken"):
        read_items(opening + separator.join([EVENT] * 1001) + closing, kind, PLAIN)


def test_one_bad_event_spoils_no_other() -> None:
    body = b'[{"model": "a"}, {"modle": "b", "id": "bad"}, 5, {"model": "c"}]'
    batch = take(read_items(body, "application/json", PLAIN), body, WINDOW)
    assert [(index, event["model"]) for index, event in batch.events] == [(0, "a"), (3, "c")]
    assert [(one.index, one.id) for one in batch.rejected] == [(1, "bad"), (2, None)]
    assert json.loads(batch.rejected[0].data) == {"modle": "b", "id": "bad"}


def test_an_unreadable_line_keeps_its_bytes() -> None:
    body = b'{"model": "a"}\n{"model": \xff}\n'
    batch = take(read_items(body, "application/x-ndjson", PLAIN), body, WINDOW)
    assert len(batch.events) == 1
    assert (batch.rejected[0].index, batch.rejected[0].data) == (1, b'{"model": \xff}')


def padded(size: int) -> bytes:
    """An event of so many bytes."""
    start, end = b'{"model":"m","request_metadata":{"text":"', b'"}}'
    return start + b"x" * (size - len(start) - len(end)) + end


def test_an_event_has_at_most_64_kb_alone_or_among_others() -> None:
    for size, taken in ((MAX_EVENT_BYTES, True), (MAX_EVENT_BYTES + 1, False)):
        for body in (padded(size), b"[" + padded(size) + b"]", b'[{"model":"a"},' + padded(size) + b"]"):
            batch = take(read_items(body, "application/json", PLAIN), body, WINDOW, MAX_EVENT_BYTES)
            assert [one.errors[0]["message"] for one in batch.rejected] == (
                [] if taken else ["the event is over 64 KB"]
            )


def test_spaces_around_an_event_are_not_its_size() -> None:
    body = b"[" + padded(1000) + b" " * 100_000 + b"]"
    assert len(take(read_items(body, "application/json", PLAIN), body, WINDOW, MAX_EVENT_BYTES).events) == 1


@pytest.mark.parametrize(
    ("data", "attributes", "count"),
    [
        (EVENT, {}, 1),
        (b"[" + EVENT + b"," + EVENT + b"]", {}, 2),
        (EVENT + b"\n" + EVENT + b"\n", {}, 2),
        (EVENT + b"\n" + EVENT, {"content-type": "application/x-ndjson"}, 2),
        (gzip.compress(EVENT, mtime=0), {"content-encoding": "gzip"}, 1),
        (gzip.compress(EVENT, mtime=0), {"content-encoding": "GZIP"}, 1),
        (EVENT, {"content-type": "application/x-www-form-urlencoded"}, 1),
        (EVENT, {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"}, 1),
        (b"[]", {}, 0),
        (b'{"model": "m"}\n{"model":', {}, 2),
    ],
)
def test_a_message_is_read_whatever_it_says_of_its_type(data: bytes, attributes: dict[str, str], count: int) -> None:
    assert len(read_message(data, attributes)) == count


@pytest.mark.parametrize("data", [b"", b"{", b"no json\nat all", b"\xff", b"NaN"])
def test_a_message_that_is_nothing_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_message(data, {})


def test_the_data_of_a_binary_cloudevent_is_one_document() -> None:
    with pytest.raises(Malformed):
        read_message(EVENT + b"\n{", {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "t"})


def test_a_message_may_hold_an_array_of_events_that_are_each_as_deep_as_a_request() -> None:
    deep = b'{"model":"m","request_metadata":' + b'{"a":' * 31 + b"0" + b"}" * 32
    assert len(read_items(deep, "application/json", PLAIN)) == 1
    assert len(read_message(b"[" + deep + b"]", {})) == 1
    deeper = deep.replace(b'{"a":0', b'{"a":[0]')
    for data in (deeper, b"[" + deeper + b"]"):
        with pytest.raises(Malformed, match="nested deeper than 32"):
            read_message(data, {})


@given(st.binary(max_size=200), st.sampled_from(["", "gzip"]), st.sampled_from(["", "application/x-ndjson"]))
def test_any_bytes_are_events_or_refused_with_a_reason(data: bytes, encoding: str, kind: str) -> None:
    attributes = {"content-encoding": encoding, "content-type": kind}
    with suppress(RequestError):
        items = read_message(data, attributes)
        batch = take(items, data, WINDOW)
        assert len(batch.events) + len(batch.rejected) == len(items)
