"""What docs/drills.md builds on is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "drills.md").read_text("utf-8")


def test_what_is_marked_as_proved_has_its_tests() -> None:
    named = re.findall(r"`(tests/[^`]+)`", PAGE)
    assert len(named) >= 4
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_name_of_the_instance_is_changed_in_one_place() -> None:
    [(old, new)] = re.findall(r"sed -i\.before 's/\^(.+?)\$/(.+?)/' terraform/database\.tf", PAGE)
    lines = (ROOT / "terraform" / "database.tf").read_text("utf-8").splitlines()
    [at] = [number for number, line in enumerate(lines) if line == old]
    assert [line for line in lines[:at] if line.startswith("resource ")] == [
        'resource "google_sql_database_instance" "tally" {'
    ]
    assert new == old.replace("tally", "tally-drill")


def test_everything_that_is_imported_is_in_the_configuration() -> None:
    configured = "".join(path.read_text("utf-8") for path in (ROOT / "terraform").glob("*.tf"))
    [removed] = re.findall(r"^terraform state rm (.+)$", PAGE, re.MULTILINE)
    for address in removed.split():
        kind, name = address.split(".")
        assert f'resource "{kind}" "{name}"' in configured
        assert re.search(rf"^ *take \"?{re.escape(address)}[ \[]", PAGE, re.MULTILINE), address
    [users] = re.findall(r"^for user in (.+); do$", PAGE, re.MULTILINE)
    accounts = configured.split("database_accounts = {")[1].split("}")[0]
    assert users.split() == re.findall(r"^ +(\w+) += ", accounts, re.MULTILINE)
