"""A Pub/Sub message as push delivers it, wrapped in JSON or unwrapped.

Format: https://cloud.google.com/pubsub/docs/push and …/payload-unwrapping (with metadata written as headers).
"""

import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from tally import jsontext
from tally.errors import Malformed

TENANT = "tenant"
SOURCE = "source"
# What Pub/Sub notes on a message that it moves to a dead-letter topic: when it was published first. Its id is new.
# https://cloud.google.com/pubsub/docs/handling-failures
_FIRST_PUBLISHED = "CloudPubSubDeadLetterSourceTopicPublishTime"
_YEARS = range(1971, 9000)
_METADATA = "x-goog-pubsub-"
# Of the push request itself, beside the attributes of an unwrapped message; the first is a secret.
_TRANSPORT = re.compile(
    r"authorization|proxy-authorization|cookie|host|user-agent|accept|accept-encoding|accept-language|connection"
    r"|content-length|transfer-encoding|from|via|forwarded|x-forwarded-.*|x-cloud-trace-context|traceparent|tracestate"
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `publish_time` is UTC; the same at every redelivery, like `id`, and from a dead-letter topic too."""

    id: str
    publish_time: datetime
    attributes: Mapping[str, str]
    data: bytes


def read_push(body: bytes, headers: Mapping[str, str]) -> Message:
    """The message of a push request (header names in lower case).

    Raises:
        Malformed: this is no push of Pub/Sub.
    """
    if f"{_METADATA}message-id" in headers:
        attributes = {
            name: value
            for name, value in headers.items()
            if not name.startswith(_METADATA) and not _TRANSPORT.fullmatch(name)
        }
        published = headers.get(f"{_METADATA}publish-time", "")
        return Message(headers[f"{_METADATA}message-id"], _first_published(attributes, published), attributes, body)
    envelope = jsontext.parse(body)
    message = envelope.get("message") if isinstance(envelope, dict) else None
    if not isinstance(message, dict):
        raise Malformed(
            "Expected a Pub/Sub push: the JSON envelope with a message, or an unwrapped message with its metadata "
            "in x-goog-pubsub-… headers (option write_metadata of the subscription)."
        )
    message_id = message.get("messageId") or message.get("message_id")
    attributes = message.get("attributes") or {}
    data = message.get("data") or ""
    if not isinstance(message_id, str) or not isinstance(attributes, dict) or not isinstance(data, str):
        raise Malformed("The push envelope has no messageId, or its data or attributes are of the wrong type.")
    if not all(isinstance(value, str) for value in attributes.values()):
        raise Malformed("An attribute of the message is not a string.")
    try:
        content = binascii.a2b_base64(data, strict_mode=True)
    except ValueError as error:
        raise Malformed(f"The message's data is not base64: {error}.") from error
    publish_time = _first_published(attributes, message.get("publishTime") or message.get("publish_time"))
    return Message(message_id, publish_time, attributes, content)


def wrap(message: Message) -> bytes:
    """The wrapped push body that Pub/Sub would send for `message`."""
    return jsontext.dump(
        {
            "message": {
                "data": binascii.b2a_base64(message.data, newline=False).decode(),
                "attributes": message.attributes,
                "messageId": message.id,
                "publishTime": message.publish_time,
            },
            "subscription": "embedded",
        }
    )


def _first_published(attributes: Mapping[str, str], published: object) -> datetime:
    """When the message was published; before Pub/Sub moved it to a dead-letter topic, if it did."""
    own = _publish_time(published)
    first = attributes.get(_FIRST_PUBLISHED) or attributes.get(_FIRST_PUBLISHED.lower())
    if first is not None:
        with suppress(Malformed):  # anybody may have set the attribute: what is no time says nothing
            return min(own, _publish_time(first))
    return own


def _publish_time(text: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise Malformed("The message has no publish time.") from None
    if time.tzinfo is None or not _YEARS.start <= time.year < _YEARS.stop:
        raise Malformed("The message's publish time has no offset or is out of range.")
    return time.astimezone(UTC)
