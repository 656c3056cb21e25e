"""What another system says about a call may contradict itself. What fits together is taken; the rest becomes labels."""

from collections.abc import Mapping

from tally import jsontext
from tally.event import ALIASES, FIELDS, INTEGERS, MAX_INTEGER

_LONGEST_LABEL = 2000


def consistent(raw: Mapping[str, object]) -> dict[str, object]:
    """`raw` under Tally's names, without what contradicts what came before it; that is in `labels`, as text.

    Contradictions are another value under another name of the same field, an integer above 10^15, and more cached
    input than input. A label that was given wins over one that is made here.
    """
    event: dict[str, object] = {}
    rest: dict[str, object] = {}
    for name, value in raw.items():
        field = ALIASES.get(name, name)
        if field not in FIELDS:
            event[name] = value
        elif value is None or value == "":
            continue
        elif (field in event and event[field] != value) or (field in INTEGERS and _is_too_large(value)):
            rest[name] = value
        else:
            event[field] = value
    cached, read = event.get("cached_input_tokens"), event.get("input_tokens", 0)
    if isinstance(cached, int) and isinstance(read, int) and cached > read:
        rest["cached_input_tokens"] = event.pop("cached_input_tokens")
    labels = event.get("labels", {})
    if rest and isinstance(labels, dict):
        event["labels"] = {name: label(value) for name, value in rest.items()} | labels
    return event


def label(value: object) -> str:
    """A JSON value as the text of a label: a string as it is, anything else as JSON, cut at 2,000 characters."""
    if value is None:
        return ""
    return (value if isinstance(value, str) else jsontext.dump(value).decode())[:_LONGEST_LABEL]


def _is_too_large(value: object) -> bool:
    return isinstance(value, int) and abs(value) > MAX_INTEGER
