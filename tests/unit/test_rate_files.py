"""Files of exchange rates, as people and central banks write them, and what is said of those that cannot be read."""

import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from tally.errors import Unprocessable
from tally.exchange_rate import ExchangeRate
from tally.rate_files import from_csv, from_xml

TODAY = date(2026, 5, 4)
Read = tuple[str, str, str, Decimal, str]

# The historic file of the European Central Bank: what one euro is, N/A where a currency was not quoted, and a comma at
# the end of each line.
EUROPE = """Date,USD,JPY,CYP,RUB,GBP,
2026-05-04,1.0912,162.53,N/A,N/A,0.8561,
2026-04-30,1.0876,161.9,,92.3450,0.8549,
"""
# That of one day.
EUROPE_TODAY = "Date, USD, JPY, GBP, \n04 May 2026, 1.0912, 162.53, 0.8561, \n"
RUSSIA = """<?xml version="1.0" encoding="windows-1251"?>
<ValCurs Date="05.05.2026" name="Foreign Currency Market">
<Valute ID="R01235"><NumCode>840</NumCode><CharCode>USD</CharCode><Nominal>1</Nominal><Name>Доллар США</Name><Value>80,5012</Value><VunitRate>80,5012</VunitRate></Valute>
<Valute ID="R01820"><NumCode>392</NumCode><CharCode>JPY</CharCode><Nominal>100</Nominal><Name>Иен</Name><Value>51,9275</Value><VunitRate>0,519275</VunitRate></Valute>
<Valute ID="R01717"><NumCode>860</NumCode><CharCode>UZS</CharCode><Nominal>10000</Nominal><Name>Узбекских сумов</Name><Value>66,4321</Value><VunitRate>0,00664321</VunitRate></Valute>
</ValCurs>""".encode("windows-1251")  # noqa: E501


def told(rates: Iterator[ExchangeRate]) -> list[Read]:
    return [(rate.base, rate.quote, str(rate.date), rate.rate, rate.source) for rate in rates]


def csv(text: str, source: str | None = None) -> list[Read]:
    """What is read of a CSV file in which nothing is left out."""
    left_out: list[str] = []
    found = told(from_csv(io.StringIO(text, newline=""), TODAY, source=source, with_usd=False, tell=left_out.append))
    assert left_out == []
    return found


def test_own_columns_may_be_in_any_order_with_or_without_a_source() -> None:
    text = 'quote,Base, rate,date,source\nRUB,usd,80.50,2026-05-01,"our bank, Moscow"\n\nUSD,EUR, 1.09 ,2026-05-02,\n'
    assert csv(text) == [
        ("USD", "RUB", "2026-05-01", Decimal("80.50"), "our bank, Moscow"),
        ("EUR", "USD", "2026-05-02", Decimal("1.09"), "set by hand"),
    ]
    assert csv("date,base,quote,rate\r\n2026-05-01,USD,RUB,80\r\n", "me")[0][-1] == "me"
    assert csv("date,base,quote,rate\n") == []


def test_the_european_central_bank_has_a_column_for_each_currency_and_gaps() -> None:
    left_out: list[str] = []
    rates = told(from_csv(io.StringIO(EUROPE), TODAY, source=None, with_usd=False, tell=left_out.append))
    bank = "European Central Bank"
    assert rates == [
        ("EUR", "USD", "2026-05-04", Decimal("1.0912"), bank),
        ("EUR", "JPY", "2026-05-04", Decimal("162.53"), bank),
        ("EUR", "GBP", "2026-05-04", Decimal("0.8561"), bank),
        ("EUR", "USD", "2026-04-30", Decimal("1.0876"), bank),
        ("EUR", "JPY", "2026-04-30", Decimal("161.9"), bank),
        ("EUR", "RUB", "2026-04-30", Decimal("92.3450"), bank),
        ("EUR", "GBP", "2026-04-30", Decimal("0.8549"), bank),
    ]
    assert left_out == ["Left out, since they are no currencies any more: CYP"]


def test_its_file_of_one_day_writes_the_month_out() -> None:
    assert [rate[:4] for rate in csv(EUROPE_TODAY)] == [
        ("EUR", "USD", "2026-05-04", Decimal("1.0912")),
        ("EUR", "JPY", "2026-05-04", Decimal("162.53")),
        ("EUR", "GBP", "2026-05-04", Decimal("0.8561")),
    ]


def test_the_bank_of_russia_has_roubles_for_so_many_units_with_a_decimal_comma() -> None:
    assert told(from_xml(RUSSIA, TODAY, source=None, with_usd=False)) == [
        ("USD", "RUB", "2026-05-05", Decimal("80.5012"), "Bank of Russia"),
        ("JPY", "RUB", "2026-05-05", Decimal("0.519275"), "Bank of Russia"),
        ("UZS", "RUB", "2026-05-05", Decimal("0.00664321"), "Bank of Russia"),
    ]


def test_what_a_dollar_is_in_each_currency_is_worked_out_where_wanted() -> None:
    """Over euros 1 USD is 90 / 1.25 RUB and 0.8 / 1.25 GBP; over roubles 80 / 0.5 JPY, and 80 / 12 CNY to 20 digits."""
    europe = "Date,USD,RUB,GBP\n2026-05-01,1.25,90,0.8\n2026-04-30,N/A,90,0.8\n"
    rates = told(from_csv(io.StringIO(europe), TODAY, source=None, with_usd=True, tell=print))
    assert [rate for rate in rates if rate[0] == "USD"] == [
        ("USD", "RUB", "2026-05-01", Decimal(72), "European Central Bank, worked out"),
        ("USD", "GBP", "2026-05-01", Decimal("0.64"), "European Central Bank, worked out"),
    ]
    assert len(rates) == 5 + 2
    values = {"USD": (1, "80,0"), "JPY": (100, "50"), "CNY": (1, "12")}
    currencies = "".join(
        f"<Valute><CharCode>{code}</CharCode><Nominal>{nominal}</Nominal><Value>{value}</Value></Valute>"
        for code, (nominal, value) in values.items()
    )
    russia = f'<ValCurs Date="01.05.2026">{currencies}</ValCurs>'.encode()
    assert told(from_xml(russia, TODAY, source="bank", with_usd=True))[3:] == [
        ("USD", "JPY", "2026-05-01", Decimal(160), "bank, worked out"),
        ("USD", "CNY", "2026-05-01", Decimal("6.6666666666666666667"), "bank, worked out"),
    ]


HEADER = "date,base,quote,rate\n"
GOOD = "2026-05-01,USD,RUB,80\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + GOOD + "2026-05-02,USD,RUB,0\n", "line 3: rate: must be above 0"),
        (HEADER + GOOD + "2026-05-02,USD,RUR,80\n", 'line 3: quote: is not a currency'),
        (HEADER + GOOD + "02.05.2026,USD,RUB,80\n", "line 3: date: expected a date such as 2026-05-01, not '02."),
        (HEADER + GOOD + "2026-05-06,USD,RUB,80\n", "line 3: date: must not be after 2026-05-05"),
        (HEADER + GOOD + '2026-05-02,USD,RUB,"80,5"\n', "line 3: rate: expected a decimal number such as 0.0125"),
        (HEADER + GOOD + "2026-05-02,USD,RUB,80,5\n", "line 3: has 5 columns, but the first line has 4"),
        (HEADER + GOOD + "2026-05-02,USD\n", "line 3: has 2 columns, but the first line has 4"),
        (HEADER + GOOD + "\n2026-05-01,USD,RUB,81\n", "line 4: USD/RUB/2026-05-01 is there already, at line 2"),
        (HEADER + '2026-05-01,USD,RUB,"8\n0"\n', "line 3: rate: expected a decimal number"),
        (HEADER + "2026-05-01,USD,RUB,80\rx\n", "line"),
        ("date,base,quote,rate,sorce\n", 'line 1: "sorce" is no column here, or is there twice; did you mean "sour'),
        ("date,base,quote,rate,rate\n", 'line 1: "rate" is no column here, or is there twice; known are date'),
        ("day,from,to,price\n", "line 1: expected the columns date, base, quote, rate, source (source"),
        ("Date,ABC,DEF\n", "line 1: expected the columns"),
        ("", "line 1: expected the columns"),
        ("Date,USD,JPY\n2026-05-01,1.1,160,80\n", "line 2: has 4 columns, but the first line has 3"),
        ("Date,USD,JPY\n2026-05-01,1.1,nothing\n", "line 2: rate: expected a decimal number such as 0.0125, not 'no"),
        ("Date,USD,JPY\nMay,1.1,160\n", "line 2: date: expected a date such as 2026-05-01, not 'May'"),
        ("Date,USD,EUR\n2026-05-01,1.1,1\n", "line 2: quote: must be another currency than base, not 'EUR'"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(Unprocessable, match="Nothing was changed") as refused:
        csv(text)
    assert str(refused.value).startswith(said)


def test_a_file_in_another_encoding_is_said_to_be_none_of_text() -> None:
    lines = io.TextIOWrapper(io.BytesIO(HEADER.encode() + "2026-05-01,USD,RUB,80,Банк".encode("cp1251")), "utf-8")
    with pytest.raises(Unprocessable, match="is not text in UTF-8"):
        list(from_csv(lines, TODAY, source=None, with_usd=False, tell=print))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"</ValCurs>", b"", "the file: is not XML"),
        (b"ValCurs", b"Quotes", "the file: is not a <ValCurs Date"),
        (b"05.05.2026", b"today", "the file: is not a <ValCurs Date"),
        (b"05.05.2026", b"35.05.2026", "<CharCode>USD: date: is not in the calendar"),
        (b"80,5012", b"", "<CharCode>USD: rate: expected a decimal number"),
        (b"<Nominal>1<", b"<Nominal>0<", "<CharCode>USD: rate: expected a decimal number"),
        (b"<Nominal>100<", b"<Nominal>3<", "<CharCode>JPY: rate: expected a decimal number such as 0.0125, not '51"),
        (b">UZS<", b">JPY<", "<CharCode>JPY: JPY/RUB/2026-05-05 is there already"),
        (b">UZS<", b">SUM<", "<CharCode>SUM: base: is not a currency"),
    ],
)  # fmt: skip
def test_a_file_of_the_bank_of_russia_that_cannot_be_read_is_said_where(old: bytes, new: bytes, said: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        told(from_xml(RUSSIA.replace(old, new), TODAY, source=None, with_usd=False))
    assert str(refused.value).startswith(said)
