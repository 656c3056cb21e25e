"""What an amount is in another currency, by the plainest reading of the rule: looks at every rate there is."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

Rates = Mapping[tuple[str, str, date], Decimal]  # by base, quote, date
CROSS = "USD"


class Converted(NamedTuple):
    """What one unit of the one currency is in the other, of which day the rate is, and by which way."""

    factor: Fraction
    dated: date
    way: str


def convert(rates: Rates, base: str, quote: str, day: date) -> Converted | None:
    """The newest rate up to the day; of equally new ones the direct, then the inverse, then that over US dollars."""
    if base == quote:
        return Converted(Fraction(1), day, "same")
    ways = _between(rates, base, quote, day)
    to = _newest(_between(rates, base, CROSS, day))
    since = _newest(_between(rates, CROSS, quote, day))
    if to and since:
        ways.append(Converted(to.factor * since.factor, min(to.dated, since.dated), "cross"))
    return _newest(ways)


def _between(rates: Rates, base: str, quote: str, day: date) -> list[Converted]:
    known = [(pair, dated, Fraction(rate)) for (*pair, dated), rate in rates.items() if dated <= day]
    direct = [Converted(rate, dated, "direct") for pair, dated, rate in known if pair == [base, quote]]
    inverse = [Converted(1 / rate, dated, "inverse") for pair, dated, rate in known if pair == [quote, base]]
    return direct + inverse


def _newest(ways: list[Converted]) -> Converted | None:
    return max(ways, key=lambda way: way.dated, default=None)  # the first of equally new ones
