"""Exchange rates as they are stored, and amounts converted with them, worked out by hand."""

import re
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tally import rates
from tally.database import Store
from tally.errors import NotFound
from tally.exchange_rate import ExchangeRate
from tally.principal import Principal
from tests.support.postgres import rows

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parents[1] / "cases" / "exchange_rates.yml").read_text())
ACTOR = Principal("", "tests", frozenset())
DAY = date(2026, 5, 1)


def rate(base: str, quote: str, day: date, value: object, source: str = "test") -> ExchangeRate:
    return ExchangeRate.model_validate({"base": base, "quote": quote, "date": day, "rate": value, "source": source})


def put(store: Store, *wanted: ExchangeRate) -> list[bool]:
    with store.transaction() as connection:
        return [one.changed for one in rates.set_rates(connection, ACTOR, wanted)]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_an_amount_is_converted_as_by_hand(store: Store, case: dict[str, Any]) -> None:
    put(store, *(rate(*row) for row in case["rates"]))
    amount, given, wanted, day = case["asked"]
    with store.connect() as connection:
        if "missing" in case:
            with pytest.raises(NotFound) as refused:
                rates.convert(connection, Decimal(amount), given, wanted, day)
            assert re.findall(r"[A-Z]{3}/[A-Z]{3}", str(refused.value)) == case["missing"]
            return
        made = rates.convert(connection, Decimal(amount), given, wanted, day)
    assert made == rates.Conversion(Decimal(case["is"]), wanted, Decimal(case["rate"]), case["dated"], case["way"])


def test_only_what_changes_is_written_and_noted(store: Store, database_url: str) -> None:
    assert put(store, rate("USD", "RUB", DAY, "80.5"), rate("EUR", "RUB", DAY, "90")) == [True, True]
    again = [rate("EUR", "RUB", DAY, "90"), rate("USD", "RUB", DAY, "80.50"), rate("CNY", "RUB", DAY, "11")]
    assert put(store, *again) == [False, False, True]
    assert put(store, rate("EUR", "RUB", DAY, "90", source="elsewhere")) == [True]
    noted = rows(
        database_url, "SELECT action, subject_id, before->>'source', after->>'source' FROM audit_log ORDER BY id"
    )
    assert noted == [
        ("create", "USD/RUB/2026-05-01", None, "test"),
        ("create", "EUR/RUB/2026-05-01", None, "test"),
        ("create", "CNY/RUB/2026-05-01", None, "test"),
        ("update", "EUR/RUB/2026-05-01", "test", "elsewhere"),
    ]


def test_thousands_of_rates_are_set_in_one_statement(store: Store) -> None:
    many = [
        rate(base, "USD", date.fromordinal(DAY.toordinal() - number), f"{number + 1}.25")
        for base in ("EUR", "RUB", "CNY")
        for number in range(2000)
    ]
    assert put(store, *many) == [True] * 6000
    with store.connect() as connection:
        found = rates.page(connection, 10_000)
    assert {(row["base"], row["date"], row["rate"]) for row in found} == {
        (one.base, one.date, one.rate) for one in many
    }


def test_what_two_set_at_once_is_noted_as_it_came_one_after_the_other(store: Store, database_url: str) -> None:
    put(store, rate("USD", "RUB", DAY, 1))
    others = [threading.Thread(target=put, args=(store, rate("USD", "RUB", DAY, value))) for value in (2, 3, 4)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    noted = rows(database_url, "SELECT before->>'rate', after->>'rate' FROM audit_log ORDER BY id")
    assert len(noted) == 4
    assert [before for before, _ in noted] == [None, *(after for _, after in noted[:-1])]


def test_a_rate_says_since_when_it_is_stored(store: Store) -> None:
    before = datetime.now(UTC)
    with store.transaction() as connection:
        [one] = rates.set_rates(connection, ACTOR, [rate("USD", "RUB", DAY, 80)])
    assert before <= one.created_at <= datetime.now(UTC)
