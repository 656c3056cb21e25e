"""record answers a push when its events are committed, keeps what it cannot read, and refuses what is no push."""

import gzip
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.functions import PushMessage, Stack, write_json
from tests.support.postgres import rows

NOW = datetime.now(UTC)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def source() -> str:
    """A source that no other test uses."""
    return f"source-{uuid.uuid4()}"


def push(stack: Stack, events: object, *, wrapped: bool = True, published: datetime = NOW, **attributes: str) -> int:
    data = events if isinstance(events, bytes) else write_json(events)
    return stack.push(PushMessage(str(uuid.uuid4()), published, data, attributes), wrapped=wrapped).status_code


def stored(stack: Stack, source: str) -> list[tuple[Any, ...]]:
    query = "SELECT id, time FROM usage_events JOIN dimensions ON key = source_key WHERE value = %s ORDER BY id"
    return rows(stack.database_url, query, [source])


def dead(stack: Stack, source: str) -> list[tuple[Any, ...]]:
    query = "SELECT position, reason, data FROM dead_letters WHERE source = %s ORDER BY position"
    return rows(stack.database_url, query, [source])


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_push_is_answered_204_when_its_events_can_be_read(stack: Stack, source: str, wrapped: bool) -> None:
    events = [{"id": "1", "route": "/"}, {"id": "2", "source": source, "model": "gpt-4", "time": NOW.isoformat()}]
    assert push(stack, events, wrapped=wrapped, source=source) == 204
    assert stored(stack, source) == [("1", NOW), ("2", NOW)]
    assert stack.usage(source=source)["rows"][0]["requests"] == 2


def test_wrapped_unwrapped_or_posted_an_event_is_the_same_event(stack: Stack, source: str) -> None:
    event = {"id": "1", "source": source, "route": "/"}
    earlier = NOW - timedelta(hours=3)
    assert push(stack, event, published=earlier) == 204
    assert push(stack, [event], wrapped=False) == 204
    assert stack.send(event).status_code == 202
    assert stored(stack, source) == [("1", earlier)]


@pytest.mark.parametrize(
    ("data", "attributes"),
    [
        (b'{"id":"1","route":"/"}\n{"id":"2","route":"/"}\n', {}),
        (b'\n{"id":"1","route":"/"}\n\n{"id":"2","route":"/"}', {"content-type": "application/x-ndjson"}),
        (gzip.compress(b'[{"id":"1","route":"/"},{"id":"2","route":"/"}]', mtime=0), {"content-encoding": "gzip"}),
    ],
    ids=["lines", "lines by content type", "gzip"],
)
def test_a_message_may_be_lines_or_gzip(stack: Stack, source: str, data: bytes, attributes: dict[str, str]) -> None:
    message = PushMessage(f"{source}-1", NOW, data, {"source": source, **attributes})
    assert stack.push(message).status_code == 204
    assert [event_id for event_id, _ in stored(stack, source)] == ["1", "2"]


def test_what_cannot_be_read_is_kept_and_answered_204(stack: Stack, source: str) -> None:
    good = {"id": "1", "route": "/"}
    assert push(stack, [good, {"id": "2", "rout": "/"}], source=source) == 204
    assert push(stack, b"\xff\x00 not json", source=source) == 204
    assert [event_id for event_id, _ in stored(stack, source)] == ["1"]
    letters = dead(stack, source)
    assert [(position, bytes(data)) for position, _, data in letters] == [
        (0, b"\xff\x00 not json"),
        (2, b'{"id":"2","rout":"/"}'),
    ]
    assert "route" in letters[1][1]


def test_a_message_that_comes_again_is_one_dead_letter(stack: Stack, source: str) -> None:
    message = PushMessage(f"{source}-poison", NOW, b"[1, 2]", {"source": source})
    for wrapped in (True, True, False):
        assert stack.push(message, wrapped=wrapped).status_code == 204
    assert [position for position, _, _ in dead(stack, source)] == [1, 2]


def test_many_pushes_at_once_are_all_stored(stack: Stack, source: str) -> None:
    def one(number: int) -> int:
        return push(stack, [{"id": f"{number}-{part}", "source": source, "route": "/"} for part in range(5)])

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(one, range(100))) == {204}
    assert len(stored(stack, source)) == 500


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"no json", b'{"message": 5}', b'{"message": {"data": "e30="}}',
     b'{"message": {"messageId": "1", "publishTime": "yesterday", "data": "e30="}}',
     b'{"message": {"messageId": "1", "publishTime": "2026-01-01T00:00:00Z", "data": "%%"}}',
     b'{"message": {"messageId": "1", "publishTime": "2026-01-01T00:00:00Z", "data": "", "attributes": {"a": 1}}}'],
)  # fmt: skip
def test_what_is_no_push_is_a_400(stack: Stack, body: bytes) -> None:
    answer = stack.record.post("/push", None, content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_push_is_a_post(stack: Stack) -> None:
    answer = stack.record.get("/push", None)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert stack.record.post("/other", None).status_code == 404


def test_a_push_over_its_limit_is_a_413(stack: Stack) -> None:
    assert stack.record.post("/push", None, content=bytes(16 * 1024 * 1024), headers=JSON).status_code == 413
