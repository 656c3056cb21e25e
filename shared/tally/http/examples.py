"""Examples of answers in the description of the interface."""

from collections.abc import Mapping, Sequence
from typing import Any

from tally.http.streaming import FORMATS, Record

_JSON_TYPES = ((dict, "object"), (list, "array"))


def example(
    answer: Mapping[str, Any], *, columns: Sequence[str] = (), records: Sequence[Record] = ()
) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint whose 200 looks like `answer`, or like `records` under `columns` as a file."""
    content: dict[str, Any] = {"application/json": {"schema": _shape(answer), "example": answer}}
    if columns:
        for form in FORMATS.values():
            text = (form.head(columns) + form.body(columns, records)).decode()
            content[form.media_type] = {"schema": {"type": "string"}, "example": text}
    return {200: {"description": "The answer.", "content": content}}


def _shape(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What all answers have in common: the same fields, and lists and objects in the same ones."""
    return {"type": "object", "required": [*answer], "properties": {name: _kind(part) for name, part in answer.items()}}


def _kind(part: object) -> dict[str, str]:
    return next(({"type": name} for kind, name in _JSON_TYPES if isinstance(part, kind)), {})
