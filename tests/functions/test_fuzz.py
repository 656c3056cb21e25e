"""Whatever is sent, the answer is one that the contract knows: never a 500, never a traceback."""

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message as AsgiMessage

from functions.ingest import main as ingest_main
from tally.errors import Malformed
from tally.event import ALIASES, FIELDS
from tally.http.service import Handler
from tally.ingest import Ingest
from tally.message import read_push
from tally.principal import Principal
from tally.publisher import MemoryPublisher
from tally.recorder import read
from tally.usage.question import DIMENSIONS, METRICS, parse_question

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

NAMES = st.sampled_from([*sorted(FIELDS), *ALIASES, "specversion", "type", "subject", "data", "tokens"]) | st.text(
    max_size=5
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**14, 10**40),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(
        ["", "\0", "NaN", "1e5", "-1", "12", "2026-05-01", "9" * 5000, "x" * 2001, "²", "\udc80", "a" * 64]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=20
)
BODIES = st.one_of(
    st.binary(max_size=100),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(NAMES, VALUES, max_size=8).map(lambda value: json.dumps(value, ensure_ascii=True).encode()),
    st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=4).map(lambda value: json.dumps(value).encode()),
    st.text(st.sampled_from('{}[]":,0123456789eE+-. truefalsn\\u\n'), max_size=60).map(str.encode),
    st.sampled_from([b"[" * 500, b'{"a":' * 300, b'{"cost_usd":1e999999999}', b'{"time":1e-999999999}', b"9" * 5000]),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "content-type",
            "content-encoding",
            "content-length",
            "host",
            "idempotency-key",
            "ce-specversion",
            "ce-id",
            "ce-source",
            "ce-type",
            "ce-time",
            "ce-subject",
            "x-request-id",
            "traceparent",
        ]
    ),
    st.one_of(
        st.sampled_from(
            [
                "application/json",
                "application/x-ndjson",
                "application/cloudevents+json",
                "text/plain",
                "gzip",
                "br",
                "1.0",
                "%00",
                "%ff",
                "%",
                "2026-05-01",
                "x" * 500,
            ]
        ),
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20),
    ),
)


def call(target: Handler, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
    """The answer of a function in this process, to a request as the server would hand it over."""
    chunks: list[AsgiMessage] = [
        {"type": "http.request", "body": body[:7], "more_body": True},
        {"type": "http.request", "body": body[7:], "more_body": False},
    ]

    async def receive() -> AsgiMessage:
        return chunks.pop(0)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "scheme": "http", "server": ("127.0.0.1", 80), "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip

    async def answer() -> Response:
        return await target(Request(scope, receive))

    return asyncio.run(answer())


@pytest.fixture(scope="module")
def ingest() -> Iterator[tuple[Handler, Callable[[], MemoryPublisher]]]:
    """The target of function ingest with a publisher in memory, for whoever sends."""
    principal = Principal("1", "fuzz", frozenset({"ingest"}), organization_id="acme")
    kept: list[MemoryPublisher] = []

    class Anybody:
        async def authenticate(self, _request: object, _scope: str) -> Principal:
            return principal

    def fresh() -> Ingest:
        # Of the event loop of this one request.
        kept.append(MemoryPublisher())
        return Ingest(kept[-1], 400)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALLY_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        patch.setattr(ingest_main, "_authenticator", Anybody)
        patch.setattr(ingest_main, "_ingest", fresh)
        ingest_main._target.cache_clear()
        yield ingest_main._target(), lambda: kept[-1]
        ingest_main._target.cache_clear()


@MANY
@given(body=BODIES, headers=HEADERS, kind=st.sampled_from(["application/json", "application/x-ndjson", None]))
@example(body=b'{"response_time_ms": "fast"}', headers={}, kind="application/json")
@example(body=b'{"response_status": "' + b"9" * 5000 + b'"}', headers={}, kind="application/json")
@example(body=b'{"model": "m"}', headers={"host": "["}, kind="application/json")
@example(body=gzip.compress(b"{}")[:5], headers={"content-encoding": "gzip"}, kind="application/json")
def test_ingest_answers_whatever_it_is_sent(
    ingest: tuple[Handler, Callable[[], MemoryPublisher]], body: bytes, headers: dict[str, str], kind: str | None
) -> None:
    target, published = ingest
    headers = headers | ({"content-type": kind} if kind else {})
    for path in ("/v1/events", "/api/usage-log"):
        answer = call(target, "POST", path, headers, body)
        assert answer.status_code in {200, 202, 207, 400, 413, 415, 422}, answer.body
        content = json.loads(bytes(answer.body))
        if answer.status_code >= 400:
            assert content["status"] == answer.status_code
            assert content["detail"]
            assert answer.media_type == "application/problem+json"
            continue
        for data, attributes in published().messages:
            push = {"x-goog-pubsub-message-id": "1", "x-goog-pubsub-publish-time": datetime.now(UTC).isoformat()}
            contents = read(read_push(data, push | dict(attributes)), 400)
            assert contents.dead == []


@MANY
@given(method=st.text(min_size=1, max_size=10), path=st.text(max_size=20).map(lambda text: f"/{text}"), headers=HEADERS)
def test_ingest_answers_wherever_it_is_asked(
    ingest: tuple[Handler, Callable[[], MemoryPublisher]], method: str, path: str, headers: dict[str, str]
) -> None:
    path = path.encode(errors="replace").decode()
    assert call(ingest[0], method, path, headers, b"").status_code in {200, 404, 405, 415, 503}


@MANY
@given(
    data=BODIES,
    attributes=st.dictionaries(
        st.text(max_size=10) | st.sampled_from(["source", "tenant", "ce-id", "ce-specversion"]), st.text(max_size=5)
    ),
    gzipped=st.booleans(),
)
def test_record_takes_any_message_apart(data: bytes, attributes: dict[str, str], gzipped: bool) -> None:
    if gzipped:
        data, attributes = gzip.compress(data), attributes | {"content-encoding": "gzip"}
    headers = {"x-goog-pubsub-message-id": "1", "x-goog-pubsub-publish-time": NOW.isoformat(), **attributes}
    contents = read(read_push(data, headers), 400)
    assert contents.received or contents.dead
    assert all(letter.reason for letter in contents.dead)


@MANY
@given(body=BODIES | VALUES.map(lambda value: json.dumps({"message": value}).encode()), headers=HEADERS)
def test_a_push_is_read_or_refused(body: bytes, headers: dict[str, str]) -> None:
    with suppress(Malformed):
        read(read_push(body, headers), 400)


TIMES = st.sampled_from(["2026-05-01", "2026-05-01T00:00:00Z", "1777633200", "9" * 30, "0001-01-01", "9999-12-31", "²"])
PARAMETERS: list[st.SearchStrategy[tuple[str, Any]]] = [
    st.tuples(st.sampled_from(["metrics", "group_by", "order_by"]), st.sampled_from([*METRICS, *DIMENSIONS, "-cost"])),
    st.tuples(st.sampled_from(["from", "to"]), TIMES | st.text(max_size=12)),
    st.tuples(st.just("window"), st.sampled_from(["none", "15m", "hour", "day", "week", "month", "year"])),
    st.tuples(st.just("timezone"), st.sampled_from(["Asia/Kathmandu", "Europe", "../x", "\0", "UTC", "x" * 5000])),
    st.tuples(
        st.sampled_from(["limit", "cursor", "fill", "currency", *DIMENSIONS, "label:x", "x"]), st.text(max_size=8)
    ),
]


@MANY
@given(st.lists(st.one_of(PARAMETERS), max_size=6))
def test_a_question_is_read_or_refused(parameters: list[tuple[str, str]]) -> None:
    with suppress(Malformed):
        assert parse_question(parameters, NOW).metrics
