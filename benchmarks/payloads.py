"""The same calls of system D's gateway as each side takes them."""

import base64
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import orjson

from benchmarks.load import http_request
from tally.local.sample import generate, sample_tokens

SEED = 20_260_501
TOKENS = tuple(sample_tokens(SEED))
# Both sides get what system D reports, no more.
_FIELDS = (
    "id",
    "source",
    "time",
    "token_hash",
    "route",
    "method",
    "status",
    "response_time_ms",
    "error_message",
    "ip_address",
    "user_agent",
)
_NAIVE_NAMES = {
    "time": "timestamp",
    "token_hash": "token_hash",
    "route": "route",
    "method": "request_method",
    "status": "response_status",
    "response_time_ms": "response_time_ms",
    "error_message": "error_message",
    "ip_address": "ip_address",
    "user_agent": "user_agent",
}

Event = dict[str, Any]
Item = TypeVar("Item")
MOST_RUNS = 30


def end_of(started: datetime, run: int) -> datetime:
    """When the events of a run end: a day after those of the run before; the last possible run ends now."""
    return started - timedelta(days=MOST_RUNS - run)


def calls(started: datetime, run: int, count: int) -> Iterator[Event]:
    """`count` distinct calls of the day of a run."""
    for event in generate(count, 1, SEED, end_of(started, run), sources=["gateway"]):
        yield {name: event[name] for name in _FIELDS if name in event}


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size`; a remainder is left out."""
    iterator = iter(items)
    while len(chunk := list(islice(iterator, size))) == size:
        yield chunk


def push(events: Sequence[Event]) -> bytes:
    """A request with one Pub/Sub message in the envelope of a push subscription."""
    published = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message_id = str(random.getrandbits(52))
    message = {
        "attributes": {},
        "data": base64.b64encode(_json(events)).decode(),
        "messageId": message_id,
        "message_id": message_id,
        "publishTime": published,
        "publish_time": published,
    }
    body = orjson.dumps({"message": message, "subscription": "projects/bench/subscriptions/record"})
    return http_request("POST", "/push", body, content_type="application/json")


def ingest(events: Sequence[Event], token: str) -> bytes:
    """A request to ingest."""
    return http_request(
        "POST",
        "/v1/events",
        _json(events),
        content_type="application/json",
        authorization=f"Bearer {token}",
    )


def naive(events: Sequence[Event]) -> bytes:
    """A request to the naive service with one call."""
    [event] = events
    body = orjson.dumps(_naive_body(event))
    return http_request("POST", "/api/usage-log", body, content_type="application/json")


def naive_batch(events: Sequence[Event], path: str = "/api/usage-log/batch") -> bytes:
    """A request to the naive service with a list of calls."""
    body = orjson.dumps([_naive_body(event) for event in events])
    return http_request("POST", path, body, content_type="application/json")


def naive_each(events: Sequence[Event]) -> bytes:
    """The same to the endpoint that does for each what it does for a single one."""
    return naive_batch(events, "/api/usage-log/each")


def _json(events: Sequence[Event]) -> bytes:
    """One event as an object, several as an array."""
    return orjson.dumps(events[0] if len(events) == 1 else events)


def _naive_body(event: Event) -> Event:
    return {theirs: event[ours] for ours, theirs in _NAIVE_NAMES.items() if ours in event}
