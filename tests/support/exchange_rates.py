"""What an amount is worth in another currency on a day, found by looking through all rates, in exact fractions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from tests.support.postgres import execute

_WAYS = {1: "direct", 2: "inverse", 3: "cross"}


@dataclass(frozen=True)
class Rate:
    """On `date`, one `base` is `rate` `quote`."""

    base: str
    quote: str
    date: date
    rate: Decimal


@dataclass(frozen=True)
class Rates:
    """All rates that are known."""

    known: tuple[Rate, ...] = ()

    def factor(self, base: str, quote: str, day: date) -> tuple[Fraction, date] | None:
        """What one `base` is worth in `quote`, and of when the rate is."""
        found = self.conversion(base, quote, day)
        return None if found is None else found[:2]

    def conversion(self, base: str, quote: str, day: date) -> tuple[Fraction, date, str] | None:
        """The same, and which way it goes. The newest way wins, then the shortest."""
        if base == quote:
            return Fraction(1), day, "same"
        ways = [*self._between(base, quote, day)]
        for one, first_date, _ in self._newest(base, "USD", day):
            for other, second_date, _ in self._newest("USD", quote, day):
                ways.append((one * other, min(first_date, second_date), 3))
        if not ways:
            return None
        factor, dated, steps = min(ways, key=lambda way: (-way[1].toordinal(), way[2]))
        return factor, dated, _WAYS[steps]

    def _between(self, base: str, quote: str, day: date) -> Iterable[tuple[Fraction, date, int]]:
        for one in self.known:
            if one.date <= day and (one.base, one.quote) == (base, quote):
                yield Fraction(one.rate), one.date, 1
            if one.date <= day and (one.base, one.quote) == (quote, base):
                yield 1 / Fraction(one.rate), one.date, 2

    def _newest(self, base: str, quote: str, day: date) -> list[tuple[Fraction, date, int]]:
        return sorted(self._between(base, quote, day), key=lambda way: (-way[1].toordinal(), way[2]))[:1]


def store_rates(database_url: str, rates: Rates) -> None:
    """Puts rates into a database."""
    for one in rates.known:
        execute(
            database_url,
            "INSERT INTO exchange_rates (base, quote, date, rate, source)"
            f" VALUES ('{one.base}', '{one.quote}', '{one.date}', {one.rate}, 'tests')",
        )
