"""What ingest takes, record reads: an event that was answered with 202 never becomes a dead letter."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tally import intake, jsontext
from tally.errors import Malformed, Unprocessable
from tally.event import FIELDS, INTEGERS, MAX_EVENT_BYTES, MAX_INTEGER, Window
from tally.ingest import Accepted, Ingest
from tally.message import Message, read_push, wrap
from tally.principal import Principal
from tally.publisher import MemoryPublisher
from tally.recorder import Contents, read

RECEIVED = datetime(2026, 5, 1, 12, tzinfo=UTC)
RETENTION_DAYS = 400
OLDEST = RECEIVED - timedelta(days=RETENTION_DAYS)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
FULL = st.integers(0, 2000).map(lambda size: "ы\x01"[size % 2] * size)
COUNT = st.integers(0, MAX_INTEGER) | st.sampled_from([0, 1, MAX_INTEGER])
MONEY = st.one_of(
    st.decimals(-(10**15), 10**15, allow_nan=False, places=10),
    st.integers(-(10**15), 10**15).map(Decimal),
    st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-999, 999), st.integers(-30, 12)),
)
TIMES = st.one_of(
    st.datetimes(OLDEST.replace(tzinfo=None), RECEIVED.replace(tzinfo=None), timezones=st.just(UTC)).map(
        datetime.isoformat
    ),
    st.integers(int(OLDEST.timestamp()), int(RECEIVED.timestamp())),
    st.integers(int(OLDEST.timestamp()) * 1000, int(RECEIVED.timestamp()) * 1000 + 600_000),
    st.sampled_from(["2026-05-01", "2026-05-01T12:10:00Z", "2025-03-27T12:00:00Z", "2026-05-01T17:40:00+05:45"]),
)
NUMBERS = st.one_of(
    st.integers(-(10**299), 10**299),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(), st.integers(-250, 250)),
)
METADATA_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels - 1):
        inner = {"a": inner}
    return inner


METADATA_OBJECTS = st.dictionaries(TEXT, METADATA_VALUES, max_size=3) | st.integers(25, 31).map(nested)
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "id": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200),
    "source": TEXT,
    "time": TIMES,
    "token_hash": st.text("0123456789abcdefABCDEF", min_size=64, max_size=64),
    "status": st.integers(100, 599),
    "response_time_ms": MONEY.map(abs),
    "cost": st.fixed_dictionaries({"amount": MONEY | MONEY.map(str), "currency": st.sampled_from(["EUR", "usd"])}),
    "cost_usd": MONEY | MONEY.map(str),
    "cost_rub": MONEY | MONEY.map(str),
    "labels": st.dictionaries(TEXT.filter(bool), TEXT, max_size=5),
    "request_metadata": METADATA_OBJECTS,
    "response_metadata": METADATA_OBJECTS,
    "error_message": FULL,
    "method": st.sampled_from(["get", "POST", "ß", "ŉ"]) | TEXT,
}
EVERY_FIELD = {
    name: st.none() | SPECIAL.get(name, COUNT if name in INTEGERS else TEXT | FULL) for name in sorted(FIELDS)
}


def without_most_contradictions(event: dict[str, Any]) -> dict[str, Any]:
    """Else hardly an event would be taken, and little be proved."""
    cached, cost = event.get("cached_input_tokens"), event.get("cost")
    if cached:
        event["input_tokens"] = max(cached, event.get("input_tokens") or 0)
    if cost and event.get("status") != 500:
        event.pop(f"cost_{cost['currency'].lower()}", None)
    return {"operation": "o"} | event


EVENTS = st.fixed_dictionaries({}, optional=EVERY_FIELD).map(without_most_contradictions)
CLOUDEVENTS = st.builds(
    lambda attributes, data: (
        {"specversion": "1.0", "id": "e", "source": "s", "type": "t"} | attributes | {"data": data}
    ),
    st.fixed_dictionaries({}, optional={"subject": TEXT, "time": TIMES.filter(lambda one: isinstance(one, str))}),
    EVENTS,
)
PRINCIPALS = st.builds(
    Principal,
    token_id=st.just("1"),
    name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200),
    scopes=st.just(frozenset({"ingest"})),
    organization_id=st.none() | st.just("acme") | st.just("ы" * 2000),
    team_id=st.none() | st.just("red"),
    user_id=st.none() | st.just("anna"),
)


def taken(body: bytes, kind: str, principal: Principal, later: timedelta) -> tuple[Accepted | None, list[Contents]]:
    """What ingest answers (None: nothing was good), and what record reads of each message that it published."""
    publisher = MemoryPublisher()
    headers = {"content-type": kind}

    async def send() -> Accepted:
        return await Ingest(publisher, RETENTION_DAYS).events(body, headers, principal, RECEIVED)

    try:
        accepted = asyncio.run(send())
    except Unprocessable:
        accepted = None
    return accepted, [
        read(read_push(wrap(Message(str(number), RECEIVED + later, attributes, data)), {}), RETENTION_DAYS)
        for number, (data, attributes) in enumerate(publisher.messages)
    ]


def check_that_record_reads_what_ingest_took(
    body: bytes, kind: str, principal: Principal, later: timedelta = timedelta()
) -> int:
    """How many were taken."""
    accepted, contents = taken(body, kind, principal, later)
    assert [letter.reason for one in contents for letter in one.dead] == []
    received = [one for content in contents for one in content.received]
    if accepted is None:
        assert received == []
        return 0
    assert [one.event["id"] for one in received] == accepted.ids
    assert {one.tenant for one in received} == {principal.organization_id or ""}
    window = Window.at_receipt(RECEIVED, RETENTION_DAYS)
    rejected = {one.index for one in accepted.rejected}
    batch = intake.take(intake.read_items(body, kind, {}), body, window, MAX_EVENT_BYTES)
    expected = [dict(event) for index, event in batch.events if index not in rejected]
    for event, event_id in zip(expected, accepted.ids, strict=True):
        bound = {name: getattr(principal, name) for name in ("organization_id", "team_id", "user_id")}
        defaults = {"id": event_id, "source": principal.name, **bound}
        for name, value in defaults.items():
            if value is not None:
                event.setdefault(name, value)
    assert [dict(one.event) for one in received] == expected
    return len(received)


def as_json(value: object) -> bytes:
    return jsontext.dump(value)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(EVENTS, min_size=1, max_size=3),
    st.sampled_from(["application/json", "application/x-ndjson"]),
    PRINCIPALS,
    st.integers(-20_000, 120_000).map(lambda milliseconds: timedelta(milliseconds=milliseconds)),
)
def test_what_ingest_takes_record_reads_unchanged(
    events: list[dict[str, Any]], kind: str, principal: Principal, later: timedelta
) -> None:
    lines = kind == "application/x-ndjson"
    body = b"\n".join(map(as_json, events)) if lines else as_json(events if len(events) > 1 else events[0])
    try:
        check_that_record_reads_what_ingest_took(body, kind, principal, later)
    except Malformed as refused:
        assert "nested deeper" in refused.detail  # noqa: PT017 - an array is a level of its own


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(CLOUDEVENTS, PRINCIPALS)
def test_what_ingest_takes_of_a_cloudevent_record_reads_unchanged(event: dict[str, Any], principal: Principal) -> None:
    try:
        check_that_record_reads_what_ingest_took(as_json(event), "application/cloudevents+json", principal)
    except Malformed as refused:
        assert "nested deeper" in refused.detail  # noqa: PT017 - an envelope is a level of its own


ANYBODY = Principal("1", "n" * 200, frozenset({"ingest"}), organization_id="acme", user_id="anna")


def test_an_event_of_every_size_around_64_kb_is_taken_and_read_or_refused() -> None:
    start, end = '{"model":"m","time":1777633200,"prompt_tokens":1,"request_metadata":{"text":"', '"}}'
    sizes = range(MAX_EVENT_BYTES - 1500, MAX_EVENT_BYTES + 100, 50)
    outcomes = []
    for size in sizes:
        body = (start + "x" * (size - len(start) - len(end)) + end).encode()
        outcomes.append(check_that_record_reads_what_ingest_took(body, "application/json", ANYBODY))
    assert outcomes == [1 if size <= MAX_EVENT_BYTES else 0 for size in sizes]


def test_numbers_that_are_longer_when_written_out_are_taken_and_read_or_refused() -> None:
    for number in ("1e299", "1e-299", "1e1", "0.1", "9" * 300):
        for count in (1, 100, 65_000 // (len(number) + 1) - 20):
            body = ('{"model":"m","request_metadata":{"n":[' + ",".join([number] * count) + "]}}").encode()
            check_that_record_reads_what_ingest_took(body, "application/json", ANYBODY)


def test_the_deepest_event_is_read_beside_others() -> None:
    deepest = {"model": "m", "request_metadata": nested(31)}
    body = b"\n".join([as_json({"model": "a"}), as_json(deepest), as_json({"model": "b"})])
    assert check_that_record_reads_what_ingest_took(body, "application/x-ndjson", ANYBODY) == 3


def test_the_oldest_and_the_latest_event_are_read_when_they_are_published_later_or_the_clocks_differ() -> None:
    events = [{"model": "m", "time": time.isoformat()} for time in (OLDEST, RECEIVED + timedelta(minutes=10))]
    for later in (timedelta(seconds=-25), timedelta(), timedelta(minutes=2)):
        assert check_that_record_reads_what_ingest_took(as_json(events), "application/json", ANYBODY, later) == 2


def test_a_thousand_large_events_are_cut_into_messages_that_can_be_sent() -> None:
    events = [{"model": "m", "request_metadata": {"text": "x" * 9000}} for _ in range(1000)]
    publisher = MemoryPublisher()

    async def send() -> Accepted:
        return await Ingest(publisher, RETENTION_DAYS).events(
            as_json(events), {"content-type": "application/json"}, ANYBODY, RECEIVED
        )

    assert len(asyncio.run(send()).ids) == 1000
    assert len(publisher.messages) > 1
    assert max(len(data) for data, _ in publisher.messages) < 9_000_000
