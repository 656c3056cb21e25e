"""What pricing adds to the recorder: AI calls without a cost, priced from the whole book, against the same unpriced.

Both sides have the book of prices in their database; the other recorder does not look at it.
"""

import time
from collections.abc import Iterator, Sequence

import orjson
from typing_extensions import override

from benchmarks import payloads, recording, takers
from benchmarks.databases import Database
from benchmarks.harness import Bench, Measured, Result, Side, Target, agree
from benchmarks.recording import ROWS_A_TRANSACTION
from tally import price_import
from tally.costing import Pricing
from tally.local.sample import generate
from tally.message import Message
from tally.recorder import Contents, Recorder, read
from tally.rows import Received

NAME = "costing"
OURS = "recorder with prices, AI calls, one connection, 500 rows a transaction"
AGAINST = "the same recorder without looking at prices, same events"
_RETENTION_DAYS = 400
_EVENTS_A_SECOND = 12_000
_COSTS = ("cost", "cost_usd", "cost_rub")


class _WithoutPrices(Recorder):
    @override
    def _pricing_of(self, received: Sequence[Received]) -> Pricing | None:
        return None


def measure(bench: Bench) -> list[Result]:
    priced, unpriced = (recording.database(bench, name) for name in ("bench_priced", "bench_unpriced"))
    sides = {priced: recording.recorder(priced), unpriced: recording.recorder(unpriced, _WithoutPrices)}
    for database in sides:
        price_import.seed(takers.settings_of(database))

    def run_of(database: Database, run: int) -> Measured:
        transactions = _transactions(bench, run)
        started = time.perf_counter()
        stored = sum(sides[database].record(transaction).stored for transaction in transactions)
        seconds = time.perf_counter() - started
        agree("rows stored and events given", stored, len(transactions) * ROWS_A_TRANSACTION)
        return {"µs an event": seconds / stored * 1e6}

    figures = bench.compare(
        Side("with prices", lambda run: run_of(priced, run)),
        Side("without", lambda run: run_of(unpriced, run)),
        {"µs an event": Target(1.1, more_is_better=False)},
    )
    (events, with_price), other = _counts(priced), _counts(unpriced)
    agree("events of both sides, and those with a price where prices are not looked at", (events, 0), other)
    bench.say(f"{with_price / events:.0%} of the calls have a price")
    return [Result(OURS, AGAINST, figures)]


def _transactions(bench: Bench, run: int) -> list[Sequence[Contents]]:
    count = int(_EVENTS_A_SECOND * bench.seconds)
    return [
        [read(Message(f"{run}-{number}", bench.started, {}, orjson.dumps(chunk)), _RETENTION_DAYS)]
        for number, chunk in enumerate(payloads.chunks(_calls(bench, run, count), ROWS_A_TRANSACTION))
    ]


def _calls(bench: Bench, run: int, count: int) -> Iterator[dict[str, object]]:
    """The calls of the content platform and the generator, as they are where senders do not know what they cost."""
    for event in generate(count, 1, payloads.SEED, payloads.end_of(bench.started, run)):
        if "model" in event:
            yield {name: value for name, value in event.items() if name not in _COSTS}


def _counts(database: Database) -> tuple[int, int]:
    """How many events there are, and how many have a price."""
    with database.connect() as connection:
        [found] = connection.execute("SELECT count(*), count(price_id) FROM usage_events").fetchall()
    return found[0], found[1]
