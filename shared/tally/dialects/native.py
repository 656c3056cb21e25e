"""Tally's own format: one event, an array of events, or one event a line (NDJSON)."""

from collections.abc import Sequence

from tally import jsontext
from tally.errors import Malformed, PayloadTooLarge
from tally.event import InvalidEvent

JSON = "application/json"
MAX_EVENTS = 1000
NDJSON_MEDIA_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


class UnreadableLine(InvalidEvent):
    """A line of NDJSON that is not JSON; `data` is the line."""

    def __init__(self, data: bytes, message: str) -> None:
        super().__init__([{"field": "", "message": message}])
        self.data = data


def read_json(body: bytes, max_depth: int = jsontext.MAX_DEPTH) -> list[object]:
    """The items of a JSON body: those of an array, or the one value.

    Raises:
        Malformed: not JSON, or nested deeper than `max_depth`.
    """
    value = jsontext.parse(body, max_depth)
    return value if isinstance(value, list) else [value]


def read_lines(body: bytes) -> list[object]:
    """The items of an NDJSON body; blank lines are passed over, an unreadable one is an `UnreadableLine`.

    Raises:
        PayloadTooLarge: more than 1,000 lines; none is read.
    """
    lines = [line for line in body.split(b"\n") if line.strip()]
    require_few(lines)
    return [_read_line(line) for line in lines]


def require_few(items: Sequence[object]) -> None:
    """Takes what one request or message may hold.

    Raises:
        PayloadTooLarge: more than 1,000 events.
    """
    if len(items) > MAX_EVENTS:
        raise PayloadTooLarge(f"{len(items)} events in one request; at most {MAX_EVENTS} are taken.")


def _read_line(line: bytes) -> object:
    try:
        return jsontext.parse(line)
    except Malformed as error:
        return UnreadableLine(line, error.detail)
