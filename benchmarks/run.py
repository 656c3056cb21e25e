"""Runs the benchmarks side by side and writes benchmarks/RESULTS.md.

    python benchmarks/run.py [--quick] [--only NAME]

RESULTS.md is written by a full run only; what `--quick` or `--only` measured is printed.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
RUNS, SECONDS = 5, 6.0
EVENTS = (1_000_000, 10_000_000)
QUICK_RUNS, QUICK_SECONDS = 1, 1.5
QUICK_EVENTS = (50_000, 200_000)


def main() -> int:
    from benchmarks import (
        ceiling,
        costing,
        folding,
        ingest_chain,
        machine,
        queries,
        record_batch,
        record_single,
        recorder_copy,
        report,
    )
    from benchmarks.databases import Databases
    from benchmarks.harness import Bench, Benchmark, Result
    from tally.local.postgres import EmbeddedPostgres

    benchmarks: list[Benchmark] = [record_single, record_batch, ingest_chain, recorder_copy, costing, folding, queries]
    options = _options([benchmark.NAME for benchmark in benchmarks])
    chosen = [benchmark for benchmark in benchmarks if benchmark.NAME in (options.only or benchmark.NAME)]
    runs, seconds = (QUICK_RUNS, QUICK_SECONDS) if options.quick else (RUNS, SECONDS)
    events = QUICK_EVENTS if options.quick else EVENTS
    started = datetime.now(UTC)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tally-bench-", dir=options.dir)))
        server = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        bench = Bench(Databases(server), folder, started, runs, seconds, events)
        _say("load driver by itself")
        limit = ceiling.measure()
        bench.say(f"{limit.requests_per_second:,.0f} requests/s at {limit.cpu_microseconds:.1f} µs each")
        results: list[Result] = []
        for number, benchmark in enumerate(chosen, 1):
            _say(f"{number}/{len(chosen)} {benchmark.NAME}: {benchmark.OURS}\n    against {benchmark.AGAINST}")
            results += benchmark.measure(bench)
        facts = machine.describe(bench.databases.version(), folder)

    print(report.table(results))
    if len(chosen) == len(benchmarks) and not options.quick:
        document = report.document(
            results,
            machine=facts,
            ceiling=limit,
            notes=bench.notes,
            started=started,
            runs=runs,
            seconds=seconds,
        )
        RESULTS.write_text(document, encoding="utf-8")
        _say(f"written to {RESULTS.relative_to(ROOT)}")
    return 0


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the benchmarks side by side.")
    parser.add_argument("--quick", action="store_true", help="one short run of each, to see that all works")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--dir", type=Path, help="folder for the database; not in memory (default: temporary folder)")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # Run as a file, only this folder would be on the path; benchmarks import each other from the root.
    sys.path[0] = str(ROOT)
    sys.exit(main())
