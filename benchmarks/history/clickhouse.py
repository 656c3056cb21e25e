"""ClickHouse's side: the same calls in a MergeTree ordered by user and time, inside this process (chdb)."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from benchmarks.databases import Database
from benchmarks.history.loading import Connection, share_out

# What a question can group, filter or sum up. Texts of single calls, such as ids, are left out: no question reads
# them, and a column store does not touch what is not read.
_COLUMNS = {
    "created_at": "DateTime64(6, 'UTC')",
    **dict.fromkeys(
        (
            "source", "organization_id", "team_id", "user_id", "token_hash", "token_type", "route", "method",
            "error_type", "provider", "model", "agent_id", "operation", "platform", "content_type", "task_type",
        ),
        "LowCardinality(String)",
    ),
    "status": "UInt16",
    "response_time_ms": "Float64",
    **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens", "cached_tokens"), "UInt32"),
    **dict.fromkeys(("cost_usd", "cost_rub"), "Decimal(18, 9)"),
}  # fmt: skip
_CREATE = f"""
    CREATE TABLE service.usage_log ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
    ENGINE = MergeTree ORDER BY (user_id, created_at)
"""
# PostgreSQL's text format is ClickHouse's TabSeparated, NULL included; it becomes the default value of a column.
_EXPORT = f"""
    COPY (
        SELECT created_at AT TIME ZONE 'UTC' AS created_at, {", ".join([*_COLUMNS][1:])}
        FROM service.usage_log WHERE id >= %s AND id < %s
    ) TO STDOUT (FORMAT text, HEADER)
"""  # noqa: S608 - constants
_CALLS_A_FILE = 1_000_000
_ZONED = re.compile(r"DateTime64\(\d+, '(?P<zone>.+)'\)")


class ClickHouse:
    """A session on a folder of its own; there can be one in a process."""

    def __init__(self, folder: Path) -> None:
        from chdb.session import Session

        self._folder = folder
        self._session = Session(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._session.close()

    def fill(self, database: Database) -> None:
        """Copy the calls of `service.usage_log` and merge them into one part."""
        self._session.query("CREATE DATABASE service")
        self._session.query(_CREATE)
        with tempfile.TemporaryDirectory(dir=self._folder.parent) as files:
            _export(database, Path(files))
            source = f"file('{files}/*.tsv', TabSeparatedWithNames)"
            self._session.query(f"INSERT INTO service.usage_log SELECT * FROM {source}")  # noqa: S608
        self._session.query("OPTIMIZE TABLE service.usage_log FINAL")

    def rows(self, query: str, parameters: Mapping[str, str]) -> list[tuple[Any, ...]]:
        """The answer as Python values: decimals exact, times in the zone of their column."""
        text = self._session.query(query, "JSONCompact", params=dict(parameters)).bytes()
        answer = json.loads(text, parse_float=Decimal)
        zones = [_ZONED.fullmatch(column["type"]) for column in answer["meta"]]
        times = [(place, ZoneInfo(zone["zone"])) for place, zone in enumerate(zones) if zone]
        return [_with_times(row, times) for row in answer["data"]]


def _export(database: Database, folder: Path) -> None:
    def export(connection: Connection, first: int) -> None:
        path = folder / f"{first:012d}.tsv"
        bounds = (first, first + _CALLS_A_FILE)
        with path.open("wb") as file, connection.cursor().copy(_EXPORT.encode(), bounds) as rows:
            for row in rows:
                file.write(row)

    calls = database.count("SELECT count(*) FROM service.usage_log")
    share_out(database, range(0, calls, _CALLS_A_FILE), export)


def _with_times(row: list[Any], times: Sequence[tuple[int, ZoneInfo]]) -> tuple[Any, ...]:
    for place, zone in times:
        row[place] = datetime.fromisoformat(row[place]).replace(tzinfo=zone)
    return tuple(row)
