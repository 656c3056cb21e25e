"""The recorder stores each event once, keeps what cannot be read, and never lets events wait for each other forever."""

import itertools
import random
import threading
import traceback
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from tally.database import Store, statements
from tally.dimensions import Dimensions
from tally.errors import DataRefused, StoreUnavailable
from tally.estimation import Estimation
from tally.recorder import RECORDER_OPTIONS, Contents, Outcome, Recorder
from tally.rows import Costing, dedupe_key
from tally.settings import Settings
from tests.support.events import random_event, random_events
from tests.support.functions import write_json
from tests.support.oracle import Oracle
from tests.support.postgres import Server, execute, rows, scalar, settings_of
from tests.support.store import RETENTION_DAYS, contents_of, record, recorder_store
from tests.support.waiting import eventually

CONNECTIONS = 4
NUL = "\\u0000"


@pytest.fixture
def recorder(settings: Settings) -> Iterator[Recorder]:
    store = recorder_store(settings)
    yield Recorder(store, RETENTION_DAYS)
    store.dispose()


@pytest.fixture
def published() -> datetime:
    return datetime.now(UTC)


def stored(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT id, time, route_key IS NOT NULL, status FROM usage_events ORDER BY time, id")


def count(url: str) -> int:
    return int(scalar(url, "SELECT count(*) FROM usage_events"))


def event(**fields: Any) -> dict[str, Any]:
    return {"id": "1", "source": "s", "route": "/", **fields}


def concurrently(work: Sequence[Any]) -> None:
    """Runs callables at once, each on its own thread, all beginning together; raises what they raise."""
    barrier = threading.Barrier(len(work))

    def begin(one: Any) -> None:
        barrier.wait()
        one()

    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(begin, one) for one in work]:
            done.result()


# One event is one event


@pytest.mark.parametrize(
    "again",
    [{"time": "2026-01-02T03:04:05Z"}, {"time": None}, {"status": 500}, {"organization_id": "other"}],
    ids=["another time", "no time", "another status", "another organization in the event"],
)
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
def test_what_was_stored_first_stays(
    recorder: Recorder, database_url: str, again: dict[str, Any], together: bool
) -> None:
    now = datetime(2026, 4, 1, tzinfo=UTC)
    first = event(time="2026-03-01T00:00:00Z", status=200)
    batch = [contents_of(first, now), contents_of({**first, **again}, now + timedelta(days=40))]
    outcome = recorder.record(batch) if together else recorder.record(batch[:1]) + recorder.record(batch[1:])
    assert outcome == Outcome(stored=1, duplicate=1)
    assert stored(database_url) == [("1", datetime(2026, 3, 1, tzinfo=UTC), True, 200)]


def test_an_event_without_time_happened_when_its_message_was_published(recorder: Recorder, database_url: str) -> None:
    now = datetime(2026, 4, 1, 1, 2, 3, 456789, UTC)
    recorder.record([contents_of(event(), now)])
    recorder.record([contents_of(event(), now + timedelta(days=1))])
    assert stored(database_url) == [("1", now, True, None)]


@pytest.mark.parametrize(
    ("other", "tenant"),
    [({"source": "other"}, "acme"), ({}, ""), ({}, "globex"), ({"id": "2"}, "acme")],
    ids=["source", "the operator", "tenant", "id"],
)
def test_the_same_id_of_another_sender_is_another_event(
    recorder: Recorder, database_url: str, published: datetime, other: dict[str, Any], tenant: str
) -> None:
    recorder.record([contents_of(event(), published, tenant="acme")])
    outcome = recorder.record([contents_of(event(**other), published, tenant=tenant)])
    assert outcome == Outcome(stored=1)
    assert count(database_url) == 2


def test_the_organization_in_an_event_does_not_decide_whose_id_it_is(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    recorder.record([contents_of(event(organization_id="acme"), published)])
    assert recorder.record([contents_of(event(organization_id="acme"), published, tenant="acme")]).stored == 1
    assert recorder.record([contents_of(event(organization_id="globex"), published, tenant="acme")]).duplicate == 1
    assert count(database_url) == 2


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "A", "a ", "а"],  # the last is Cyrillic
        ["0198c7a2-0000-7000-8000-000000000001", "0198C7A2-0000-7000-8000-000000000001"],
        ["0198c7a2-0000-8000-8000-000000000001", "0198c7a2-0000-7000-8000-000000000001"],
        ["0198c7a2000070008000000000000001", "0198c7a2-0000-7000-8000-000000000001"],
        ["1", "01", "1.0"],
    ],
    ids=["letters", "case of a UUID", "version of a UUID", "form of a UUID", "digits"],
)
def test_ids_that_differ_at_all_are_different_events(
    recorder: Recorder, database_url: str, published: datetime, ids: list[str]
) -> None:
    recorder.record([contents_of([event(id=one) for one in ids], published)])
    assert count(database_url) == len(ids)


def test_an_id_cannot_be_made_to_meet_the_key_of_another_one(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    """An id that is no UUID is claimed as one made from its SHA-256; that UUID as an id is another event."""
    made = dedupe_key("order 66")
    recorder.record([contents_of([event(id="order 66"), event(id=made), event(id=made.upper())], published)])
    assert count(database_url) == 3


def test_an_event_without_id_is_the_same_when_its_message_comes_again(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    two = [{"route": "/"}, {"route": "/"}]
    for _ in range(2):
        recorder.record([contents_of(two, published, message_id="m1")])
    recorder.record([contents_of(two, published, message_id="m2")])
    assert count(database_url) == 4


def test_the_source_of_a_message_is_that_of_its_events_without_one(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    recorder.record([contents_of([{"id": "1", "route": "/"}, event(id="2")], published, source="gateway")])
    recorder.record([contents_of({"id": "3", "route": "/"}, published)])
    found = rows(
        database_url,
        "SELECT id, value FROM usage_events JOIN dimensions ON key = source_key ORDER BY id",
    )
    assert found == [("1", "gateway"), ("2", "s"), ("3", "pubsub")]


# Generations of dedupe keys


def test_a_key_claimed_in_an_older_generation_is_still_claimed(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    first = contents_of(event(), published)
    recorder.record([first])
    [(generation,)] = rows(database_url, "SELECT DISTINCT generation FROM dedupe_keys")
    execute(
        database_url,
        f"CREATE TABLE old PARTITION OF dedupe_keys FOR VALUES IN ({generation - 3});"
        f"UPDATE dedupe_keys SET generation = {generation - 3}",
    )
    assert recorder.record([first, contents_of(event(time="2026-01-01T00:00:00Z"), published)]).stored == 0
    assert count(database_url) == 1


def test_around_the_turn_of_a_generation_a_key_is_claimed_once(database_url: str, recorder: Recorder) -> None:
    """By the recorder's own statement, with its clock moved: long before, just before, just after, long after."""
    recorder.record([contents_of(event(), datetime.now(UTC))])
    [(generation, sender)] = rows(database_url, "SELECT generation, sender_key FROM dedupe_keys LIMIT 1")
    for first, second in itertools.combinations((-10, -1, 1, 4, 10), 2):
        event_row = [{"key": str(uuid.uuid4()), "id": "turn", "time": datetime.now(UTC), "sender_key": sender}]
        event_row[0] |= {"source_key": sender, "received_at": datetime.now(UTC)}
        assert store_at(database_url, generation, first, event_row) == 1
        assert store_at(database_url, generation, second, event_row) == 0


def test_two_transactions_at_the_same_time_on_both_sides_of_a_turn_store_one_event(
    database_url: str, recorder: Recorder
) -> None:
    """One claims in the old generation only, the other in old and new: the second waits for the first."""
    recorder.record([contents_of(event(), datetime.now(UTC))])
    [(generation, sender)] = rows(database_url, "SELECT generation, sender_key FROM dedupe_keys LIMIT 1")
    event_row = [{"key": str(uuid.uuid4()), "id": "turn", "time": datetime.now(UTC), "sender_key": sender}]
    event_row[0] |= {"source_key": sender, "received_at": datetime.now(UTC)}
    for before, after in ((-1, 1), (1, -1)):
        event_row[0]["key"] = str(uuid.uuid4())
        with psycopg.connect(database_url) as open_transaction, ThreadPoolExecutor(1) as pool:
            assert store_on(open_transaction, generation, before, event_row) == 1
            other = pool.submit(store_at, database_url, generation, after, event_row)
            eventually(lambda: waiting_for_a_lock(database_url), "the second waits")
            open_transaction.commit()
            assert other.result() == 0


def waiting_for_a_lock(url: str) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(scalar(url, waiting))


def store_at(url: str, generation: int, minutes: int, events: list[dict[str, Any]]) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        return store_on(connection, generation, minutes, events)


def store_on(connection: psycopg.Connection[Any], generation: int, minutes: int, events: list[dict[str, Any]]) -> int:
    """Stores rows by the recorder's statement as if it were some minutes after the beginning of `generation`."""
    turn = f"(to_timestamp({generation * 86400 * 120}) + interval '{minutes} minutes')"
    moved = (
        statements("recorder")["record_events"]
        .replace("now()", turn)
        .replace(":events", "%s::json")
        .replace(":book", "NULL")
    )
    found = connection.execute(moved.encode(), [write_json(events).decode()]).fetchone()
    assert found is not None
    return int(found[0])


# Several connections


@pytest.fixture(scope="module")
def shared_url(postgres: Server) -> Iterator[str]:
    """A database for many examples, each with a source of its own."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def pair(shared_url: str) -> Iterator[list[Recorder]]:
    """Two recorders, as in two processes."""
    stores = [recorder_store(settings_of(shared_url)) for _ in range(2)]
    yield [Recorder(store, RETENTION_DAYS) for store in stores]
    for store in stores:
        store.dispose()


@example_settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(1, 60))
def test_events_sent_again_on_four_connections_in_any_order_count_once(
    shared_url: str, pair: list[Recorder], seed: int, number: int
) -> None:
    """Every event goes 1 to 5 times, with this or that time, in batches of any size; two threads share a recorder."""
    rng = random.Random(seed)
    now = datetime(2026, 4, 1, tzinfo=UTC)
    source = str(uuid.uuid4())
    events = list(random_events(rng, [now - timedelta(days=rng.uniform(0, 200)) for _ in range(number)], source))
    sent = [dict(one) for one in events for _ in range(rng.randint(1, 5))]
    for one in sent:
        if rng.random() < 0.2:
            one["time"] = (now - timedelta(days=rng.uniform(0, 200))).isoformat()
    rng.shuffle(sent)
    work: list[list[list[Contents]]] = [[] for _ in range(CONNECTIONS)]
    while sent:
        size = rng.choice([1, 2, 10, 50])
        batch, sent = sent[:size], sent[size:]
        messages = [batch] if rng.random() < 0.5 else [[one] for one in batch]
        rng.choice(work).append([contents_of(message, now) for message in messages])
    outcomes: list[Outcome] = []

    def run(recorder: Recorder, batches: list[list[Contents]]) -> None:
        outcomes.extend(recorder.record(batch) for batch in batches)

    concurrently([partial(run, recorder, batches) for recorder, batches in zip(pair * 2, work, strict=True)])
    counted = "SELECT id, count(*) FROM usage_events JOIN dimensions ON key = source_key WHERE value = %s GROUP BY id"
    assert sorted(rows(shared_url, counted, [source])) == sorted((one["id"], 1) for one in events)
    total = sum(outcomes, Outcome())
    assert (total.stored, total.dead) == (len(events), 0)


@pytest.mark.parametrize("plan", [{}, {"enable_hashjoin": "off", "enable_mergejoin": "off"}], ids=["usual", "nested"])
def test_overlapping_batches_on_several_connections_never_deadlock(
    settings: Settings, database_url: str, published: datetime, plan: dict[str, str]
) -> None:
    """In whatever order the planner likes to go through a batch: a hash join happens to go in one order."""
    options = {**RECORDER_OPTIONS, **plan}
    stores = [Store(settings, "tests recorder", options=options, check=False) for _ in range(CONNECTIONS)]
    recorders = [Recorder(store, RETENTION_DAYS) for store in stores]
    recorders[0].record([contents_of(event(source=f"s{number}"), published) for number in range(3)])

    for _ in range(10):
        events = [event(id=str(uuid.uuid4()), source=f"s{number % 3}") for number in range(1000)]
        batches = [contents_of(random.Random(number).sample(events, 1000), published) for number in range(CONNECTIONS)]
        written = [recorders[0]._rows(batch.received, Costing(Estimation({}), None)) for batch in batches]
        # As `store`, but ready beforehand, so that they meet, and without trying again.
        concurrently([partial(recorder._insert, one, None) for recorder, one in zip(recorders, written, strict=True)])
    assert count(database_url) == 3 + 1000 * 10
    for store in stores:
        store.dispose()


def test_new_values_on_several_connections_never_deadlock(settings: Settings, database_url: str) -> None:
    """Values of dimensions are made in one order, whichever comes first in a batch."""
    stores = [recorder_store(settings) for _ in range(CONNECTIONS)]
    for number in range(20):
        values = [(kind, 0, f"{kind}-{number}-{value}") for kind in ("route", "model", "team") for value in range(100)]
        mixed = [random.Random(seed).sample(values, len(values)) for seed in range(CONNECTIONS)]
        concurrently([partial(Dimensions(store).keys, part) for store, part in zip(stores, mixed, strict=True)])
    assert scalar(database_url, "SELECT count(*) FROM dimensions") == 20 * 300
    for store in stores:
        store.dispose()


def test_a_warm_recorder_stores_a_batch_in_one_statement(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    recorder.record([contents_of([event(id=str(number)) for number in range(3)], published)])
    sent: list[tuple[str, str]] = []
    prepared = recorder._store.run_prepared

    def counted(module: str, name: str, **parameters: object) -> list[list[Any]]:
        sent.append((module, name))
        return prepared(module, name, **parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder._store, "run_prepared", counted)
        patch.setattr(recorder._store, "connect", lambda: pytest.fail("asks the database for more"))
        recorder.record([contents_of([event(id=str(number)) for number in range(2, 500)], published)])
    assert sent == [("recorder", "record_events")]
    assert count(database_url) == 500


def test_a_claim_whose_event_was_not_stored_does_not_count(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    """A key is claimed in the transaction that stores the event: where that fails, its retry is not a duplicate."""
    execute(database_url, "ALTER TABLE usage_events ADD CONSTRAINT refuse CHECK (status <> 418) NOT VALID")
    received = contents_of([event(status=418), event(id="2")], published).received
    with pytest.raises(DataRefused):
        recorder.store(received)
    execute(database_url, "ALTER TABLE usage_events DROP CONSTRAINT refuse")
    assert recorder.store(received) == Outcome(stored=2)


# What cannot be stored


def test_an_event_that_cannot_be_read_goes_alone_to_the_dead_letters(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    bad = {"id": "bad", "rout": "/"}
    message = contents_of([event(), bad, event(id="2")], published, message_id="m1", source="gateway")
    for _ in range(2):
        recorder.record([message, contents_of(event(id="3"), published)])
    assert count(database_url) == 3
    [letter] = rows(
        database_url, "SELECT message_id, position, source, reason, attributes, data, received_at FROM dead_letters"
    )
    assert letter[:3] == ("m1", 2, "gateway")
    assert 'did you mean "route"' in letter[3]
    assert letter[4:] == ({"source": "gateway"}, b'{"id":"bad","rout":"/"}', published)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"\xff\xfe", b"not json", b"[" * 40 + b"]" * 40, b'{"route":"/","id":"\\u0000"}', b"3"],
    ids=["nothing", "an empty list", "no UTF-8", "no JSON", "too deep", "NUL", "a number"],
)
def test_a_message_that_cannot_be_read_is_one_dead_letter_with_its_bytes(
    recorder: Recorder, database_url: str, published: datetime, data: bytes
) -> None:
    for _ in range(3):
        outcome = recorder.record([contents_of(data, published, message_id="m1"), contents_of(event(), published)])
        assert outcome.dead == 1
    [(kept, reason)] = rows(database_url, "SELECT data, reason FROM dead_letters")
    assert reason
    assert kept == data
    assert count(database_url) == 1


def test_a_value_that_postgres_refuses_goes_alone_to_the_dead_letters(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    execute(database_url, "ALTER TABLE usage_events ADD CONSTRAINT refuse CHECK (status <> 418)")
    good = [event(id=str(number)) for number in range(9)]
    poisoned = contents_of([*good[:4], event(id="poison", status=418), *good[4:6]], published, message_id="m1")
    for _ in range(2):
        recorder.record([contents_of(good[6], published), poisoned, contents_of(good[7:], published)])
    assert count(database_url) == 9
    assert rows(
        database_url,
        "SELECT message_id, position, data->>'id' FROM (SELECT message_id, position,"
        " convert_from(data, 'UTF8')::jsonb AS data FROM dead_letters)",
    ) == [("m1", 5, "poison")]


@pytest.mark.parametrize("source", ["a\0b", "x" * 201])
def test_a_source_attribute_that_cannot_be_a_source_makes_a_dead_letter(
    recorder: Recorder, database_url: str, published: datetime, source: str
) -> None:
    recorder.record([contents_of({"route": "/"}, published, source=source), contents_of(event(), published)])
    assert count(database_url) == 1
    assert "source" in scalar(database_url, "SELECT reason FROM dead_letters")


def test_a_nul_in_a_message_id_or_attribute_harms_nobody(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    recorder.record([contents_of(b"?", published, message_id="m\0", note="a\0b"), contents_of(event(), published)])
    assert count(database_url) == 1
    assert scalar(database_url, "SELECT count(*) FROM dead_letters") == 1


def test_no_value_of_an_event_is_in_what_an_error_says(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    """Errors are logged, and events hold personal data."""
    execute(database_url, "ALTER TABLE dead_letters ADD CONSTRAINT refuse CHECK (position < 0) NOT VALID")
    bad = contents_of({"route": "/", "ip_address": "192.0.2.77", "oops": 1}, published, note="secret-note")
    with pytest.raises(DataRefused) as caught:
        recorder.record([bad])
    told = "".join(traceback.format_exception(caught.value))
    assert "refuse" in told
    assert "192.0.2.77" not in told
    assert "secret-note" not in told


# Restored databases


def test_a_restored_database_refuses_events_that_would_never_be_counted(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    recorder.record([contents_of(event(), published)])
    execute(database_url, "UPDATE fold_state SET watermark = 10^12")
    with pytest.raises(StoreUnavailable, match="restored"):
        recorder.record([contents_of(event(id="2"), published)])
    assert count(database_url) == 1


def test_what_was_remembered_of_a_database_is_forgotten_when_it_is_replaced(
    recorder: Recorder, database_url: str, published: datetime
) -> None:
    """Restoring a backup ends every connection, and numbers may stand for other values then."""
    recorder.record([contents_of(event(model="gpt-4"), published)])
    execute(
        database_url,
        "TRUNCATE dimensions, usage_events, dedupe_keys RESTART IDENTITY;"
        "INSERT INTO dimensions (kind, digest, value) SELECT 'team', gen_random_uuid(), 'x' FROM generate_series(1, 9);"
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'tests recorder' AND datname = current_database()",
    )
    assert recorder.record([contents_of(event(model="gpt-4"), published)]).stored == 1
    assert rows(database_url, "SELECT kind, value FROM usage_events JOIN dimensions ON key = model_key") == [
        ("model", "gpt-4")
    ]


def test_events_that_the_database_does_not_store_in_time_should_come_again(
    settings: Settings, database_url: str, published: datetime
) -> None:
    store = Store(settings, "tests hurry", options={"statement_timeout": "300"})
    recorder = Recorder(store, RETENTION_DAYS)
    recorder.record([contents_of(event(), published)])
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE usage_events")
        with pytest.raises(StoreUnavailable, match="in time"):
            recorder.record([contents_of(event(id="2"), published)])
    assert recorder.record([contents_of(event(id="2"), published)]).stored == 1
    store.dispose()


# Values


def test_every_digit_of_money_and_time_is_kept(store: Store, database_url: str, published: datetime) -> None:
    exact = event(
        cost={"amount": "123456789012345.123456789012345678901234567891", "currency": "EUR"},
        cost_usd="0.000000000000000000000000000001",
        response_time_ms=0,
    )
    record(store, [exact], published)
    [(cost, usd, rub)] = rows(database_url, "SELECT cost::text, cost_usd::text, cost_rub FROM usage_events")
    assert (cost, usd, rub) == (
        "123456789012345.123456789012345678901234567891",
        "0.000000000000000000000000000001",
        None,
    )


def test_many_random_events_are_all_stored(store: Store, database_url: str, published: datetime) -> None:
    rng = random.Random(5)
    oracle = Oracle()
    events = [random_event(rng, published - timedelta(hours=rng.uniform(0, 2000))) for _ in range(2500)]
    outcome = record(store, events, published)
    for one in events:
        oracle.add(one, published)
    assert outcome == Outcome(stored=len(oracle))
    [totals] = rows(database_url, "SELECT count(*), sum(total_tokens), sum(cost_usd) FROM usage_events")
    assert totals == (
        len(oracle),
        sum(fact.counts.get("total_tokens", 0) for fact in oracle.facts),
        sum(fact.costs.get("USD", 0) for fact in oracle.facts),
    )
