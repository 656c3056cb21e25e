"""`ingest`, the embedded publisher and `record`: answered when stored, one event a request."""

from functools import partial

from benchmarks import payloads, takers
from benchmarks.harness import Bench, Result, Target
from tally import tokens
from tally.database import Store

NAME = "ingest"
OURS = "`ingest` → publisher → `record` → stored, one event a request, embedded, 64 connections"
AGAINST = "naive service, one call a request"


def measure(bench: Bench) -> list[Result]:
    with takers.ingest(bench) as ours, takers.naive(bench) as theirs:
        store = Store(takers.settings_of(ours.database), "tally benchmark")
        token = tokens.create(store, "benchmark", ["ingest"])
        store.dispose()
        figures = takers.compare(
            bench,
            takers.Load("ingest", ours, partial(payloads.ingest, token=token.secret), 15_000),
            takers.Load("naive", theirs, payloads.naive, 3_000),
            {"requests/s": Target(10, 20), "p99 ms": None, "p50 ms": None},
        )
    return [Result(OURS, AGAINST, figures)]
