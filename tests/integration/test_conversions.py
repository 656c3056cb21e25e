"""The one rule by which all costs are converted, in the database, against one that looks at every rate there is."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.exchange_rates import Rate, Rates
from tests.support.postgres import Server

FIRST = date(2026, 4, 27)
CURRENCIES = ["USD", "EUR", "RUB", "JPY"]
DAYS = [FIRST + timedelta(days=number) for number in range(8)]

Asked = tuple[str, date]
Known = Mapping[tuple[str, str, date], Decimal]  # by base, quote and date
Converted = tuple[Fraction, date, str]  # what one unit is, of which day the rate is, by which way

pairs = st.permutations(CURRENCIES).map(lambda one: (one[0], one[1]))
keys = st.tuples(pairs, st.sampled_from(DAYS)).map(lambda one: (*one[0], one[1]))
amounts = st.decimals("0.000001", 10**6, places=6) | st.integers(1, 10**15).map(Decimal) | st.just(Decimal("1e-30"))
some_rates = st.dictionaries(keys, amounts, max_size=16)
# Days that are before all rates and after them, currencies that have none, and the same asked for twice.
asked_days = st.sampled_from([FIRST - timedelta(days=2), *DAYS, FIRST + timedelta(days=30)])
some_asked = st.lists(st.tuples(st.sampled_from([*CURRENCIES, "GEL"]), asked_days), max_size=12)


@pytest.fixture(scope="module")
def connection(postgres: Server) -> Iterator[psycopg.Connection]:
    url = postgres.create()
    with psycopg.connect(url) as connection:
        yield connection
    postgres.drop(url)


def fill(connection: psycopg.Connection, rates: Known) -> None:
    connection.execute("TRUNCATE exchange_rates")
    rows = [(*key, rate) for key, rate in rates.items()]
    insert = "INSERT INTO exchange_rates (base, quote, date, rate, source) VALUES (%s, %s, %s, %s, 'test')"
    connection.cursor().executemany(insert, rows)


def conversions(connection: psycopg.Connection, quote: str, asked: Sequence[Asked]) -> dict[Asked, Converted]:
    """As the database has them; no pair and day may be there twice."""
    rows = connection.execute(
        "SELECT base, day, multiplier, divisor, dated, way FROM conversions(%s, %s::text[], %s::date[])",
        (quote, [base for base, _ in asked], [day for _, day in asked]),
    ).fetchall()
    found = {
        (base, day): (Fraction(multiplier) / Fraction(divisor), dated, way)
        for base, day, multiplier, divisor, dated, way in rows
    }
    assert len(found) == len(rows)
    return found


@settings(max_examples=300, deadline=None)
@given(some_rates, st.sampled_from([*CURRENCIES, "GEL"]), some_asked)
def test_every_pair_and_day_is_converted_by_the_rule_to_the_last_digit(
    connection: psycopg.Connection, rates: Known, quote: str, asked: Sequence[Asked]
) -> None:
    fill(connection, rates)
    oracle = Rates(tuple(Rate(*key, rate) for key, rate in rates.items()))
    expected = {(base, day): oracle.conversion(base, quote, day) for base, day in asked}
    assert conversions(connection, quote, asked) == {pair: one for pair, one in expected.items() if one is not None}


def test_of_two_rates_of_one_day_the_direct_one_counts(connection: psycopg.Connection) -> None:
    both = {("EUR", "RUB", FIRST): Decimal(90), ("RUB", "EUR", FIRST): Decimal("0.01")}
    over = {("EUR", "USD", FIRST): Decimal(2), ("USD", "RUB", FIRST): Decimal(40)}
    fill(connection, {**both, **over})
    asked = [("EUR", FIRST)]
    assert conversions(connection, "RUB", asked)["EUR", FIRST] == (Fraction(90), FIRST, "direct")
    fill(connection, {("RUB", "EUR", FIRST): Decimal("0.01"), **over})
    assert conversions(connection, "RUB", asked)["EUR", FIRST] == (Fraction(100), FIRST, "inverse")
    fill(connection, over)
    assert conversions(connection, "RUB", asked)["EUR", FIRST] == (Fraction(80), FIRST, "cross")


def test_a_newer_rate_wins_by_whichever_way_it_goes(connection: psycopg.Connection) -> None:
    day = FIRST + timedelta(days=1)
    old = {("EUR", "RUB", FIRST): Decimal(90)}
    over = {("USD", "EUR", day): Decimal("0.5"), ("USD", "RUB", day): Decimal(40)}
    fill(connection, {**old, **over})
    assert conversions(connection, "RUB", [("EUR", day)])["EUR", day] == (Fraction(80), day, "cross")
    half_old = {("USD", "EUR", FIRST): Decimal("0.5"), ("USD", "RUB", day): Decimal(40)}
    fill(connection, {**old, **half_old})
    assert conversions(connection, "RUB", [("EUR", day)])["EUR", day] == (Fraction(90), FIRST, "direct")


def test_nothing_asked_for_is_nothing(connection: psycopg.Connection) -> None:
    assert conversions(connection, "USD", []) == {}
