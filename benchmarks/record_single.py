"""`record`: one event a message, as Pub/Sub pushes it."""

from benchmarks import payloads, takers
from benchmarks.harness import Bench, Result, Target

NAME = "record"
OURS = "`record` under the Functions Framework command line, one event a message, 64 connections, one process"
AGAINST = "naive service: FastAPI, uvicorn, SQLAlchemy ORM, psycopg; INSERT, token update, COMMIT a request"


def measure(bench: Bench) -> list[Result]:
    with takers.record(bench) as ours, takers.naive(bench) as theirs:
        figures = takers.compare(
            bench,
            takers.Load("record", ours, payloads.push, 25_000),
            takers.Load("naive", theirs, payloads.naive, 3_000),
            {
                "requests/s": Target(20, 30),
                "p99 ms": Target(0.1, more_is_better=False),
                "p50 ms": None,
            },
        )
    return [Result(OURS, AGAINST, figures)]
