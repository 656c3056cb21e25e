"""CloudEvents 1.0 (https://github.com/cloudevents/spec): structured, batched and binary.

`id`, `source` and `time` are the event's own, `subject` is the user, `data` holds the event's fields. `type`,
the extensions, and whatever in `data` is not a field of a usage event, or contradicts the rest, become labels.
OpenMeter's `tokens` with `type` input or output becomes the count of that name, else the total.
"""

from collections.abc import Mapping
from typing import TypeGuard
from urllib.parse import unquote

from tally.dialects.consistent import consistent, label
from tally.errors import FieldError
from tally.event import ALIASES, FIELDS, InvalidEvent

MEDIA_TYPES = frozenset({"application/cloudevents+json", "application/cloudevents-batch+json"})
_REQUIRED = ("id", "source", "specversion", "type")
_OWN = frozenset({*_REQUIRED, "time", "subject", "data", "datacontenttype", "dataschema", "data_base64"})
_FIELD_OF_ATTRIBUTE = {"id": "id", "source": "source", "time": "time", "user_id": "subject"}
_COUNT_OF_TYPE = {"input": "input_tokens", "output": "output_tokens"}


def is_cloudevent(item: object) -> TypeGuard[dict[str, object]]:
    """Whether parsed JSON is a structured CloudEvent; no usage event has a field `specversion`."""
    return isinstance(item, dict) and "specversion" in item


def from_attributes(attributes: Mapping[str, str], data: object) -> dict[str, object] | None:
    """The structured form of a CloudEvent in a Pub/Sub message's attributes (`ce-…`), or None where there is none."""
    if "ce-specversion" not in attributes:
        return None
    return {**{name[3:]: value for name, value in attributes.items() if name.startswith("ce-")}, "data": data}


def from_headers(headers: Mapping[str, str], data: object) -> dict[str, object] | None:
    """The same of HTTP headers (lower-case names), whose values are percent-encoded."""
    if "ce-specversion" not in headers:
        return None
    return from_attributes({name: unquote(value) for name, value in headers.items()}, data)


def to_raw_event(envelope: dict[str, object]) -> dict[str, object]:
    """The usage event that a CloudEvent carries.

    Raises:
        InvalidEvent: a required attribute is missing, or `data` is not an object.
    """
    data = _data_of(envelope)
    known = {name: value for name, value in data.items() if ALIASES.get(name, name) in FIELDS}
    labels: dict[str, object] = {"type": str(envelope["type"])}
    labels |= {name: label(value) for name, value in envelope.items() if name not in _OWN and value is not None}
    for name, value in data.items():
        if name == "tokens":
            known.setdefault(_COUNT_OF_TYPE.get(str(data.get("type")), "total_tokens"), value)
        elif name not in known:
            labels[f"data.{name}" if name in labels else name] = label(value)
    if not isinstance(known.get("cost", {}), dict):
        known.setdefault("cost_usd", known.pop("cost"))
    raw: dict[str, object] = {}
    for field, name in _FIELD_OF_ATTRIBUTE.items():
        if envelope.get(name) not in (None, ""):
            raw[field] = envelope[name]
    own = dict(raw)
    for name, value in known.items():
        taken = own.get(ALIASES.get(name, name))
        if taken is None:
            raw[name] = value
        elif value not in (None, taken):
            labels[f"data.{name}"] = label(value)
    return consistent({**raw, "labels": {**labels, **_labels_of(data)}})


def _labels_of(data: dict[str, object]) -> dict[str, object]:
    given = data.get("labels")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidEvent([{"field": "data.labels", "message": "expected an object of strings"}])
    return given


def _data_of(envelope: dict[str, object]) -> dict[str, object]:
    faults: list[FieldError] = [
        {"field": name, "message": "is missing; every CloudEvent has it"}
        for name in _REQUIRED
        if not isinstance(envelope.get(name), str) or not envelope[name]
    ]
    data = envelope.get("data")
    if not isinstance(data, dict):
        faults.append({"field": "data", "message": "expected an object that holds the event's fields"})
    if faults or not isinstance(data, dict):
        raise InvalidEvent(faults)
    return data
