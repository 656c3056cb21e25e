"""Google's own Pub/Sub client, through its emulator and a push subscription, to record: what counts, what is kept."""

import gzip
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from tally.database import Store
from tally.local.emulator import EmulatorMissing, PubSubEmulator, set_up
from tests.support.budgets import make
from tests.support.functions import Functions, Stack, read_json, register_admin
from tests.support.postgres import Server, execute, rows, settings_of
from tests.support.store import record
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def emulator() -> Iterator[PubSubEmulator]:
    """The emulator. Where it is not installed the tests are skipped, but not in CI."""
    with tempfile.TemporaryDirectory(prefix="tally-test-") as folder:
        emulator = PubSubEmulator(Path(folder))
        try:
            emulator.start()
        except EmulatorMissing as missing:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(missing))
        try:
            yield emulator
        finally:
            emulator.stop()


class Chain:
    """ingest → topic → push → record → query."""

    def __init__(self, emulator: PubSubEmulator, functions: Functions, database_url: str) -> None:
        register_admin(database_url)
        record = functions.start("record", database_url)
        self.topic = set_up(emulator.host, f"project-{uuid.uuid4().hex[:8]}", f"{record.url}/push")
        own = {"topic": self.topic, "PUBSUB_EMULATOR_HOST": emulator.host}
        ingest, query = functions.start_all([("ingest", database_url, own), ("query", database_url, {})])
        self.stack = Stack(database_url, ingest, record, query, functions)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
            self._publisher = PublisherClient()

    def publish(self, data: bytes, **attributes: str) -> str:
        """The id that Pub/Sub gave the message."""
        message_id: str = self._publisher.publish(self.topic, data, **attributes).result(60)
        return message_id

    def requests(self, route: str) -> int:
        [row] = self.stack.usage(route=route, metrics="requests")["rows"]
        count: int = row["requests"]
        return count

    def wait_for(self, route: str, count: int) -> None:
        eventually(lambda: self.requests(route) >= count, f"{count} events of {route}")
        assert self.requests(route) == count

    def dead_letters(self, message_id: str) -> list[tuple[Any, ...]]:
        return rows(
            self.stack.database_url,
            "SELECT position, source, data, attributes, reason FROM dead_letters WHERE message_id = %s ORDER BY 1",
            (message_id,),
        )

    def close(self) -> None:
        self._publisher.stop()


@pytest.fixture(scope="module")
def chain(emulator: PubSubEmulator, postgres: Server, module_functions: Functions) -> Iterator[Chain]:
    url = postgres.create()
    chain = Chain(emulator, module_functions, url)
    yield chain
    chain.close()
    module_functions.stop_all()
    postgres.drop(url)


def event(route: str, **fields: object) -> bytes:
    return json.dumps({"route": route, **fields}).encode()


@pytest.mark.parametrize(
    ("route", "data", "attributes", "count"),
    [
        ("/single", event("/single"), {}, 1),
        ("/array", b"[" + event("/array") + b"," + event("/array") + b"]", {}, 2),
        ("/lines", event("/lines") + b"\n" + event("/lines") + b"\n" + event("/lines"), {}, 3),
        ("/gzip", gzip.compress(event("/gzip"), mtime=0), {"content-encoding": "gzip"}, 1),
        (
            "/structured",
            b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":' + event("/structured") + b"}",
            {"content-type": "application/cloudevents+json"},
            1,
        ),
        (
            "/binary",
            event("/binary"),
            {
                "ce-specversion": "1.0",
                "ce-id": "2",
                "ce-source": "s",
                "ce-type": "t",
                "content-type": "application/json",
            },
            1,
        ),
    ],
)
def test_a_published_message_counts_in_whatever_form(
    chain: Chain, route: str, data: bytes, attributes: dict[str, str], count: int
) -> None:
    chain.publish(data, **attributes)
    chain.wait_for(route, count)


def test_the_attribute_source_is_the_default_source(chain: Chain) -> None:
    own, given, none = event("/source", source="own"), event("/source"), event("/source")
    chain.publish(own, source="of-the-attribute")
    chain.publish(given, source="of-the-attribute")
    chain.publish(none)
    chain.wait_for("/source", 3)
    found = chain.stack.usage(route="/source", metrics="requests", group_by="source")["rows"]
    assert {row["source"]: row["requests"] for row in found} == {"own": 1, "of-the-attribute": 1, "pubsub": 1}


def test_the_same_id_published_twice_counts_once_and_another_source_is_another_event(chain: Chain) -> None:
    for source in ("a", "a", "b"):
        chain.publish(event("/twice", id="1"), source=source)
    chain.publish(event("/twice", id="last"))
    eventually(lambda: chain.requests("/twice") >= 3, "the last event")
    chain.wait_for("/twice", 3)


@pytest.mark.parametrize("data", [b"no event", b"\xff\xfe\x00", b"[]", b"{}", b"[" * 100])
def test_poison_is_kept_with_its_bytes_attributes_and_reason_and_does_not_come_again(chain: Chain, data: bytes) -> None:
    message_id = chain.publish(data, source="poisoner", kind="poison")
    eventually(lambda: chain.dead_letters(message_id), "the dead letter")
    [(_, source, kept, attributes, reason)] = chain.dead_letters(message_id)
    assert (source, bytes(kept), attributes["kind"]) == ("poisoner", data, "poison")
    assert reason


def test_a_bad_event_among_good_ones_is_kept_alone(chain: Chain) -> None:
    good, bad = event("/mixed"), event("/mixed", status="bad")
    message_id = chain.publish(b"[" + good + b"," + bad + b"," + good + b"]")
    chain.wait_for("/mixed", 2)
    eventually(lambda: chain.dead_letters(message_id), "the dead letter")
    [(position, _, kept, _, reason)] = chain.dead_letters(message_id)
    assert (position, json.loads(bytes(kept))) == (2, {"route": "/mixed", "status": "bad"})
    assert reason == "status: expected an integer"


def test_an_event_without_a_time_happened_when_it_was_published(chain: Chain) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    chain.publish(event("/when", id="when"))
    chain.wait_for("/when", 1)
    [(time, received_at)] = rows(
        chain.stack.database_url, "SELECT time, received_at FROM usage_events WHERE id = 'when'"
    )
    assert time == received_at
    assert before < time < datetime.now(UTC) + timedelta(seconds=5)


def test_what_ingest_took_arrives_through_pubsub(chain: Chain) -> None:
    events = [{"route": "/through", "id": str(number), "source": "client"} for number in range(250)]
    for part in (events[:100], events[50:200], events[200:], events[:10]):
        answer = chain.stack.send(part)
        assert (answer.status_code, answer.json()["accepted"]) == (202, len(part))
    chain.wait_for("/through", 250)


def test_a_crossed_budget_is_published_once_with_its_id_and_kind(
    emulator: PubSubEmulator, functions: Functions, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
    project = f"projects/project-{uuid.uuid4().hex[:8]}"
    topic, subscription = f"{project}/topics/notifications", f"{project}/subscriptions/watcher"
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        rollup = functions.start("rollup", database_url, notification_topic=topic, PUBSUB_EMULATOR_HOST=emulator.host)
        store = Store(settings_of(database_url), "tests", pool_size=1)
        made = make(store, name="month", amount=10, thresholds=[50, 100]).budget
        now = datetime.now(UTC)
        record(store, [{"id": "1", "source": "s", "route": "/", "time": now.isoformat(), "cost_usd": "5.5"}], now)
        store.dispose()
        assert rollup.post("/", None).json()["not_told"] == 1  # there is no such topic yet
        publisher.create_topic(name=topic)
        subscriber.create_subscription(name=subscription, topic=topic)
        for expected in (1, 0):
            execute(database_url, "UPDATE deliveries SET next_attempt_at = now() WHERE told_at IS NULL")
            assert rollup.post("/", None).json()["told"] == expected
        pulled = subscriber.pull(subscription=subscription, max_messages=10, timeout=30).received_messages
    [message] = [one.message for one in pulled]
    body = read_json(message.data)
    [(notification_id,)] = rows(database_url, "SELECT id FROM notifications")
    assert dict(message.attributes) == {"id": notification_id, "type": "budget.crossed"}
    assert (body["type"], body["data"]["budget_id"]) == ("budget.crossed", made.id)
    assert (body["data"]["threshold"], body["data"]["spent"]) == (50, Decimal("5.5"))


def test_what_could_not_be_stored_comes_again_and_counts_once(
    emulator: PubSubEmulator, functions: Functions, database_url: str
) -> None:
    chain = Chain(emulator, functions, database_url)
    chain.stack.send({"route": "/again", "id": "0"})
    chain.wait_for("/again", 1)
    chain.stack.record.kill()
    assert chain.stack.send([{"route": "/again", "id": str(number)} for number in range(5)]).status_code == 202
    chain.publish(event("/again"))
    chain.stack.record.start()
    chain.wait_for("/again", 6)
    chain.close()
