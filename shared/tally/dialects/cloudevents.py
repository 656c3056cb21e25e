"""CloudEvents 1.0 (https://github.com/cloudevents/spec): structured, batched and binary.

`id`, `source` and `time` are the event's own, `subject` is the user, `data` holds the event's fields. `type`,
the extensions, and whatever in `data` is not a field of a usage event become labels. OpenMeter's `tokens`
with `type` input or output becomes the count of that name, else the total.
"""

from collections.abc import Mapping
from typing import TypeGuard

from tally.errors import FieldError
from tally.event import ALIASES, FIELDS, InvalidEvent

MEDIA_TYPES = frozenset({"application/cloudevents+json", "application/cloudevents-batch+json"})
_REQUIRED = ("id", "source", "specversion", "type")
_OWN = frozenset({*_REQUIRED, "time", "subject", "data", "datacontenttype", "dataschema", "data_base64"})
_COUNT_OF_TYPE = {"input": "input_tokens", "output": "output_tokens"}


def is_cloudevent(item: object) -> TypeGuard[dict[str, object]]:
    """Whether parsed JSON is a structured CloudEvent; no usage event has a field `specversion`."""
    return isinstance(item, dict) and "specversion" in item


def from_headers(headers: Mapping[str, str], data: object) -> dict[str, object] | None:
    """The structured form of a binary CloudEvent, or None where the headers have none (lower-case names)."""
    if "ce-specversion" not in headers:
        return None
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    return {**attributes, "data": data}


def to_raw_event(envelope: dict[str, object]) -> dict[str, object]:
    """The usage event that a CloudEvent carries.

    Raises:
        InvalidEvent: a required attribute is missing, or `data` is not an object.
    """
    faults: list[FieldError] = [
        {"field": name, "message": "is missing; every CloudEvent has it"}
        for name in _REQUIRED
        if not isinstance(envelope.get(name), str) or not envelope[name]
    ]
    data = envelope.get("data")
    if not isinstance(data, dict):
        faults.append({"field": "data", "message": "expected an object that holds the event's fields"})
    elif not isinstance(data.get("labels", {}), dict):
        faults.append({"field": "data.labels", "message": "expected an object of strings"})
    if faults or not isinstance(data, dict):
        raise InvalidEvent(faults)
    known = {name: value for name, value in data.items() if ALIASES.get(name, name) in FIELDS}
    labels: dict[str, object] = {"type": str(envelope["type"])}
    labels |= {name: value for name, value in envelope.items() if name not in _OWN and isinstance(value, str)}
    for name, value in data.items():
        if name == "tokens":
            known.setdefault(_COUNT_OF_TYPE.get(str(data.get("type")), "total_tokens"), value)
        elif name not in known:
            labels[f"data.{name}" if name in labels else name] = _label(value)
    if not isinstance(known.get("cost", {}), dict):
        known.setdefault("cost_usd", known.pop("cost"))
    raw: dict[str, object] = {"user_id": envelope.get("subject"), "time": envelope.get("time"), **known}
    return raw | {
        "id": envelope["id"],
        "source": envelope["source"],
        "labels": labels | data.get("labels", {}),
    }


def _label(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)[:2000]
