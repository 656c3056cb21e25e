"""What loading has in common: statements kept in files, connections that are tuned for it, work on both cores."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from benchmarks.databases import Database

Connection = psycopg.Connection[tuple[Any, ...]]
Work = TypeVar("Work")

_WORKERS = 2
# Only while data is loaded; questions are answered under the server's own settings. Joins with population and
# dimensions are to be hash joins: how few of their rows match a call, statistics cannot tell.
_SETTINGS = """
    SET synchronous_commit = off;
    SET maintenance_work_mem = '1GB';
    SET work_mem = '128MB';
    SET enable_nestloop = off;
    SET timezone = 'UTC';
"""


def connect(database: Database) -> Connection:
    """A connection in autocommit for loading."""
    connection = database.connect()
    connection.execute(_SETTINGS)
    return connection


def statement(name: str) -> bytes:
    """The text of one of this package's SQL files."""
    return Path(__file__).with_name(f"{name}.sql").read_bytes()


def share_out(database: Database, work: Iterable[Work], do: Callable[[Connection, Work], object]) -> None:
    """Do all the pieces of `work`, each worker on a connection of its own taking the next one."""
    waiting = deque(work)

    def worker() -> None:
        with connect(database) as connection:
            while True:
                try:
                    piece = waiting.popleft()
                except IndexError:
                    return
                do(connection, piece)

    at_once(*[worker] * _WORKERS)


def at_once(*jobs: Callable[[], object]) -> None:
    """Do all of `jobs` side by side; raises what one of them raised."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()
