"""What an event costs is worked out when it is stored, with the prices in force at that very moment."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tally import prices
from tally.database import Store
from tally.pricing.price import OWN, Draft, Rates
from tally.principal import Principal
from tally.recorder import Recorder
from tally.settings import Settings
from tests.support.postgres import rows, scalar
from tests.support.store import RETENTION_DAYS, contents_of, recorder_store

PUBLISHED = datetime(2026, 5, 1, 12, tzinfo=UTC)
FINANCE = Principal("t", "finance", frozenset({"admin"}))
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
COLUMNS = "cost::text, cost_usd::text, cost_rub::text, list_cost::text, price_id"


def price(
    model: str = "small", currency: str = "USD", since: datetime = LONG_AGO, provider: str = "acme", **per_million: str
) -> Draft:
    form = {"per_million": per_million or {"input": "2", "output": "10"}}
    return Draft(OWN, provider, model, {}, currency, since, Rates.of(form))


def add(store: Store, draft: Draft) -> int:
    with store.transaction() as connection:
        return prices.add(connection, FINANCE, draft).id


def call(number: int | str = 1, **fields: Any) -> dict[str, Any]:
    usual = {"provider": "acme", "model": "small", "input_tokens": 1000, "output_tokens": 100}
    return {"id": str(number), "source": "s", **usual, **fields}


def stored(url: str) -> list[tuple[Any, ...]]:
    return rows(url, f"SELECT {COLUMNS} FROM usage_events ORDER BY id")


@pytest.mark.parametrize(
    ("currency", "fields", "expected"),
    [
        ("USD", {}, ("0.003", "0.003", None, None)),
        ("RUB", {}, ("0.003", None, "0.003", None)),
        ("EUR", {}, ("0.003", None, None, None)),
        ("USD", {"cost_usd": "1"}, ("1", "1", None, "0.003")),
        ("USD", {"cost": {"amount": "1", "currency": "EUR"}, "cost_rub": 90}, ("1", None, "90", "0.003")),
        ("USD", {"input_tokens": 0, "output_tokens": 0}, ("0", "0", None, None)),
    ],
)
def test_an_event_keeps_its_cost_and_which_price_it_comes_from(
    store: Store, database_url: str, currency: str, fields: Mapping[str, Any], expected: tuple[str | None, ...]
) -> None:
    price_id = add(store, price(currency=currency))
    Recorder(store, RETENTION_DAYS).record([contents_of(call(**fields), PUBLISHED)])
    [[*amounts, of_price]] = stored(database_url)
    assert of_price == price_id
    assert [None if one is None else Decimal(one) for one in amounts] == [
        None if one is None else Decimal(one) for one in expected
    ]


@pytest.mark.parametrize(
    "fields", [{"model": "large"}, {"provider": "other"}, {"input_tokens": None, "output_tokens": None}]
)
def test_without_a_price_that_fits_it_is_unpriced(store: Store, database_url: str, fields: Mapping[str, Any]) -> None:
    add(store, price())
    Recorder(store, RETENTION_DAYS).record([contents_of(call(**fields), PUBLISHED)])
    assert stored(database_url) == [(None, None, None, None, None)]


def test_estimated_tokens_are_priced_too(store: Store, database_url: str) -> None:
    add(store, price())
    texts = call(input_tokens=None, output_tokens=None, input_text_length=2500, output_text_length=250)
    Recorder(store, RETENTION_DAYS).record([contents_of(texts, PUBLISHED)])
    [[cost, *_]] = stored(database_url)
    assert Decimal(cost) == Decimal("0.003")


def test_the_time_of_the_event_decides_which_version_counts(store: Store, database_url: str) -> None:
    add(store, price())
    midnight_in_tokyo = datetime(2026, 4, 30, 15, tzinfo=UTC)
    add(store, price(since=midnight_in_tokyo, input="4", output="20"))
    before, after = "2026-04-30T23:59:59.999999+09:00", "2026-05-01T00:00:00+09:00"
    Recorder(store, RETENTION_DAYS).record([contents_of([call(1, time=before), call(2, time=after)], PUBLISHED)])
    assert [Decimal(cost) for cost, *_ in stored(database_url)] == [Decimal("0.003"), Decimal("0.006")]


def test_a_recorder_notices_a_changed_price_at_the_next_event(
    store: Store, settings: Settings, database_url: str
) -> None:
    first = add(store, price())
    recorder = Recorder(recorder_store(settings), RETENTION_DAYS)
    recorder.record([contents_of(call(1), PUBLISHED)])
    with store.transaction() as connection:
        second = prices.replace(connection, FINANCE, first, price(input="3", output="10")).id
    recorder.record([contents_of(call(2), PUBLISHED)])
    with store.transaction() as connection:
        prices.retire(connection, FINANCE, second)
    recorder.record([contents_of(call(3), PUBLISHED)])
    assert [(cost and Decimal(cost), of_price) for cost, _, _, _, of_price in stored(database_url)] == [
        (Decimal("0.003"), first),
        (Decimal("0.004"), second),
        (None, None),
    ]


def test_after_a_change_no_event_is_stored_with_the_prices_before(
    store: Store, settings: Settings, database_url: str
) -> None:
    """Recorders go on while prices change again and again: whoever sees a change committed sees every older event."""
    ids = [add(store, price())]
    over = threading.Event()

    def go_on(number: int) -> int:
        own = recorder_store(settings)
        recorder = Recorder(own, RETENTION_DAYS)
        sent = 0
        while not over.is_set():
            recorder.record([contents_of([call(f"{number}-{sent}-{part}") for part in range(5)], PUBLISHED)])
            sent += 1
        own.dispose()
        return sent * 5

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(go_on, number) for number in range(3)]
        try:
            for number in range(15):
                before = scalar(database_url, "SELECT coalesce(max(seq), 0) FROM usage_events")
                while scalar(database_url, "SELECT coalesce(max(seq), 0) FROM usage_events") < before + 20:
                    assert not any(one.done() for one in running)
                with store.transaction() as connection:
                    ids.append(prices.replace(connection, FINANCE, ids[-1], price(input=str(number + 3))).id)
                older = f"SELECT coalesce(max(seq), 0), count(*) FROM usage_events WHERE price_id = {ids[-2]}"
                [last, count] = rows(database_url, older)[0]
                assert count > 0
                with ThreadPoolExecutor(1) as other:
                    other.submit(add, store, price(model=f"another {number}")).result()
                assert rows(database_url, older)[0] == (last, count)
        finally:
            over.set()
        assert scalar(database_url, "SELECT count(*) FROM usage_events") == sum(one.result() for one in running)
    assert scalar(database_url, "SELECT count(*) FROM usage_events WHERE price_id IS NULL") == 0
