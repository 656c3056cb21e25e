"""Tally's own format: one event, an array of events, or one event a line (NDJSON)."""

from tally import jsontext
from tally.errors import Malformed
from tally.event import InvalidEvent

JSON = "application/json"
NDJSON_MEDIA_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


class UnreadableLine(InvalidEvent):
    """A line of NDJSON that is not JSON; `data` is the line."""

    def __init__(self, data: bytes, message: str) -> None:
        super().__init__([{"field": "", "message": message}])
        self.data = data


def read_json(body: bytes) -> list[object]:
    """The items of a JSON body: those of an array, or the one value.

    Raises:
        Malformed: not JSON.
    """
    value = jsontext.parse(body)
    return value if isinstance(value, list) else [value]


def read_lines(body: bytes) -> list[object]:
    """The items of an NDJSON body; blank lines are passed over, an unreadable one is an `UnreadableLine`."""
    return [_read_line(line) for line in body.split(b"\n") if line.strip()]


def _read_line(line: bytes) -> object:
    try:
        return jsontext.parse(line)
    except Malformed as error:
        return UnreadableLine(line, error.detail)
