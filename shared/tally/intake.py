"""From the bytes of a request or a message to events: which dialect, what size, what is good, what is not.

Pure. One bad event never spoils the others: it is returned with its faults.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tally import jsontext
from tally.dialects import cloudevents, native
from tally.errors import FieldError, Malformed, PayloadTooLarge, UnsupportedMediaType
from tally.event import MAX_EVENT_BYTES, MAX_PUBLISHED_EVENT_BYTES, InvalidEvent, UsageEvent, Window, parse_event

MAX_BODY_BYTES = 5 * 1024 * 1024
MAX_INFLATED_BYTES = 10 * 1024 * 1024
_ESCAPED_NUL = b"\\u0000"
_READABLE = "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json"


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that was not taken: its place in the request, the id it came with, why, and its bytes."""

    index: int
    id: str | None
    errors: list[FieldError]
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What a body held: the good events with their places, and the others with their faults."""

    events: list[tuple[int, UsageEvent]]
    rejected: list[Rejected]


def inflate(body: bytes, encoding: str) -> bytes:
    """`body` without its content encoding, never holding more than 10 MB.

    One gzip member only: a body of thousands of empty ones would cost more time than its bytes are worth.

    Raises:
        UnsupportedMediaType: an encoding other than gzip or identity.
        PayloadTooLarge: more than 10 MB after gunzip.
        Malformed: not gzip.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedMediaType(f'Content-Encoding "{encoding}" is not understood; expected gzip.')
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = inflater.decompress(body, MAX_INFLATED_BYTES + 1)
    except zlib.error as error:
        raise Malformed(f"The body is not gzip: {error}.") from error
    if len(text) > MAX_INFLATED_BYTES:
        raise PayloadTooLarge("The body is over 10 MB after gunzip; send smaller batches.")
    if not inflater.eof or inflater.unused_data:
        raise Malformed("The gzip body is cut off or has something behind its end.")
    return text


def media_type(content_type: str) -> str:
    """The media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def require_json(content_type: str) -> None:
    """Takes nothing but JSON.

    Raises:
        UnsupportedMediaType: another content type, or none.
    """
    if media_type(content_type) != native.JSON:
        raise UnsupportedMediaType(f'Content-Type "{content_type[:100]}" is not understood; expected {native.JSON}.')


def read_items(body: bytes, content_type: str, headers: Mapping[str, str]) -> list[object]:
    """The raw items of a request's body, each parsed JSON or an `UnreadableLine`.

    Raises:
        UnsupportedMediaType: no content type, or one that is not understood.
        Malformed: not JSON.
        PayloadTooLarge: more than 1,000 events.
    """
    kind = media_type(content_type)
    if kind in native.NDJSON_MEDIA_TYPES:
        items = native.read_lines(body)
    elif kind == native.JSON or kind in cloudevents.MEDIA_TYPES:
        items = native.read_json(body)
        if kind == native.JSON:
            items = _or_envelope(items, cloudevents.from_headers(headers, _only(items)))
    else:
        given = f'Content-Type "{kind}" is not understood' if kind else "There is no Content-Type"
        raise UnsupportedMediaType(f"{given}; expected one of {_READABLE}.")
    native.require_few(items)
    return items


def read_message(data: bytes, attributes: Mapping[str, str]) -> list[object]:
    """The raw items of a Pub/Sub message, whose content type need not be given.

    Raises:
        RequestError: as `inflate` and `read_items`; such a message can never be read.
    """
    data = inflate(data, attributes.get("content-encoding", ""))
    kind = media_type(attributes.get("content-type", ""))
    if kind in native.NDJSON_MEDIA_TYPES:
        return native.read_lines(data)
    try:
        items = _read_published(data)
    except Malformed:
        if b"\n" not in data.strip() or cloudevents.from_attributes(attributes, None):  # that is one event, not lines
            raise
        items = native.read_lines(data)
        if all(isinstance(item, native.UnreadableLine) for item in items):
            raise
    native.require_few(items)
    return _or_envelope(items, cloudevents.from_attributes(attributes, _only(items)))


def take(
    items: Iterable[object], body: bytes, window: Window, max_event_bytes: int = MAX_PUBLISHED_EVENT_BYTES
) -> Batch:
    """The events of `items`, which were read from `body`, good and bad apart."""
    may_be_large = len(body) > MAX_EVENT_BYTES
    may_have_nul = _ESCAPED_NUL in body
    batch = Batch([], [])
    for index, item in enumerate(items):
        try:
            if may_be_large and not isinstance(item, native.UnreadableLine):
                require_small(len(jsontext.dump(item)), max_event_bytes)
            batch.events.append((index, parse_event(_raw_event(item, may_have_nul=may_have_nul), window)))
        except InvalidEvent as error:
            data = item.data if isinstance(item, native.UnreadableLine) else jsontext.dump(item)
            batch.rejected.append(Rejected(index, _id_of(item), error.errors, data))
    return batch


def require_small(size: int, max_event_bytes: int) -> None:
    """Takes an event of so many bytes.

    Raises:
        InvalidEvent: it is over the limit.
    """
    if size > max_event_bytes:
        raise InvalidEvent([{"field": "", "message": f"the event is over {MAX_EVENT_BYTES // 1024} KB"}])


def _raw_event(item: object, *, may_have_nul: bool) -> object:
    if isinstance(item, native.UnreadableLine):
        raise item
    # Attributes of a binary CloudEvent are not in the body.
    if (may_have_nul or cloudevents.is_cloudevent(item)) and (field := jsontext.nul_in(item)) is not None:
        raise InvalidEvent([{"field": field, "message": "has a NUL character, which cannot be stored"}])
    return cloudevents.to_raw_event(item) if cloudevents.is_cloudevent(item) else item


def _read_published(data: bytes) -> list[object]:
    """As `read_json`. Ingest publishes arrays of events that may each be as deep as a request."""
    return native.read_json(data, jsontext.MAX_DEPTH + data.lstrip().startswith(b"["))


def _only(items: list[object]) -> object:
    return items[0] if len(items) == 1 else items


def _or_envelope(items: list[object], envelope: object | None) -> list[object]:
    return items if envelope is None else [envelope]


def _id_of(item: object) -> str | None:
    given = item.get("id") if isinstance(item, dict) else None
    return given if isinstance(given, str) and len(given) <= 200 else None
