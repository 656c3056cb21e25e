"""The command behaves as a Unix user expects: results on standard output, messages on standard error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tally import __version__

COMMANDS = [
    ("up",),
    ("migrate",),
    ("generate",),
    ("rollup",),
    ("stats",),
    ("tokens",),
    ("tokens", "create"),
    ("config",),
    ("version",),
]


def tally(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command away from any data folder, with no other TALLY_ variables than those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    return subprocess.run(
        [sys.executable, "-m", "tally.cli", *arguments],
        env=kept | environment,
        cwd=folder or Path("/"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_version_is_on_standard_output() -> None:
    done = tally("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tally {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_every_command(command: tuple[str, ...]) -> None:
    done = tally(*command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("up", "--port", "0"),
        ("up", "--prot", "1"),
        ("tokens", "create"),
        ("generate", "x"),
        ("stats", "--days", "0"),
        ("stats", "--days", "3651"),
        ("stats", "--days", "week"),
    ],
)
def test_wrong_use_is_exit_code_2_on_standard_error(arguments: tuple[str, ...]) -> None:
    done = tally(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("migrate",),
        ("rollup",),
        ("stats",),
        ("generate",),
        ("tokens", "create", "--name", "n", "--scope", "read"),
    ],
)
def test_what_nothing_runs_for_is_exit_code_1_and_one_line_with_a_way_out(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = tally(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tally: ")
    assert done.stderr.count("\n") == 1
    assert "tally up" in done.stderr


def test_a_database_that_is_away_is_one_line(tmp_path: Path) -> None:
    done = tally("migrate", TALLY_DATABASE_URL=f"postgresql://tally@/tally?host={tmp_path}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tally: ")
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = tally("up", "--data-dir", str(tmp_path / "file" / "below"))
    assert (done.returncode, done.stdout) == (1, "")
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("expires", ["tomorrow", "2030-01-01T00:00:00"])
def test_an_expiry_needs_a_time_with_an_offset(expires: str) -> None:
    done = tally(
        "tokens", "create", "--name", "n", "--scope", "read", "--expires", expires,
        TALLY_DATABASE_URL="postgresql://tally@/tally",
    )  # fmt: skip
    assert done.returncode == 2
    assert "offset" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--by", "weekday", "agent"),
        ("--timezone", "Moscow", "Europe/Moscow"),
        ("--timezone", "", "Europe/Moscow"),
        ("--currency", "roubles", "ISO 4217"),
    ],
)
def test_stats_says_what_an_option_may_be_before_it_looks_for_a_database(
    option: str, value: str, allowed: str, tmp_path: Path
) -> None:
    done = tally("stats", option, value, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{option}'" in done.stderr
    assert allowed in done.stderr


def test_config_lists_every_setting_and_masks_secrets() -> None:
    done = tally("config", TALLY_PORT="9000", TALLY_ADMIN_TOKEN="tly_secret")
    assert done.returncode == 0
    assert "TALLY_QUERY_TIMEOUT_SECONDS" in done.stdout
    assert "9000" in done.stdout
    assert "secret" not in done.stdout


def test_config_refuses_an_unknown_setting() -> None:
    done = tally("config", TALLY_PROT="9000")
    assert (done.returncode, done.stdout) == (1, "")
    assert "TALLY_PORT" in done.stderr


def test_the_migrations_can_be_printed_without_a_database() -> None:
    done = tally("migrate", "--sql")
    assert done.returncode == 0
    assert "CREATE TABLE" in done.stdout
