"""The command behaves as a Unix user expects: results on standard output, messages on standard error."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from tally import __version__
from tally.cli import app
from tests.support.functions import Functions
from tests.support.postgres import rows

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://tally@/tally?host=/nowhere"

COMMANDS = [
    ("up",),
    ("serve",),
    ("migrate",),
    ("generate",),
    ("rollup",),
    ("stats",),
    ("forecast",),
    ("tokens",),
    ("tokens", "create"),
    ("rates",),
    ("rates", "set"),
    ("rates", "import"),
    ("rates", "list"),
    ("budgets",),
    ("budgets", "list"),
    ("budgets", "set"),
    ("budgets", "delete"),
    ("prices",),
    ("prices", "list"),
    ("prices", "set"),
    ("prices", "import"),
    ("prices", "diff"),
    ("prices", "retire"),
    ("prices", "reprice"),
    ("prices", "unpriced"),
    ("estimate",),
    ("smoke",),
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


def only_line(output: str) -> dict[str, Any]:
    """The one line of a log."""
    assert output.endswith("\n")
    assert output.count("\n") == 1
    line: dict[str, Any] = json.loads(output)
    return line


def test_version_is_on_standard_output() -> None:
    done = tally("version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tally {__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_every_command(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("up", "--port", "0"),
        ("up", "--prot", "1"),
        ("serve", "record", "--port", "x"),
        ("tokens", "create"),
        ("smoke", "--url", "http://127.0.0.1:1"),
        ("generate", "x"),
        ("stats", "--days", "0"),
        ("stats", "--days", "3651"),
        ("stats", "--days", "week"),
        ("forecast", "--days", "367"),
        ("forecast", "--history-days", "1"),
        ("forecast", "--timezone", "Mars/Base"),
        ("forecast", "--currency", "dollars"),
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
        ("forecast",),
        ("rates", "list"),
        ("generate",),
        ("budgets", "list"),
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


def test_the_id_of_a_token_whose_secret_was_made_elsewhere_is_all_that_is_printed(database_url: str) -> None:
    create = ("tokens", "create", "--name", "n", "--scope", "read", "--token-hash", "0f" * 32)
    done = tally(*create, TALLY_DATABASE_URL=database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(database_url, "SELECT id, token_hash FROM api_tokens") == [(done.stdout.strip(), "0f" * 32)]
    again = tally(*create, TALLY_DATABASE_URL=database_url)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "tally: A token with this hash is there already; a new one needs another secret.\n"


def test_a_token_is_revoked_by_its_id(database_url: str) -> None:
    created = tally(
        "tokens", "create", "--name", "n", "--scope", "read", "--token-hash", "0f" * 32, TALLY_DATABASE_URL=database_url
    )
    token_id = created.stdout.strip()
    for _ in range(2):
        done = tally("tokens", "revoke", token_id, TALLY_DATABASE_URL=database_url)
        assert (done.returncode, done.stdout) == (0, f"Token {token_id} is revoked.\n")
    assert rows(database_url, "SELECT id FROM api_tokens WHERE revoked_at IS NOT NULL") == [(token_id,)]
    unknown = tally("tokens", "revoke", "nobody", TALLY_DATABASE_URL=database_url)
    assert unknown.returncode == 1
    assert "no token nobody" in unknown.stderr


MISSING = [
    ({}, "TALLY_FUNCTION"),
    ({"TALLY_FUNCTION": "ingets"}, "ingest"),
    ({"TALLY_FUNCTION": "query"}, "TALLY_CLOUD_SQL_INSTANCE"),
    ({"TALLY_FUNCTION": "migrate"}, "TALLY_DATABASE_URL"),
    ({"TALLY_FUNCTION": "ingest", "TALLY_DATABASE_URL": NOWHERE}, "TALLY_TOPIC"),
    ({"TALLY_FUNCTION": "record", "TALLY_DATABASE_URL": NOWHERE, "TALLY_LOG_LEVEL": "all"}, "TALLY_LOG_LEVEL"),
    ({"TALLY_FUNCTION": "record", "TALLY_DATABASE_URL": NOWHERE, "TALLY_PROT": "1"}, "TALLY_PROT"),
]


@pytest.mark.parametrize(("environment", "named"), MISSING)
def test_a_wrong_setting_ends_the_start_of_a_function_with_one_line_of_its_log(
    environment: dict[str, str], named: str
) -> None:
    done = tally("serve", "--port", "1", folder=None, **environment)
    assert (done.returncode, done.stderr) == (1, "")
    line = only_line(done.stdout)
    assert line["severity"] == "ERROR"
    assert line["function"] == environment.get("TALLY_FUNCTION", "serve")
    assert named in line["message"]


def test_the_argument_says_which_function_whatever_the_setting_says() -> None:
    done = tally("serve", "ingest", TALLY_FUNCTION="query", TALLY_DATABASE_URL=NOWHERE)
    assert (done.returncode, only_line(done.stdout)["function"]) == (1, "ingest")


def test_in_a_terminal_a_wrong_setting_is_one_plain_line() -> None:
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "tally.cli", "serve"]
    done = subprocess.run(command, env=os.environ, stdout=subprocess.PIPE, stderr=terminal, check=False, timeout=60)
    os.close(terminal)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert (done.returncode, done.stdout) == (1, b"")
    assert said.startswith("tally: no function is named")
    assert said.count("\n") == 1


def test_a_function_is_served_the_same_way_whatever_the_framework_would_read(functions: Functions) -> None:
    stray = {"CLOUD_RUN_TIMEOUT_SECONDS": "x", "DEBUG": "1", "HOST": "nowhere", "PORT": "1", "WORKERS": "x"}
    record = functions.start("record", NOWHERE, **stray)
    assert record.get("/health/live").json() == {"status": "alive"}
    assert len(psutil.Process(record.pid).children()) == 1  # gunicorn's worker; the framework's debug server has none


def job(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"functions/{name}/main.py"]
    return subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("name", ["migrate", "rollup"])
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "set TALLY_DATABASE_URL or TALLY_CLOUD_SQL_INSTANCE"),
        ({"TALLY_DATABASE_URL": NOWHERE}, "run it again once that is mended"),
        ({"TALLY_DATABASE_URL": NOWHERE, "TALLY_LOG_LEVL": "INFO"}, "did you mean TALLY_LOG_LEVEL"),
    ],
)
def test_a_job_that_fails_as_foreseen_logs_one_line_that_says_what_to_do(
    name: str, environment: dict[str, str], said: str
) -> None:
    done = job(name, **environment)
    assert (done.returncode, done.stderr) == (1, "")
    line = only_line(done.stdout)
    assert (line["severity"], line["function"]) == ("ERROR", name)
    assert said in line["message"]
    assert "exception" not in line


def test_a_job_that_fails_as_nobody_foresaw_logs_where() -> None:
    code = "from tally.job import job\nwith job('rollup'): {}['watermark']"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    line = only_line(done.stdout)
    assert (line["severity"], line["function"]) == ("ERROR", "rollup")
    assert "KeyError: 'watermark'" in line["exception"]
