"""The price book in the database: prices are added, corrected and retired, and who changes it holds up who uses it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from tally import price_import, prices
from tally.database import Store
from tally.errors import NotFound, Unprocessable
from tally.pricing import dataset
from tally.pricing.form import PriceForm
from tally.pricing.price import Draft, Rates, cost_of
from tally.principal import Principal
from tally.settings import Settings
from tests.support.postgres import rows, scalar

ACTOR = Principal("token-1", "finance", frozenset({"admin"}))
MAY = datetime(2026, 5, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.transaction() as connection:
        yield connection


def draft(**fields: Any) -> Draft:
    """A price of the team's own of openai's gpt-x from May on."""
    form = {
        "provider": "openai", "model": "gpt-x", "currency": "USD", "valid_from": "2026-05-01",
        "per_million": {"input": "2.5", "output": "10"}, **fields,
    }  # fmt: skip
    return PriceForm.model_validate(form).draft()


def listed(rates: str, valid_from: datetime, model: str = "gpt-4o") -> Draft:
    """A price of a data set, of a model that the installed one knows."""
    return Draft("genai-prices 0.1", "openai", model, {}, "USD", valid_from, Rates({"input": Decimal(rates)}))


def test_what_was_added_is_the_price_of_calls_from_then_on(connection: Connection) -> None:
    added = prices.add(connection, ACTOR, draft(tiers=[{"above": 200_000, "per_million": {"input": 5}}]))
    book = prices.load(connection)
    price = book.price_for("OpenAI", "GPT-X", MAY, {})
    assert price is not None
    assert (price.id, price.rates) == (added.id, added.draft.rates)
    assert cost_of(price, {"input_tokens": 200_001, "output_tokens": 0}) == Decimal("1.000005")
    assert book.price_for("openai", "gpt-x", MAY.replace(year=2025), {}) is None


def test_every_change_of_what_is_in_force_is_a_new_version_of_the_book(store: Store) -> None:
    versions = []
    for change in (
        lambda connection: prices.add(connection, ACTOR, draft()),
        lambda connection: prices.replace(connection, ACTOR, 1, draft(currency="EUR")),
        lambda connection: prices.retire(connection, ACTOR, 2),
    ):
        with store.transaction() as connection:
            change(connection)
            versions.append(prices.load(connection).version)
    assert versions == [2, 3, 4]


def test_a_correction_is_a_new_price_in_the_place_of_the_old_one(connection: Connection, database_url: str) -> None:
    before = prices.add(connection, ACTOR, draft())
    after = prices.replace(connection, ACTOR, before.id, draft(per_million={"input": "2", "output": "10"}))
    assert after.replaces == before.id
    old = prices.find(connection, before.id)
    assert old.retired_at is not None
    assert old.replaced_by == after.id
    assert [one.id for one in prices.page(connection, rows=10)] == [after.id]
    connection.commit()
    assert rows(database_url, "SELECT actor, action, kind, subject_id FROM audit_log ORDER BY id") == [
        ("finance", "create", "price", str(before.id)),
        ("finance", "correct", "price", str(after.id)),
    ]
    [(audited_before, audited_after)] = rows(
        database_url, "SELECT before -> 'per_million' ->> 'input', after -> 'per_million' ->> 'input' FROM audit_log "
        "WHERE action = 'correct'",
    )  # fmt: skip
    assert (audited_before, audited_after) == ("2.5", "2")


def test_two_versions_that_begin_at_once_are_refused_by_name_of_the_other(connection: Connection) -> None:
    first = prices.add(connection, ACTOR, draft())
    for same in (draft(), draft(provider="OpenAI", model="GPT-X", currency="EUR")):
        with pytest.raises(Unprocessable, match=rf"price {first.id} of the same provider, model and conditions"):
            prices.add(connection, ACTOR, same)
    for other in (draft(valid_from="2026-05-02"), draft(conditions={"processing": "batch"}), draft(model="gpt-x*")):
        prices.add(connection, ACTOR, other)
    prices.retire(connection, ACTOR, first.id)
    prices.add(connection, ACTOR, draft())


def test_what_cannot_be_corrected(connection: Connection) -> None:
    first = prices.add(connection, ACTOR, draft())
    later = prices.add(connection, ACTOR, draft(valid_from="2026-06-01"))
    with pytest.raises(Unprocessable, match="is like this already"):
        prices.replace(connection, ACTOR, first.id, draft(per_million={"input": "2.50", "output": "10"}))
    with pytest.raises(Unprocessable, match=f"price {later.id} of the same"):
        prices.replace(connection, ACTOR, first.id, draft(valid_from="2026-06-01"))
    with pytest.raises(NotFound, match="There is no price 999"):
        prices.replace(connection, ACTOR, 999, draft())


def test_a_retired_price_stays_retired(store: Store) -> None:
    with store.transaction() as connection:
        first = prices.add(connection, ACTOR, draft())
        prices.retire(connection, ACTOR, first.id)
        retired = prices.find(connection, first.id)
        prices.retire(connection, ACTOR, first.id)
        assert prices.find(connection, first.id) == retired
        with pytest.raises(Unprocessable, match=f"price {first.id} is retired"):
            prices.replace(connection, ACTOR, first.id, draft(currency="EUR"))
        with pytest.raises(NotFound):
            prices.retire(connection, ACTOR, 999)


def test_pages_are_filtered_and_go_on_behind_an_id(connection: Connection) -> None:
    for fields in (
        {}, {"valid_from": "2026-06-01"}, {"model": "gpt-x-mini"}, {"provider": "azure"},
        {"conditions": {"processing": "batch"}},
    ):  # fmt: skip
        prices.add(connection, ACTOR, draft(**fields))

    def found(**given: Any) -> list[int]:
        return [one.id for one in prices.page(connection, **{"rows": 10, **given})]

    assert found() == [5, 4, 3, 2, 1]
    assert found(rows=2) == [5, 4]
    assert found(rows=2, behind=4) == [3, 2]
    assert found(provider="OPENAI") == [5, 3, 2, 1]
    assert found(model="GPT-X") == [5, 4, 2, 1]
    assert found(model="gpt-x*", provider="openai") == [5, 3, 2, 1]
    assert found(origin="own") == [5, 4, 3, 2, 1]
    assert found(origin="genai-prices 0.2.3") == []
    assert found(at=MAY.replace(year=2025)) == []
    assert found(at=MAY) == [5, 4, 3, 1]
    assert found(at=MAY.replace(month=7)) == [5, 4, 3, 2]


def test_an_event_cannot_be_stored_with_the_prices_before_a_change(store: Store, database_url: str) -> None:
    """Who stores holds the lock shared: the change waits for it, and a later one finds out that its book is old."""
    take = "SELECT take_price_book(%s)"
    with psycopg.connect(database_url) as storing, ThreadPoolExecutor(1) as other:
        storing.execute(take, (1,))

        def change() -> None:
            with store.transaction() as connection:
                prices.add(connection, ACTOR, draft())

        changing = other.submit(change)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not scalar(database_url, waiting):
            assert not changing.done()
        storing.commit()
        changing.result()
        with pytest.raises(psycopg.Error, match="the prices in force have changed"):
            storing.execute(take, (1,))
        storing.rollback()
        storing.execute(take, (2,))


def test_a_new_book_has_the_data_set_and_what_tally_brings_once(settings: Settings, store: Store) -> None:
    with ThreadPoolExecutor(2) as pool:
        seeded = list(pool.map(price_import.seed, [settings, settings]))
    expected = len(dataset.rows()) + len(dataset.own_rows())
    assert sorted(seeded) == [0, expected]
    assert price_import.seed(settings) == 0
    with store.transaction() as connection:
        book = prices.load(connection)
        gpt = book.price_for("openai", "gpt-4o-2024-08-06", MAY, {})
        giga = book.price_for("gigachat", "GigaChat-Pro", MAY, {})
        assert gpt is not None
        assert (gpt.origin, gpt.currency) == (dataset.origin(), "USD")
        assert giga is not None
        assert (giga.origin, giga.currency) == ("tally", "RUB")
        own = prices.add(connection, ACTOR, draft(model="gpt-4o*"))
        won = prices.load(connection).price_for("openai", "gpt-4o-2024-08-06", MAY, {})
        assert won is not None
        assert won.id == own.id
        with pytest.raises(Unprocessable, match="add a price of your own, which wins"):
            prices.replace(connection, ACTOR, gpt.id, draft())


def test_the_same_data_set_changes_nothing(settings: Settings, store: Store) -> None:
    price_import.seed(settings)
    with store.transaction() as connection:
        difference = price_import.data_set_difference(connection, NOW)
        assert (difference.new, difference.changed, difference.gone) == ([], [], [])
        assert difference.unchanged == len(dataset.rows()) + len(dataset.own_rows())


def _imported(connection: Connection, monkeypatch: pytest.MonkeyPatch, *drafts: Draft) -> price_import.Difference:
    """A data set of these is imported now."""
    monkeypatch.setattr(dataset, "own_rows", list)
    monkeypatch.setattr(dataset, "rows", lambda: list(drafts))
    prices.turn(connection)
    difference = price_import.data_set_difference(connection, NOW)
    price_import.apply(connection, ACTOR, difference, "genai-prices 0.1")
    again = price_import.data_set_difference(connection, NOW)
    assert (again.new, again.changed) == ([], []), "imported twice, it changes nothing more"
    return difference


def _input_rates(connection: Connection, *moments: datetime) -> list[str]:
    """What a million input tokens of gpt-4o cost at each time."""
    book = prices.load(connection)
    found = [book.price_for("openai", "gpt-4o", moment, {}) for moment in moments]
    return [str(price.rates.per_million["input"]) if price else "" for price in found]


def test_a_newer_data_set_changes_prices_from_when_it_says_or_else_from_the_import_on(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    always, june, december = dataset.UNDATED, datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    first = _imported(connection, monkeypatch, listed("1", always), listed("7", always, "o3"))
    assert len(first.new) == 2
    # Without a date it holds from now on; what is no longer listed stays.
    second = _imported(connection, monkeypatch, listed("2", always))
    assert [change.after.valid_from for change in second.changed] == [NOW]
    assert [one.draft.model for one in second.gone] == ["o3"]
    assert _input_rates(connection, MAY, NOW, december) == ["1", "2", "2"]
    # Later the data set says since when, and announces another.
    third = _imported(connection, monkeypatch, listed("1", always), listed("2", june), listed("3", december))
    assert [change.after.valid_from for change in third.changed] == [june, december]
    assert _input_rates(connection, MAY, june, NOW, december) == ["1", "2", "2", "3"]
    # The announcement is corrected, and taken back.
    fourth = _imported(connection, monkeypatch, listed("1", always), listed("2", june), listed("4", december))
    assert [change.corrects for change in fourth.changed] == [True]
    assert _input_rates(connection, NOW, december) == ["2", "4"]
    _imported(connection, monkeypatch, listed("1", always), listed("2", june))
    assert _input_rates(connection, NOW, december) == ["2", "2"]


def test_a_list_of_ones_own_adds_corrects_and_leaves_the_rest(connection: Connection) -> None:
    kept = prices.add(connection, ACTOR, draft(model="kept"))
    wrong = prices.add(connection, ACTOR, draft())
    prices.add(connection, ACTOR, draft(model="same"))
    fresh = [draft(currency="RUB"), draft(model="same"), draft(model="new")]
    prices.turn(connection)
    difference = price_import.own_difference(connection, fresh)
    assert [one.model for one in difference.new] == ["new"]
    assert [(change.before.id, change.corrects) for change in difference.changed] == [(wrong.id, True)]
    assert difference.unchanged == 1
    assert [one.id for one in difference.gone] == [kept.id]
    price_import.apply(connection, ACTOR, difference, "prices.csv")
    assert prices.find(connection, wrong.id).retired_at is not None
    again = price_import.own_difference(connection, fresh)
    assert (again.new, again.changed, again.unchanged) == ([], [], 3)
    assert prices.find(connection, kept.id).retired_at is None


def test_a_list_with_the_same_version_twice_is_refused(connection: Connection) -> None:
    with pytest.raises(Unprocessable, match="two prices of OpenAI GPT-X from 2026-05-01"):
        price_import.own_difference(connection, [draft(), draft(provider="OpenAI", model="GPT-X", currency="EUR")])
