"""Push requests of Pub/Sub: what is taken from them, what is not, and that nothing else gets through."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.errors import Malformed
from tally.message import Message, read_push, wrap

PUBLISHED = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def envelope(**changes: Any) -> bytes:
    message = {
        "data": base64.b64encode(b"data").decode(),
        "attributes": {"source": "s"},
        "messageId": "7",
        "publishTime": "2026-05-01T12:00:00.123456Z",
    } | changes
    return json.dumps({"message": {name: value for name, value in message.items() if value is not ...}}).encode()


def test_a_wrapped_message() -> None:
    assert read_push(envelope(), {}) == Message("7", PUBLISHED, {"source": "s"}, b"data")


def test_names_with_underscores_are_the_same() -> None:
    body = envelope(messageId=..., publishTime=..., message_id="7", publish_time="2026-05-01T12:00:00.123456789Z")
    assert read_push(body, {}) == Message("7", PUBLISHED, {"source": "s"}, b"data")


def test_data_and_attributes_may_be_missing() -> None:
    assert read_push(envelope(data=..., attributes=...), {}) == Message("7", PUBLISHED, {}, b"")


METADATA = {
    "x-goog-pubsub-message-id": "7",
    "x-goog-pubsub-publish-time": "2026-05-01T12:00:00.123456Z",
    "x-goog-pubsub-subscription-name": "projects/p/subscriptions/s",
    "x-goog-pubsub-ordering-key": "k",
}
FIRST = "CloudPubSubDeadLetterSourceTopicPublishTime"


@pytest.mark.parametrize(
    ("first", "is_published"),
    [
        ("2026-04-30T23:00:00.5Z", datetime(2026, 4, 30, 23, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-05-02T00:00:00Z", PUBLISHED),
        ("yesterday", PUBLISHED),
        ("2026-04-30T23:00:00", PUBLISHED),
    ],
)
def test_a_message_from_a_dead_letter_topic_was_published_when_it_was_published_first(
    first: str, is_published: datetime
) -> None:
    assert read_push(envelope(attributes={FIRST: first}), {}).publish_time == is_published
    assert read_push(b"data", {**METADATA, FIRST.lower(): first}).publish_time == is_published


@given(
    st.text(min_size=1, max_size=20),
    st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3),
    st.binary(max_size=100),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
)
def test_what_the_embedded_publisher_wraps_is_the_message(
    message_id: str, attributes: dict[str, str], data: bytes, time: datetime
) -> None:
    message = Message(message_id, time, attributes, data)
    assert read_push(wrap(message), {"content-type": "application/json"}) == message


TRANSPORT = {
    "authorization": "Bearer a-secret",
    "host": "localhost",
    "user-agent": "Java",
    "accept": "*/*",
    "connection": "keep-alive",
    "content-length": "4",
    "x-forwarded-for": "192.0.2.1",
    "forwarded": "for=192.0.2.1",
    "traceparent": "00-1-2-03",
}


def test_an_unwrapped_message_has_its_attributes_in_headers_and_nothing_of_the_request() -> None:
    attributes = {"source": "s", "content-encoding": "gzip", "tenant": "t", "ce-id": "1"}
    message = read_push(b"data", TRANSPORT | METADATA | attributes)
    assert message == Message("7", PUBLISHED, attributes, b"data")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"message": 5}',
        b'{"model": "m"}',
        envelope(messageId=...),
        envelope(messageId=5),
        envelope(messageId=""),
        envelope(data="no base64!"),
        envelope(data="ZGF0Y"),
        envelope(data=5),
        envelope(data="й"),
        envelope(attributes=["source"]),
        envelope(attributes="x"),
        envelope(attributes={"content-type": 5}),
        envelope(attributes={"source": None}),
        envelope(publishTime=...),
        envelope(publishTime="now"),
        envelope(publishTime=5),
        envelope(publishTime="2026-05-01T12:00:00"),
        envelope(publishTime="0001-01-01T00:00:00+10:00"),
        envelope(publishTime="9999-12-31T23:59:59-10:00"),
    ],
)
def test_what_is_no_push_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_push(body, {})


def test_an_unwrapped_message_needs_its_publish_time() -> None:
    with pytest.raises(Malformed, match="publish time"):
        read_push(b"data", {"x-goog-pubsub-message-id": "7"})
