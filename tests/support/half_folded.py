"""A store of made-up events, the half of them folded, and an oracle that knows them: what exactness is tested on."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tally import tokens
from tally.database import Store
from tally.principal import Principal
from tally.rollup import fold_step
from tests.support.events import TOKENS, random_events
from tests.support.exchange_rates import Rate, Rates, store_rates
from tests.support.oracle import Oracle
from tests.support.postgres import Server, settings_of
from tests.support.store import batches, record

NOW = datetime(2026, 4, 6, 12, 34, 56, 789_012, UTC)
EVERYBODY = Principal("t", "reader", frozenset({"read", "read:all"}))
ZONES = (
    "UTC",
    "Asia/Tokyo",
    "Asia/Taipei",
    "America/New_York",
    "Asia/Kolkata",  # +05:30
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # the clocks change by half an hour
    "Pacific/Chatham",  # +12:45 and +13:45
    "America/St_Johns",
    "America/Santiago",  # the clocks change at midnight, so that a day begins at 01:00
    "America/Havana",  # midnight comes twice
    "Europe/Moscow",
    "Pacific/Kiritimati",  # +14
    "Pacific/Pago_Pago",  # -11
)
# Where days and months begin and clocks change, in the zones above.
MOMENTS = [
    datetime.fromisoformat(text)
    for text in (
        "2025-09-07T04:00Z", "2025-10-04T15:30Z", "2025-10-26T01:00Z", "2025-11-02T05:00Z", "2025-11-02T06:00Z",
        "2025-12-31T15:00Z", "2025-12-31T17:30Z", "2026-01-01T00:00Z", "2026-01-31T18:15Z", "2026-01-31T18:30Z",
        "2026-02-28T10:00Z", "2026-03-01T05:00Z", "2026-03-08T07:00Z", "2026-03-29T01:00Z", "2026-03-31T17:30Z",
        "2026-04-01T00:00Z", "2026-04-04T14:30Z", "2026-04-04T15:00Z", "2026-04-05T03:00Z", "2026-04-05T04:00Z",
        "2026-04-06T00:00Z", "2026-04-06T12:00Z",
    )
]  # fmt: skip
# Of some days only; the yen only by way of the rouble, and none at all of the franc.
RATES = Rates(
    tuple(
        Rate(base, quote, date.fromisoformat(day), Decimal(rate))
        for base, quote, day, rate in (
            ("USD", "RUB", "2025-10-04", "81.0273"), ("USD", "RUB", "2025-12-31", "78.2267"),
            ("RUB", "USD", "2026-01-31", "0.0131"), ("USD", "RUB", "2026-04-05", "79.5"),
            ("EUR", "USD", "2025-11-02", "1.1527"), ("EUR", "USD", "2026-04-06", "1.17"),
            ("EUR", "RUB", "2026-03-01", "90.33"), ("USD", "JPY", "2026-02-28", "155.9"),
        )
    )
)  # fmt: skip
NAMES = {TOKENS[0]: ("gateway of acme", "red"), TOKENS[1]: ("batch", "blue")}


def made_up_times(rng: random.Random) -> list[datetime]:
    """Times on and beside the moments, and some anywhere."""
    steps = [timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1), timedelta(minutes=-30)]
    times = [moment + step for moment in MOMENTS for step in steps]
    times += [moment + timedelta(seconds=rng.uniform(-40_000, 40_000)) for moment in MOMENTS for _ in range(10)]
    times += [NOW - timedelta(seconds=rng.uniform(0, 210 * 86400)) for _ in range(150)]
    times = [time for time in times if time <= NOW]
    rng.shuffle(times)
    return times


# So that about half of the users are detailed, from various steps on.
DETAILED_FROM = 12


@dataclass(frozen=True)
class HalfFolded:
    """A database with about 500 events, and what must come out of it. `query` may be started on `url`."""

    url: str
    store: Store
    oracle: Oracle


@contextmanager
def half_folded(postgres: Server, seed: int = 20260406) -> Iterator[HalfFolded]:
    """About 500 events, the half of them folded, in steps; the other half shares hours and days with them."""
    url = postgres.create()
    rng = random.Random(seed)
    oracle = Oracle(NAMES, RATES)
    store_rates(url, RATES)
    events = list(random_events(rng, made_up_times(rng)))
    store = Store(settings_of(url), "tests")
    tokens.register_reported(store, [(token, *name) for token, name in NAMES.items()])
    half = len(events) // 2
    for part in batches(events[:half], 40):
        record(store, part, NOW)
        while rng.random() < 0.5:
            fold_step(store, events=25, detailed_from=DETAILED_FROM)
    while fold_step(store, detailed_from=DETAILED_FROM):
        pass
    record(store, events[half:], NOW)
    for event in events:
        oracle.add(event, NOW)
    yield HalfFolded(url, store, oracle)
    store.dispose()
    postgres.drop(url)
