"""What an event takes: bytes on its way, processor time, write-ahead log and disk. `docs/costs/load.toml` rests on it.

    python -m benchmarks.footprint

Not part of `make bench`: nothing is compared, and what an event takes hardly depends on how busy the machine is.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import LiteralString

import orjson
import psutil

from benchmarks import payloads, takers
from benchmarks.databases import Database, Databases
from benchmarks.harness import Bench, agree
from tally import tokens
from tally.database import Store
from tally.local.postgres import EmbeddedPostgres
from tally.local.sample import generate
from tally.rollup import run_once

_SECONDS = 600.0  # more than any of it takes
_RECORDED = {1: 100_000, 100: 500_000}
_INGESTED = {1: 60_000, 100: 300_000}

_WAL: LiteralString = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_PARTITIONED: LiteralString = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(%s)"
_CUBES: LiteralString = """
    SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND starts_with(relname, 'cube_')
"""


@dataclass
class Spent:
    """Processor seconds by program, bytes of write-ahead log."""

    cpu: dict[str, float] = field(default_factory=dict)
    wal: int = 0

    def say(self, events: int) -> None:
        for program, seconds in sorted(self.cpu.items()):
            _say(f"µs of CPU, {program}", 1e6 * seconds / events)
        _say("bytes of WAL", self.wal / events)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tally-footprint-") as name, EmbeddedPostgres(Path(name) / "pg") as server:
        bench = Bench(Databases(server), Path(name), datetime.now(UTC), 1, _SECONDS, (1, 1))
        for each, count in _RECORDED.items():
            _record(bench, each, count)
        for each, count in _INGESTED.items():
            _ingest(bench, each, count)


def _record(bench: Bench, each: int, count: int) -> None:
    with takers.record(bench) as taker:
        _title(f"{count:,} events through record, {each} a message")
        sample = [len(_data(chunk)) for chunk in payloads.chunks(_events(bench, 10_000), each)]
        _say("bytes of message data", sum(sample) / len(sample) / each)
        with _measured(bench, taker.database) as spent:
            _send(bench, taker, payloads.push, each, count)
        spent.say(count)
        _say("bytes of disk, events", taker.database.count(_PARTITIONED, ["usage_events"]) / count)
        _say("bytes of disk, keys", taker.database.count(_PARTITIONED, ["dedupe_keys"]) / count)

        _title(f"the same {count:,} events folded")
        with _measured(bench, taker.database) as spent:
            agree("events folded", run_once(takers.settings_of(taker.database)).folded, count)
        spent.say(count)
        _say("bytes of disk, cubes", taker.database.count(_CUBES) / count)


def _ingest(bench: Bench, each: int, count: int) -> None:
    with takers.ingest(bench) as taker:
        _title(f"{count:,} events through ingest and record, {each} a request")
        store = Store(takers.settings_of(taker.database), "tally footprint")
        secret = tokens.create(store, "footprint", ["ingest"]).secret
        store.dispose()
        with _measured(bench, taker.database) as spent:
            _send(bench, taker, partial(payloads.ingest, token=secret), each, count)
        spent.say(count)


def _send(
    bench: Bench, taker: takers.Taker, request: Callable[[Sequence[payloads.Event]], bytes], each: int, count: int
) -> None:
    taker.send(map(request, payloads.chunks(_events(bench, count), each)), _SECONDS)
    agree("events stored", taker.stored(), count)


def _events(bench: Bench, count: int) -> Iterator[payloads.Event]:
    """Of all four systems, as `make up` shows them."""
    return generate(count, 1, payloads.SEED, bench.started)


def _data(events: Sequence[payloads.Event]) -> bytes:
    return orjson.dumps(events[0] if len(events) == 1 else events)


@contextmanager
def _measured(bench: Bench, database: Database) -> Iterator[Spent]:
    spent = Spent()
    bench.databases.checkpoint()
    cpu, wal = _cpu(), database.count(_WAL)
    yield spent
    spent.cpu = {program: seconds - cpu.get(program, 0.0) for program, seconds in _cpu().items()}
    spent.wal = database.count(_WAL) - wal


def _cpu() -> dict[str, float]:
    """Processor seconds until now of what runs for the functions, by program; the load driver has left by then."""
    seconds: dict[str, float] = {}
    for process in psutil.Process().children(recursive=True):
        try:
            command, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.NoSuchProcess:  # a backend that has just left; its parent keeps its account
            continue
        program = next((name for name in ("record", "ingest") if f"functions/{name}/" in command), "postgres")
        spent = times.user + times.system + times.children_user + times.children_system
        seconds[program] = seconds.get(program, 0.0) + spent
    return seconds


def _title(text: str) -> None:
    print(f"\n{text}; of each event", flush=True)


def _say(name: str, figure: float) -> None:
    print(f"    {name:24}{figure:8,.1f}", flush=True)


if __name__ == "__main__":
    main()
