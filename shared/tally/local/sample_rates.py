"""Sample exchange rates: what a dollar was in roubles and a euro in dollars, the same for the same seed and day.

They wander from workday to workday and are drawn back to where they began; at weekends there are none, as with central
banks. Made up, and marked so by their source.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from tally.exchange_rate import ExchangeRate

SOURCE = "sample data"
_FIRST_DAY = date(2024, 1, 1)  # a path begins here, so that a day has the same rate whatever days are asked for
_DECIMALS = 4
_SATURDAY = 5


@dataclass(frozen=True)
class _Pair:
    """`level` and `step` are ten-thousandths of `quote`: what it is drawn to, and how far it goes in a day at most."""

    base: str
    quote: str
    level: int
    step: int


_PAIRS = (_Pair("USD", "RUB", 92_5000, 9000), _Pair("EUR", "USD", 1_0900, 60))


def sample_rates(seed: int, first_day: date, last_day: date) -> list[ExchangeRate]:
    """The rates of the workdays from `first_day` to `last_day`, both included, oldest first.

    The first of them is of the workday before where `first_day` is a day of the weekend.
    """
    while first_day.weekday() >= _SATURDAY:
        first_day -= timedelta(days=1)
    found = [rate for pair in _PAIRS for rate in _path(pair, seed, last_day) if rate.date >= first_day]
    return sorted(found, key=lambda rate: rate.date)


def _path(pair: _Pair, seed: int, last_day: date) -> Iterator[ExchangeRate]:
    rng = random.Random(f"tally sample rates {pair.base} {pair.quote} {seed}")
    value = pair.level
    for number in range((last_day - _FIRST_DAY).days + 1):
        day = _FIRST_DAY + timedelta(days=number)
        if day.weekday() < _SATURDAY:
            value += rng.randint(-pair.step, pair.step) + (pair.level - value) // 25
            rate = Decimal(value).scaleb(-_DECIMALS)
            yield ExchangeRate(base=pair.base, quote=pair.quote, rate=rate, date=day, source=SOURCE)
