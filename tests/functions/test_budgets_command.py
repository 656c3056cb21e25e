"""`tally budgets` does what the endpoints do, and reads like a table."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tally.database import Store
from tally.local import roles
from tests.support.postgres import rows
from tests.support.store import record


class Tally:
    """The command on a database, as the database user that the job `admin` has in the cloud."""

    def __init__(self, database_url: str) -> None:
        self._environment = {"TALLY_DATABASE_URL": roles.url_of(database_url, "admin")}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A run of `tally budgets`."""
        return subprocess.run(
            [sys.executable, "-m", "tally.cli", "budgets", *arguments],
            env=self._environment | {"PYTHONPATH": ":".join(sys.path), "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def lines(self, *arguments: str) -> Sequence[str]:
        """What a run that must succeed prints."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def tally(database_url: str) -> Tally:
    return Tally(database_url)


def test_a_budget_is_made_listed_changed_and_deleted(tally: Tally, store: Store, database_url: str) -> None:
    usual = ("--amount", "100.50", "--currency", "usd", "--window", "total", "--organization", "acme")
    budget_id, secret = tally.lines(
        "set", "--name", "first", *usual, "--threshold", "60", "--threshold", "90", "--hard",
        "--webhook", "https://example.com/hook",
    )  # fmt: skip
    assert secret.startswith("whsec_")
    event = {"id": "1", "source": "s", "route": "/", "organization_id": "acme", "time": datetime.now(UTC).isoformat()}
    record(store, [{**event, "cost_usd": "25.125"}, {**event, "id": "2", "cost_rub": 1}], datetime.now(UTC))
    header, line, note = tally.lines("list")
    assert header.split() == ["id", "name", "of", "window", "amount", "spent", "%", "left", "forecast"]
    assert line.split() == [
        budget_id, "first", "organization_id", "acme", "total", "100.50", "USD", "25.1250*", "25.0", "75.3750", "-",
    ]  # fmt: skip
    assert note.strip() == "* without costs that have no amount in the currency"
    assert tally.lines("set", "--id", budget_id, "--soft", "--amount", "200") == [budget_id]
    assert rows(database_url, "SELECT amount, hard, thresholds, organization_id FROM budgets") == [
        (200, False, [60, 90], "acme")
    ]
    tally.lines("delete", budget_id)
    assert len(tally.lines("list")) == 1
    log = rows(database_url, "SELECT actor, action FROM audit_log ORDER BY id")
    assert log == [("command line", action) for action in ("create", "change", "delete")]


def test_what_makes_no_sense_is_one_line_that_names_the_field(tally: Tally) -> None:
    for arguments, said in [
        (("set", "--name", "b"), "amount: is missing"),
        (("set", "--name", "b", "--amount", "0", "--currency", "USD", "--window", "day"), "amount: Input should be"),
        (("set", "--id", "nobody's", "--amount", "5"), "There is no budget"),
        (("delete", "nobody's"), "There is no budget"),
    ]:
        done = tally(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr
