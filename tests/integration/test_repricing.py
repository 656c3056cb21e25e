"""Pricing events again: exact for every grouping at any moment, once, and from where it stopped."""

import random
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tally import prices
from tally.database import QuestionTooLarge, Store
from tally.errors import StoreUnavailable
from tally.pricing.price import OWN, Draft, Rates
from tally.principal import Principal
from tally.recorder import Recorder
from tally.repricing import work
from tally.repricing.work import Scope
from tally.rollup import fold_step
from tally.settings import Settings
from tally.usage import engine
from tally.usage.coverage import Span
from tally.usage.spec import Spec
from tests.support.exchange_rates import Rate, store_rates
from tests.support.exchange_rates import Rates as ExchangeRates
from tests.support.postgres import execute, rows, scalar
from tests.support.store import RETENTION_DAYS, contents_of, recorder_store

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FINANCE = Principal("t", "finance", frozenset({"admin"}))
MODELS = ("small", "large", "unheard-of")
GROUPINGS = (
    (), ("organization_key",), ("user_key",), ("token_key",), ("team_key",), ("route_key",), ("provider_key",),
    ("model_key",), ("agent_key",), ("operation_key",), ("status",), ("source_key",), ("user_key", "model_key"),
    ("user_key", "agent_key"), ("model_key", "route_key"), ("label:tier",), ("platform_key",),
)  # fmt: skip
# Some are read by hours and raw edges, some by days.
SPANS = (Span(None, None), Span(datetime(2026, 3, 3, 7, 30, tzinfo=UTC), datetime(2026, 5, 9, 21, tzinfo=UTC)))


def draft(model: str, currency: str = "USD", since: datetime = LONG_AGO, **per_million: str) -> Draft:
    return Draft(OWN, "acme", model, {}, currency, since, Rates.of({"per_million": per_million}))


def set_price(store: Store, one: Draft, replaces: int | None = None) -> int:
    with store.transaction() as connection:
        if replaces is None:
            return prices.add(connection, FINANCE, one).id
        return prices.replace(connection, FINANCE, replaces, one).id


def some_calls(number: int, seed: int = 1, prefix: str = "") -> list[dict[str, Any]]:
    """Of three models, some with the sender's own cost, over three months."""
    rng = random.Random(seed)

    def call(index: int) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": f"{prefix}{index}", "source": rng.choice(["one", "two"]), "provider": "acme",
            "model": rng.choice(MODELS), "input_tokens": rng.randrange(10_000), "output_tokens": rng.randrange(2_000),
            "organization_id": rng.choice(["a", "b"]), "user_id": f"user {rng.randrange(4)}",
            "token_hash": f"{rng.randrange(3)}" * 64, "team_id": rng.choice(["red", "blue"]),
            "route": rng.choice(["/chat", "/draw"]), "agent_id": rng.choice(["writer", "critic"]),
            "operation": rng.choice(["TEXT", "IMAGE"]), "status": rng.choice([200, 200, 500]),
            "labels": {"tier": rng.choice(["gold", "iron"])}, "platform": rng.choice(["web", "app"]),
            "time": (NOW - timedelta(seconds=rng.uniform(0, 90 * 86400))).isoformat(),
        }  # fmt: skip
        if rng.random() < 0.2:
            made["cost"] = {"amount": f"0.{rng.randrange(1000):03}", "currency": rng.choice(["USD", "RUB", "EUR"])}
        return made

    return [call(index) for index in range(number)]


def record(settings: Settings, calls: list[dict[str, Any]]) -> None:
    own = recorder_store(settings)
    recorder = Recorder(own, RETENTION_DAYS)
    for start in range(0, len(calls), 50):
        recorder.record([contents_of(calls[start : start + 50], NOW)])
    own.dispose()


@pytest.fixture
def priced(store: Store, settings: Settings, database_url: str) -> dict[str, int]:
    """600 events, most of them folded, users detailed and not; the ids of the prices by model."""
    rates = (("USD", "RUB", "80"), ("EUR", "USD", "1.25"))
    known = [Rate(base, quote, LONG_AGO.date(), Decimal(rate)) for base, quote, rate in rates]
    store_rates(database_url, ExchangeRates(tuple(known)))
    ids = {"small": set_price(store, draft("small", input="2", output="10"))}
    ids["large"] = set_price(store, draft("large", "RUB", input="500.5", cached_input="50", output="2500"))
    record(settings, some_calls(400))
    while fold_step(store, 90, detailed_from=60):
        pass
    record(settings, some_calls(200, seed=2, prefix="unfolded "))
    return ids


def of_events(url: str) -> dict[str, Decimal]:
    """What all events cost by currency, and how many are unpriced, counted one by one."""
    found = rows(
        url,
        "SELECT split_part(value, ',', 1), sum(cost) FROM usage_events LEFT JOIN dimensions ON key = currency_key"
        " GROUP BY 1",
    )
    counts = {code or "unpriced": amount for code, amount in found if code}
    counts["unpriced"] = scalar(url, "SELECT count(*) FROM usage_events WHERE currency_key IS NULL")
    return counts


MEASURES = (
    "cost:USD", "cost:RUB", "cost:EUR", "unpriced_requests", "list_cost:USD", "sent_cost:USD", "compared_requests",
)  # fmt: skip


def totals(store: Store) -> dict[tuple[str, ...], dict[str, Decimal]]:
    """The sums over all rows of each grouping, in each span."""
    found = {}
    with store.snapshot() as connection:
        for span in SPANS:
            for keys in GROUPINGS:
                answer = engine.run(connection, Spec(("requests", *MEASURES), keys, span))
                found[*keys, str(span.lower)] = {
                    name: sum((Decimal(row[name]) for row in answer), Decimal(0)) for name in ("requests", *MEASURES)
                }
    return found


def assert_parts_are_the_whole(store: Store) -> dict[str, Decimal]:
    """Every grouping has the same sums; returns those of all time."""
    found = totals(store)
    for span in SPANS:
        of_span = [sums for key, sums in found.items() if key[-1] == str(span.lower)]
        for sums in of_span:
            assert {name: round(value, 20) for name, value in sums.items()} == {
                name: round(value, 20) for name, value in of_span[0].items()
            }
    return found[(str(None),)]


def reprice(store: Store, scope: Scope | None = None, **options: Any) -> work.Repricing:
    with store.transaction() as connection:
        repricing_id = work.begin(connection, FINANCE, scope or Scope())
    work.go_on(store, repricing_id, 60, **options)
    with store.connect() as connection:
        return work.find(connection, repricing_id)


def test_what_a_preview_says_is_what_is_done(store: Store, database_url: str, priced: Mapping[str, int]) -> None:
    before, costs_before = assert_parts_are_the_whole(store), of_events(database_url)
    set_price(store, draft("small", input="4", output="10"), replaces=priced["small"])
    set_price(store, draft("unheard-of", input="1", output="1"))
    preview = work.preview(store, Scope())
    assert of_events(database_url) == costs_before

    done = reprice(store, events_a_batch=70)
    assert done.changes == preview
    assert done.events == 600
    assert done.finished_at is not None
    after, costs_after = assert_parts_are_the_whole(store), of_events(database_url)
    assert after["requests"] == before["requests"] == 600
    assert after["unpriced_requests"] == costs_after["unpriced"] == 0
    assert after["sent_cost:USD"] != before["sent_cost:USD"]  # senders' costs of the model that had no price
    for currency in ("USD", "RUB"):
        difference = sum(Decimal(one["difference"]) for one in preview if one["currency"] == currency)
        assert costs_after[currency] - costs_before[currency] == difference
    assert costs_after["EUR"] == costs_before["EUR"]
    assert {one["model"] for one in preview} == {"small", "unheard-of"}
    assert sum(one["unpriced_before"] for one in preview) == costs_before["unpriced"]


def test_a_change_is_shown_by_model_and_month_to_the_last_digit(store: Store, settings: Settings) -> None:
    first = set_price(store, draft("small", input="2", output="10"))
    calls = [
        {"id": str(number), "source": "s", "provider": "acme", "model": "small", "input_tokens": tokens, "time": time}
        for number, (tokens, time) in enumerate(
            [(1000, "2026-04-30T23:59:59Z"), (1, "2026-05-01T00:00:00Z"), (10**12, "2026-05-02T00:00:00Z")]
        )
    ]
    record(settings, calls)
    set_price(store, draft("small", "RUB", input="0.3", output="10"), replaces=first)
    shown = ("month", "currency", "events", "old", "new", "difference")
    assert [tuple(one[name] for name in shown) for one in reprice(store).changes] == [
        ("2026-04", "RUB", 1, Decimal(0), Decimal("0.0003"), Decimal("0.0003")),
        ("2026-04", "USD", 1, Decimal("0.002"), Decimal(0), Decimal("-0.002")),
        ("2026-05", "RUB", 2, Decimal(0), Decimal("300000.0000003"), Decimal("300000.0000003")),
        ("2026-05", "USD", 2, Decimal("2000000.000002"), Decimal(0), Decimal("-2000000.000002")),
    ]
    assert reprice(store).changes == []


@pytest.mark.parametrize(
    ("scope", "events"),
    [
        (Scope(model="SMALL"), "model.value = 'small'"),
        (Scope(model="s*"), "model.value = 'small'"),
        (Scope(provider="nobody"), "false"),
        (Scope("acme", "*", datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)),
         "time >= '2026-04-01Z' AND time < '2026-05-01Z'"),
    ],
)  # fmt: skip
def test_only_what_is_asked_for_changes(
    store: Store, database_url: str, priced: Mapping[str, int], scope: Scope, events: str
) -> None:
    wanted = scalar(
        database_url,
        f"SELECT count(*) FROM usage_events JOIN dimensions AS model ON model.key = model_key WHERE {events}",
    )
    set_price(store, draft("small", input="5", output="11"), replaces=priced["small"])
    assert reprice(store, scope).events == wanted
    assert_parts_are_the_whole(store)


def test_a_retired_price_leaves_events_unpriced(store: Store, database_url: str, priced: Mapping[str, int]) -> None:
    with store.transaction() as connection:
        prices.retire(connection, FINANCE, priced["small"])
    done = reprice(store)
    of_model = "SELECT count(*) FROM usage_events JOIN dimensions ON key = model_key WHERE value = 'small'"
    assert scalar(database_url, f"{of_model} AND price_id IS NOT NULL") == 0
    assert sum(one["unpriced_after"] for one in done.changes) > 50
    assert assert_parts_are_the_whole(store)["unpriced_requests"] == of_events(database_url)["unpriced"]


def test_a_crash_in_the_middle_changes_a_whole_number_of_batches_and_the_rest_follows(
    store: Store, database_url: str, priced: Mapping[str, int]
) -> None:
    set_price(store, draft("small", input="4", output="12"), replaces=priced["small"])
    expected = work.preview(store, Scope())
    with store.transaction() as connection:
        repricing_id = work.begin(connection, FINANCE, Scope())
    # The third batch meets an event whose change is refused, after its costs were taken off the cubes.
    [[seq]] = rows(
        database_url,
        "SELECT seq FROM (SELECT seq, model_key, list_cost FROM usage_events ORDER BY time, seq OFFSET 110) AS later"
        " JOIN dimensions ON key = model_key WHERE value = 'small' AND list_cost IS NULL LIMIT 1",
    )
    execute(
        database_url,
        "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''gone'' USING ERRCODE = ''57P01''; END'",
    )
    crash = f"BEFORE UPDATE ON usage_events FOR EACH ROW WHEN (OLD.seq = {seq}) EXECUTE FUNCTION crash()"
    execute(database_url, f"CREATE TRIGGER crash {crash}")
    with pytest.raises(StoreUnavailable):
        work.go_on(store, repricing_id, 60, events_a_batch=50)
    with store.connect() as connection:
        stopped = work.find(connection, repricing_id)
    assert stopped.finished_at is None
    assert 0 < stopped.events < 600
    assert stopped.events % 50 == 0
    assert_parts_are_the_whole(store)

    execute(database_url, "DROP TRIGGER crash ON usage_events")
    assert work.unfinished(store) == [repricing_id]
    work.go_on(store, repricing_id, 60, events_a_batch=50)
    with store.connect() as connection:
        finished = work.find(connection, repricing_id)
    assert finished.events == 600
    assert finished.changes == expected
    assert work.unfinished(store) == []
    assert_parts_are_the_whole(store)


def test_while_events_are_stored_and_folded_and_prices_change_every_figure_stays_exact(
    store: Store, settings: Settings, database_url: str, priced: Mapping[str, int]
) -> None:
    over = threading.Event()

    def go_on_recording() -> int:
        number = 0
        while not over.is_set():
            record(settings, some_calls(20, seed=number, prefix=f"later {number} "))
            number += 1
        return 20 * number

    def go_on_folding() -> None:
        while not over.wait(0.05):  # like the job, which leaves the fold to others in between
            fold_step(store, 40, detailed_from=60)

    with ThreadPoolExecutor(2) as pool:
        recording, folding = pool.submit(go_on_recording), pool.submit(go_on_folding)
        try:
            last = priced["small"]
            for number in range(4):
                last = set_price(store, draft("small", input=str(number + 3), output="10"), replaces=last)
                done = reprice(store, events_a_batch=100)
                assert done.finished_at is not None
                assert_parts_are_the_whole(store)
                older = "price_id IS NOT NULL AND price_id NOT IN (SELECT id FROM prices WHERE retired_at IS NULL)"
                assert scalar(database_url, f"SELECT count(*) FROM usage_events WHERE {older}") == 0
        finally:
            over.set()
        folding.result()
        recorded = recording.result()
        assert assert_parts_are_the_whole(store)["requests"] == 600 + recorded


def test_two_at_once_do_the_work_once(store: Store, priced: Mapping[str, int]) -> None:
    set_price(store, draft("small", input="4", output="12"), replaces=priced["small"])
    expected = work.preview(store, Scope())
    with store.transaction() as connection:
        repricing_id = work.begin(connection, FINANCE, Scope())
    with ThreadPoolExecutor(3) as pool:
        for one in [pool.submit(work.go_on, store, repricing_id, 60, 20) for _ in range(3)]:
            one.result()
    while work.unfinished(store):
        work.go_on(store, repricing_id, 60)
    with store.connect() as connection:
        done = work.find(connection, repricing_id)
    assert (done.events, done.changes) == (600, expected)
    assert_parts_are_the_whole(store)


def test_who_repriced_what_is_in_the_audit_log(store: Store, database_url: str, priced: Mapping[str, int]) -> None:
    set_price(store, draft("small", input="4", output="12"), replaces=priced["small"])
    done = reprice(store, Scope(model="small"))
    found = rows(database_url, "SELECT action, actor, after FROM audit_log WHERE kind = 'repricing' ORDER BY id")
    assert [(action, actor) for action, actor, _ in found] == [("begin", "finance"), ("finish", "finance")]
    assert found[0][2]["model"] == "small"
    assert len(found[1][2]["changes"]) == len(done.changes) > 0


def test_a_preview_that_takes_too_long_says_what_to_ask_instead(store: Store, priced: Mapping[str, int]) -> None:
    assert priced
    with pytest.raises(QuestionTooLarge, match="from and to"):
        work.preview(store, Scope(), seconds=0)
