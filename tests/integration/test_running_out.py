"""A forecast says when the first budget of the same events runs out, whatever its currency."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from tally import tokens
from tally.budgets.running_out import with_budgets
from tally.database import Store
from tally.principal import Principal
from tally.usage.forecast_question import answer, parse_forecast_question
from tally.usage.inquiry import Inquiry
from tests.support.budgets import make
from tests.support.exchange_rates import Rate, Rates, store_rates
from tests.support.postgres import Server, execute, settings_of
from tests.support.store import record

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
EVERYBODY = Principal("t", "reader", frozenset({"read", "read:all"}))
HASH = "ab" * 32


@pytest.fixture(scope="module")
def url(postgres: Server) -> Iterator[str]:
    """Ten dollars a day of acme since the beginning of the year, today a half of it; one dollar a day of others."""
    made = postgres.create()
    store = Store(settings_of(made), "tests")
    midnight = NOW.replace(hour=0)
    calls = []
    for back in range(140):
        for organization, amount in (("acme", "10"), ("others", "1")):
            calls.append(
                {
                    "id": f"{organization} {back}", "source": "s", "model": "m", "organization_id": organization,
                    "user_id": "u", "token_hash": HASH, "time": (midnight - timedelta(days=back)).isoformat(),
                    "cost": {"amount": amount if back else str(Decimal(amount) / 2), "currency": "USD"},
                }
            )  # fmt: skip
    record(store, calls, NOW)
    store_rates(made, Rates((Rate("USD", "RUB", date(2025, 1, 1), Decimal(80)),)))
    store.dispose()
    yield made
    postgres.drop(made)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(settings_of(url), "tests")
    yield store
    store.dispose()
    execute(url, "TRUNCATE budgets CASCADE; TRUNCATE api_tokens CASCADE")


def asked(store: Store, principal: Principal = EVERYBODY, **given: str) -> Any:
    """`budget_exhausted_on` of a forecast."""
    with store.snapshot() as connection:
        inquiry = Inquiry(connection, principal, NOW)
        question = parse_forecast_question(given.items(), NOW)
        forecast = partial(answer, inquiry, question)
        return with_budgets(inquiry, question.filters, question.currency, forecast)["budget_exhausted_on"]


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        # 195 are spent this month; tomorrow is the 21st.
        ({"amount": "200", "window": "month"}, "2026-05-21"),
        ({"amount": "226", "window": "month"}, "2026-05-24"),
        # May would end at 305, June at 300.
        ({"amount": "306", "window": "month"}, None),
        ({"amount": "10", "window": "day"}, "2026-05-21"),
        ({"amount": "11", "window": "day"}, None),
        ({"amount": "1395", "window": "total"}, "2026-05-20"),
        ({"amount": "1500", "window": "total"}, "2026-05-31"),
        # 80 roubles a dollar
        ({"amount": "120000", "window": "total", "currency": "RUB"}, "2026-05-31"),
        ({"amount": "1", "window": "total", "user_id": "u"}, None),
        ({"amount": "1", "window": "total", "organization_id": "others"}, None),
    ],
)
def test_the_date_is_as_worked_out_by_hand(store: Store, budget: dict[str, str], expected: str | None) -> None:
    make(store, **{"currency": "USD", "organization_id": "acme", **budget})
    assert asked(store, organization_id="acme", days="60") == expected


def test_the_first_of_several_counts(store: Store) -> None:
    for amount, currency in (("1500", "USD"), ("118000", "RUB"), ("1600", "USD")):
        make(store, organization_id="acme", window="total", amount=amount, currency=currency)
    assert asked(store, organization_id="acme") == "2026-05-28"
    assert asked(store, organization_id="acme", currency="EUR") == "2026-05-28"


def test_who_sees_only_its_own_is_told_of_its_own_budget(store: Store) -> None:
    make(store, organization_id="acme", window="total", amount="1500", currency="USD")
    own = Principal("t", "own", frozenset({"read"}), organization_id="acme")
    other = Principal("t", "other", frozenset({"read"}), organization_id="others")
    assert asked(store, own) == "2026-05-31"
    assert asked(store, other) is None
    assert asked(store) is None


def test_a_budget_of_a_token_counts_for_its_hash(store: Store) -> None:
    token = tokens.register(store, "t", ["ingest"], HASH)
    make(store, token_id=token.id, window="total", amount="1600", currency="USD")
    assert asked(store, token=HASH) == asked(store, token=HASH.upper()) is not None
    assert asked(store, model="m") is None
    assert asked(store, route="/x") is None
