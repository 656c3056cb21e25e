"""`record`: a hundred events a message, against both ways in which the naive service may take a list.

What counts is the same work for each of the hundred as for one (the call, its token), in one transaction. The other is
less work, a bulk INSERT without the tokens, and is shown beside it; COPY itself would not be 40 times as fast.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from benchmarks import payloads, takers
from benchmarks.harness import Bench, Figure, Result, Target

NAME = "record-batch"
OURS = "`record` under the Functions Framework command line, 100 events a message, 64 connections, one process"
AGAINST = "naive service, array body of 100, each as the one above, one transaction"

_BATCH = 100
_BULK = "events/s, against one bulk INSERT (`add_all`) without the tokens"


def measure(bench: Bench) -> list[Result]:
    targets = {"events/s": Target(40, 80), "p99 ms": None}
    figures = _against(bench, payloads.naive_each, targets)
    [bulk] = _against(bench, payloads.naive_batch, {"events/s": None})
    return [Result(OURS, AGAINST, [*figures, replace(bulk, name=_BULK)])]


def _against(
    bench: Bench, naive_request: Callable[[Sequence[payloads.Event]], bytes], targets: Mapping[str, Target | None]
) -> list[Figure]:
    with takers.record(bench) as ours, takers.naive(bench) as theirs:
        return takers.compare(
            bench,
            takers.Load("record", ours, payloads.push, 100_000, _BATCH),
            takers.Load("naive", theirs, naive_request, 20_000, _BATCH),
            targets,
        )
