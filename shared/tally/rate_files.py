"""Files of exchange rates, read row by row: Tally's own columns, and the layouts of two central banks. Pure.

- `date,base,quote,rate` and perhaps `source`, in any order
- the European Central Bank's `Date,USD,JPY,…` (eurofxref.csv, eurofxref-hist.csv): what one euro is in each
- the Bank of Russia's XML_daily.asp: what `Nominal` units of each currency are in roubles, with a decimal comma

A bank has rates of its own currency only, and the one way between two others is by way of US dollars. So what a dollar
is in each can be worked out from them, to 20 digits.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from difflib import get_close_matches
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree as ET

from pydantic import ValidationError

from tally.currencies import currencies
from tally.errors import Unprocessable
from tally.exchange_rate import ExchangeRate

BY_HAND = "set by hand"
_COLUMNS = ("date", "base", "quote", "rate", "source")
_NEEDED = frozenset(_COLUMNS) - {"source"}
_EUROPE = "European Central Bank"
_RUSSIA = "Bank of Russia"
_NOT_KNOWN = frozenset({"", "N/A"})
_CODE = re.compile(r"[A-Za-z]{3}")
_LONG_DATE = "%d %B %Y"  # as in the bank's file of one day
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])
_WORKED_OUT = Context(prec=20)

Row = tuple[str, Mapping[str, Any]]  # where it is, and the fields of its rate


def from_csv(
    lines: Iterable[str], today: date, *, source: str | None, with_usd: bool, tell: Callable[[str], None]
) -> Iterator[ExchangeRate]:
    """The rates of a CSV file.

    Args:
        lines: of the file.
        today: the day (UTC); a rate is known a day ahead at most.
        source: who says so, where the file does not; by default the bank, or that they were set by hand.
        with_usd: whether what a dollar is in each currency is worked out from a bank's rates.
        tell: is told what was left out.

    Raises:
        Unprocessable: names the line and what is wrong with it.
    """
    return _checked(_csv_rows(csv.reader(lines, skipinitialspace=True), source, with_usd, tell), today)


def from_xml(content: bytes, today: date, *, source: str | None, with_usd: bool) -> Iterator[ExchangeRate]:
    """The rates of a file of the Bank of Russia; arguments and errors as `from_csv`, naming the currency."""
    return _checked(_xml_rows(content, source or _RUSSIA, with_usd), today)


def _checked(rows: Iterable[Row], today: date) -> Iterator[ExchangeRate]:
    places: dict[str, str] = {}
    for place, fields in rows:
        try:
            rate = ExchangeRate.model_validate(fields, context={"today": today})
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            message = fault["msg"].removeprefix("Value error, ")
            raise _refused(place, f"{fault['loc'][0]}: {message}, not {str(fault['input'])[:100]!r}") from None
        if rate.key in places:
            raise _refused(place, f"{rate.key} is there already, at {places[rate.key]}: a pair has one rate a day")
        places[rate.key] = place
        yield rate


def _csv_rows(reader: Any, source: str | None, with_usd: bool, tell: Callable[[str], None]) -> Iterator[Row]:
    try:
        header = [name.strip() for name in next(reader, ())]
        rows = _rows_below(header, source, with_usd, tell)
        for cells in reader:
            if any(cells):
                place = f"line {reader.line_num}"
                yield from ((place, fields) for fields in rows(place, cells))
    except csv.Error as error:
        raise _refused(f"line {reader.line_num}", str(error)) from None
    except UnicodeDecodeError:
        raise _refused(f"line {reader.line_num + 1}", "is not text in UTF-8") from None


def _rows_below(
    header: Sequence[str], source: str | None, with_usd: bool, tell: Callable[[str], None]
) -> Callable[[str, Sequence[str]], Iterable[Mapping[str, Any]]]:
    """What makes rates of a row, from its place and its cells."""
    names = [name.lower() for name in header]
    if set(names) >= _NEEDED:
        return _own_rows(names, source or BY_HAND)
    codes = [name.upper() for name in header[1:] if name]
    if names[:1] == ["date"] and any(code in currencies() for code in codes) and all(map(_CODE.fullmatch, codes)):
        former = [code for code in codes if code not in currencies()]
        if former:
            tell(f"Left out, since they are no currencies any more: {', '.join(former)}")
        return _european_rows([name.upper() for name in header[1:]], source or _EUROPE, with_usd)
    raise _refused(
        "line 1",
        f"expected the columns {', '.join(_COLUMNS)} (source may be left out), or Date and a column for each currency "
        f"as the {_EUROPE} has it, not {','.join(header)[:100]!r}",
    )


def _own_rows(names: Sequence[str], source: str) -> Callable[[str, Sequence[str]], Iterable[Mapping[str, Any]]]:
    for name in names:
        if name not in _COLUMNS or names.count(name) > 1:
            near = get_close_matches(name, _COLUMNS, n=1)
            known = (
                f'did you mean "{near[0]}"?' if near and near[0] not in names else f"known are {', '.join(_COLUMNS)}"
            )
            raise _refused("line 1", f'"{name}" is no column here, or is there twice; {known}')

    def rows(place: str, cells: Sequence[str]) -> Iterable[Mapping[str, Any]]:
        if len(cells) != len(names):
            raise _refused(place, f"has {len(cells)} columns, but the first line has {len(names)}")
        given = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
        return [{**given, "source": given.get("source") or source}]

    return rows


def _european_rows(
    codes: Sequence[str], source: str, with_usd: bool
) -> Callable[[str, Sequence[str]], Iterable[Mapping[str, Any]]]:
    known = [(column, code) for column, code in enumerate(codes, 1) if code in currencies()]

    def rows(place: str, cells: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        if len(cells) > len(codes) + 1:
            raise _refused(place, f"has {len(cells)} columns, but the first line has {len(codes) + 1}")
        day = _day(cells[0].strip())
        found = {code: cells[column].strip() for column, code in known if column < len(cells)}
        values = {code: value for code, value in found.items() if value not in _NOT_KNOWN}
        for code, value in values.items():
            yield {"base": "EUR", "quote": code, "date": day, "rate": value, "source": source}
        if with_usd:  # each value was taken by now
            yield from _of_a_dollar({code: 1 / Fraction(value) for code, value in values.items()}, day, source)

    return rows


def _of_a_dollar(worth: Mapping[str, Fraction], day: str, source: str) -> Iterator[Mapping[str, Any]]:
    """What a dollar is in each currency, from what one unit of each is worth in the bank's own."""
    dollar = worth.get("USD")
    if dollar is not None:
        for code, one in worth.items():
            if code != "USD":
                share = dollar / one
                rate = _WORKED_OUT.divide(Decimal(share.numerator), Decimal(share.denominator))
                yield {"base": "USD", "quote": code, "date": day, "rate": rate, "source": f"{source}, worked out"}


def _day(text: str) -> str:
    """As ISO has it, where it is written as in 2 March 2026; else as it is."""
    try:
        return datetime.strptime(text, _LONG_DATE).date().isoformat()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return text


def _xml_rows(content: bytes, source: str, with_usd: bool) -> Iterator[Row]:
    try:
        root = ET.fromstring(content)  # noqa: S314 - whoever runs the command chose the file, and expat bounds entities
    except ET.ParseError as error:
        raise _refused("the file", f"is not XML: {error}") from None
    day = re.fullmatch(r"(\d\d)[./](\d\d)[./](\d{4})", root.get("Date", ""), re.ASCII)
    if root.tag != "ValCurs" or day is None:
        raise _refused("the file", f"is not a <ValCurs Date=…> as the {_RUSSIA} has it")
    date_of_all = "-".join(reversed(day.groups()))
    worth: dict[str, Fraction] = {}
    for currency in root.iter("Valute"):
        code = currency.findtext("CharCode", "")
        rate = _for_one(currency.findtext("Value", ""), currency.findtext("Nominal", ""))
        fields = {"base": code, "quote": "RUB", "date": date_of_all, "rate": rate, "source": source}
        yield f"<CharCode>{code[:10]}", fields
        worth[code.upper()] = Fraction(rate)  # which was taken by now
    if with_usd:
        yield from (("the file", fields) for fields in _of_a_dollar(worth, date_of_all, source))


def _for_one(value: str, nominal: str) -> Decimal | str:
    """The rate of one unit; as it is written where it is no number, or does not come out even."""
    try:
        return _EXACT.divide(Decimal(value.replace(",", ".")), Decimal(nominal))
    except (ArithmeticError, ValueError):
        return f"{value} for {nominal}"


def _refused(place: str, what: str) -> Unprocessable:
    return Unprocessable(f"{place}: {what}. Nothing was changed.")
