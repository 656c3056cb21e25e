"""The embedded Postgres keeps its data whatever happens to it."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tally.local.folder import FolderInUse
from tally.local.postgres import EmbeddedPostgres

START_AND_DIE = """
import os, pathlib, sys
from tally.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
os._exit(1)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder below one that nobody else may enter, as a home folder is."""
    with tempfile.TemporaryDirectory(prefix="tally-test-") as closed:
        Path(closed).chmod(0o700)
        yield Path(closed) / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder) as server:
        yield server


def ask(server: EmbeddedPostgres, statement: str) -> Any:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else None


def test_commits_are_durable_and_times_are_utc(server: EmbeddedPostgres) -> None:
    for setting, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "listen_addresses": "",
    }.items():
        assert ask(server, f"SHOW {setting}") == [(value,)]


def test_the_role_is_no_superuser_and_may_make_databases(server: EmbeddedPostgres) -> None:
    assert ask(server, "SELECT current_user, rolsuper, rolcreatedb FROM pg_roles WHERE rolname = 'tally'") == [
        ("tally", False, True)
    ]


def test_cyrillic_is_compared_in_any_case(server: EmbeddedPostgres) -> None:
    assert ask(server, "SELECT 'ПРИВЕТ' ILIKE '%ривет'") == [(True,)]


@pytest.mark.usefixtures("server")
def test_nobody_else_may_enter_the_folders_of_data_and_socket(folder: Path) -> None:
    for name in ("cluster", "socket"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_data_survives_a_restart(server: EmbeddedPostgres) -> None:
    ask(server, "CREATE TABLE kept AS SELECT 1 AS n")
    server.restart()
    assert ask(server, "SELECT n FROM kept") == [(1,)]


def test_committed_data_survives_a_killed_server(server: EmbeddedPostgres) -> None:
    ask(server, "CREATE TABLE kept AS SELECT 1 AS n")
    os.kill(server.pid, signal.SIGKILL)
    server.restart()
    assert ask(server, "SELECT n FROM kept") == [(1,)]


def test_a_server_left_over_by_a_killed_owner_is_replaced(folder: Path) -> None:
    left = subprocess.run(
        [sys.executable, "-c", START_AND_DIE, folder], stdout=subprocess.PIPE, check=False, timeout=60
    )
    leftover = int(left.stdout)
    assert psutil.pid_exists(leftover)
    with EmbeddedPostgres(folder) as server:
        assert ask(server, "SELECT 1") == [(1,)]
        assert server.pid != leftover
        assert not psutil.pid_exists(leftover)


def test_a_pid_file_whose_number_is_somebody_elses_by_now_is_stale(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    pid_file = folder / "cluster" / "postmaster.pid"
    text = pid_file.read_text()
    other_process = str(os.getppid())
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    pid_file.write_text(text.replace(text.split()[0], other_process, 1))
    with server:
        assert ask(server, "SELECT 1") == [(1,)]


def test_an_interrupted_set_up_is_begun_again(folder: Path) -> None:
    (folder / "cluster.making").mkdir(parents=True)
    (folder / "cluster.making" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder) as server:
        assert ask(server, "SELECT 1") == [(1,)]


def test_a_folder_takes_one_server_at_a_time(server: EmbeddedPostgres, folder: Path) -> None:
    with pytest.raises(FolderInUse, match=f"pid {os.getpid()}"):
        EmbeddedPostgres(folder).start()
    assert ask(server, "SELECT 1") == [(1,)]


def test_a_path_too_long_for_a_socket_is_no_hindrance(folder: Path) -> None:
    with EmbeddedPostgres(folder / ("long" * 30)) as server:
        assert ask(server, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("name", ["a space, a comma", "a quote' \" and 20%41 кириллица"])
def test_a_folder_may_have_any_name(folder: Path, name: str) -> None:
    with EmbeddedPostgres(folder / name) as server:
        assert ask(server, "SELECT 1") == [(1,)]


def test_options_win_over_the_defaults(folder: Path) -> None:
    with EmbeddedPostgres(folder, options={"fsync": "off"}) as server:
        assert ask(server, "SHOW fsync") == [("off",)]


def test_nothing_runs_after_stop(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    pid = server.pid
    server.stop()
    assert not psutil.pid_exists(pid)
    assert not server.running
