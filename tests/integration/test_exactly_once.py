"""Whatever is sent again, killed or restarted: every event counts once, and every figure says so.

The functions are real processes, the database is a real server. Clients and Pub/Sub send again until they are told
that it is done; the test starts again what it has killed.
"""

import itertools
import random
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tally.database import Store
from tally.rollup import fold_step
from tests.support.events import random_event
from tests.support.functions import Functions, PushMessage, Stack, read_json, running_functions, start_stack, write_json
from tests.support.oracle import Oracle, Question, sort_key
from tests.support.postgres import Server, running_server, scalar, settings_of
from tests.support.waiting import eventually

CONNECTIONS = 4
METRICS = ("requests", "errors", "total_tokens", "cost", "unpriced_requests", "max_response_time_ms", "unique_users")
QUESTIONS = (
    {"group_by": ("route", "status")},
    {"group_by": ("user_id", "model"), "window": "day", "timezone": "Asia/Kathmandu"},
    {"group_by": ("token",), "window": "hour"},
    {"group_by": ("team_id",), "currency": "RUB"},
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that is restarted under the functions."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def disturbed(server: Server) -> Iterator[Stack]:
    """A stack whose parts are killed."""
    with running_functions() as functions:
        yield start_stack(functions, server.create())


class Sending:
    """Sends things on several connections, each again and again until it is confirmed."""

    def __init__(self, work: Sequence[Callable[[], httpx.Response]]) -> None:
        self._work = work
        self._waiting = iter(work)
        self._lock = threading.Lock()
        self.begun = 0

    def run(self, disturbances: Sequence[Callable[[], None]]) -> None:
        """Sends everything; the disturbances come one after the other while it is being sent."""
        with ThreadPoolExecutor(CONNECTIONS + 1) as pool:
            senders = [pool.submit(self._send) for _ in range(CONNECTIONS)]
            disturbing = pool.submit(self._disturb, disturbances, senders)
            for done in [disturbing, *senders]:
                done.result()

    def _send(self) -> None:
        while True:
            with self._lock:
                send = next(self._waiting, None)
                self.begun += 1
            if send is None:
                return
            eventually(partial(confirmed, send), "a confirmation")

    def _disturb(self, disturbances: Sequence[Callable[[], None]], senders: Sequence[Future[None]]) -> None:
        for number, disturb in enumerate(disturbances):
            part = len(self._work) * number // len(disturbances)
            eventually(
                lambda part=part: self.begun >= part or all(sender.done() for sender in senders),  # type: ignore[misc]
                "the next part is being sent",
            )
            disturb()


def confirmed(send: Callable[[], httpx.Response]) -> bool:
    """Whether it is done; a refusal says when to come again."""
    try:
        answer = send()
    except httpx.TransportError:
        return False
    if not answer.is_success:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
    return answer.is_success


def ways(
    stack: Stack, events: list[dict[str, Any]], rng: random.Random, names: Iterator[int]
) -> Iterator[Callable[[], httpx.Response]]:
    """Calls that send each of `events` 1 to 5 times, over either path, some together, in any order."""
    sent = [event for event in events for _ in range(rng.randint(1, 5))]
    rng.shuffle(sent)
    while sent:
        size = rng.choice([1, 1, 2, 7, 30])
        part, sent = sent[:size], sent[size:]
        body = write_json(part if len(part) > 1 or rng.random() < 0.5 else part[0])
        if rng.random() < 0.5:
            yield partial(stack.ingest.post, "/v1/events", content=body, headers={"Content-Type": "application/json"})
        else:
            message = PushMessage(f"message-{next(names)}", datetime.now(UTC), body, {})
            yield partial(stack.push, message, wrapped=rng.random() < 0.5)


def made_up(rng: random.Random, organization: str, number: int) -> list[dict[str, Any]]:
    """Distinct events of an organization of their own, of the last 40 days."""
    now = datetime.now(UTC)
    return [
        random_event(rng, now - timedelta(seconds=rng.uniform(0, 40 * 86400)), f"{organization}-{rng.randint(1, 2)}")
        | {"organization_id": organization}
        for _ in range(number)
    ]


def check(stack: Stack, organization: str, events: list[dict[str, Any]]) -> None:
    """Every figure of the organization equals a count of the distinct events."""
    now = datetime.now(UTC)
    oracle = Oracle()
    for event in events:
        oracle.add(event, now)
    span = (str((now - timedelta(days=45)).date()), str((now + timedelta(days=2)).date()))
    for asked in QUESTIONS:
        question = Question(METRICS, range=span, filters={"organization_id": [organization]}, **asked)
        answer = stack.query.get("/v1/usage", params=question.parameters())
        assert answer.status_code == 200, answer.text
        rows = sorted(read_json(answer.content)["rows"], key=lambda row: sort_key(question, row))
        assert rows == oracle.usage(question, now)


def kill_record(stack: Stack, _server: Server) -> None:
    stack.record.kill()
    stack.record.start()
    stack.record.wait_until_live()


def restart_postgres(_stack: Stack, server: Server) -> None:
    server.restart_at_once()


def kill_both(stack: Stack, server: Server) -> None:
    stack.record.kill()
    server.restart_at_once()
    stack.record.start()
    stack.record.wait_until_live()


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    seed=st.integers(0, 2**32),
    number=st.integers(20, 120),
    disturbances=st.lists(st.sampled_from([kill_record, restart_postgres, kill_both]), min_size=1, max_size=3),
)
def test_every_event_counts_once_whatever_is_sent_again_killed_or_restarted(
    disturbed: Stack,
    server: Server,
    seed: int,
    number: int,
    disturbances: list[Callable[[Stack, Server], None]],
) -> None:
    rng = random.Random(seed)
    organization = f"organization-{uuid.uuid4()}"
    events = made_up(rng, organization, number)
    work = list(ways(disturbed, events, rng, itertools.count(rng.getrandbits(60))))
    store = Store(settings_of(disturbed.database_url), "tests fold", pool_size=1)
    Sending(work).run([partial(disturb, disturbed, server) for disturb in disturbances])
    fold_step(store, events=rng.choice([10, 1000]))
    check(disturbed, organization, events)
    while fold_step(store):
        pass
    check(disturbed, organization, events)
    store.dispose()
    count = "SELECT count(*) FROM usage_events JOIN dimensions ON key = organization_key WHERE value = %s"
    assert scalar(disturbed.database_url, count, [organization]) == number


def test_what_was_confirmed_before_a_kill_is_stored(disturbed: Stack, server: Server) -> None:
    """204 is answered after the commit: nothing that was confirmed needs to be sent again."""
    source = f"source-{uuid.uuid4()}"
    stop = threading.Event()
    confirmed: list[str] = []

    def send(connection: int) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            event = {"id": f"{connection}-{number}", "source": source, "route": "/"}
            message = PushMessage(f"{source}-{connection}-{number}", datetime.now(UTC), write_json(event), {})
            try:
                if disturbed.push(message).status_code == 204:
                    confirmed.append(event["id"])
            except httpx.TransportError:
                return  # killed; nothing is sent again

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        senders = [pool.submit(send, connection) for connection in range(CONNECTIONS)]
        try:
            eventually(lambda: len(confirmed) > 100, "100 confirmations")
            disturbed.record.kill()
        finally:
            stop.set()
        for sender in senders:
            sender.result()
    server.restart_at_once()
    disturbed.record.start()
    disturbed.record.wait_until_live()
    stored = "SELECT array_agg(id) FROM usage_events JOIN dimensions ON key = source_key WHERE value = %s"
    assert set(confirmed) <= set(scalar(disturbed.database_url, stored, [source]))


def test_what_postgres_had_not_committed_is_not_confirmed(server: Server, functions: Functions) -> None:
    """A push that waits for the database when that goes away is refused, and comes again."""
    url = server.create()
    record = functions.start("record", url)
    event = {"id": "1", "source": "s", "route": "/"}
    body, headers = PushMessage("m1", datetime.now(UTC), write_json(event), {}).wrapped()
    with closing(psycopg.connect(url)) as other, ThreadPoolExecutor(1) as pool:
        other.execute("LOCK TABLE usage_events")
        push = pool.submit(record.post, "/push", None, content=body, headers=headers)
        waiting = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        waiting += " WHERE NOT granted AND application_name = 'tally record'"
        eventually(lambda: scalar(url, waiting), "record waits for the lock")
        assert not push.done()
        server.end_at_once()
        assert push.result().status_code == 503
    server.restart_at_once()
    assert scalar(url, "SELECT count(*) FROM usage_events") == 0
    assert record.post("/push", None, content=body, headers=headers).status_code == 204
    assert scalar(url, "SELECT count(*) FROM usage_events") == 1
