"""`tally prices` and `tally estimate`: what they show, take over and refuse."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tally.cli import app
from tally.pricing import dataset
from tests.support.postgres import rows, scalar

LIST = """provider,model,currency,valid_from,input,cached_input,output,per_request,conditions
openai,gpt-x,USD,2026-05-01,2.50,1.25,10,,
openai,gpt-x,USD,2026-05-01,1.25,,5,,processing=batch
yandex,yandexgpt*,rub,2026-05-01T00:00:00+03:00,400,,400,,

ours,search,USD,2026-05-01,,,,0.002,
"""


@pytest.fixture
def on_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands work on the test's database."""
    monkeypatch.setenv("TALLY_DATABASE_URL", database_url)


def tally(*arguments: str, code: int = 0, given: str | None = None) -> Result:
    done = CliRunner().invoke(app, [*arguments], input=given)
    assert done.exit_code == code, done.output
    return done


def lines(output: str) -> list[list[str]]:
    """The cells of a table without its head; two spaces or more are between them."""
    return [re.split(r"\s{2,}", line.strip()) for line in output.splitlines()[1:]]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    path.write_text(LIST)
    return path


@pytest.mark.usefixtures("on_database")
def test_a_price_is_set_corrected_listed_and_retired() -> None:
    since = ("--from", "2026-05-01T00:00:00+03:00")
    done = tally("prices", "set", "openai", "gpt-x", "--input", "2.5", "--output", "10", *since)
    assert done.stdout == "Price 1 of openai gpt-x holds from 2026-04-30T21:00:00+00:00.\n"
    same = tally("prices", "set", "OpenAI", "GPT-X", "--input", "2.50", "--output", "10.0", *since)
    assert same.stdout == "It is like this already.\n"
    corrected = tally("prices", "set", "openai", "gpt-x", "--input", "3", "--reasoning", "4", *since)
    assert corrected.stdout.endswith("in the place of 1.\n")
    batch = ("--condition", "processing=batch")
    tally("prices", "set", "openai", "gpt-x", "--per-image", "0.04", "--currency", "eur", *batch, *since)
    shown = tally("prices", "list").stdout
    assert lines(shown) == [
        ["3", "openai", "gpt-x", "processing=batch", "2026-04-30 21:00", "EUR an image 0.04", "own"],
        ["2", "openai", "gpt-x", "2026-04-30 21:00", "USD input 3, reasoning 4", "own"],
    ]
    assert tally("prices", "retire", "2").stdout == "Price 2 is retired.\n"
    assert [line[0] for line in lines(tally("prices", "list").stdout)] == ["3"]
    assert tally("prices", "list", "--at", "2026-04-30").stdout.count("\n") == 1


@pytest.mark.usefixtures("on_database")
def test_a_list_is_compared_and_taken_over(listed: Path, database_url: str) -> None:
    tally("prices", "set", "openai", "gpt-x", "--input", "2", "--from", "2026-05-01")
    tally("prices", "set", "openai", "kept", "--input", "2", "--from", "2026-05-01")
    shown = tally("prices", "diff", str(listed)).stdout
    assert lines(shown)[:5] == [
        ["new", "openai", "gpt-x", "processing=batch", "2026-05-01 00:00", "USD input 1.25, output 5"],
        ["new", "yandex", "yandexgpt*", "2026-04-30 21:00", "RUB input 400, output 400"],
        ["new", "ours", "search", "2026-05-01 00:00", "USD a request 0.002"],
        [
            "changed",
            "openai",
            "gpt-x",
            "2026-05-01 00:00",
            "USD input 2.5, cached input 1.25, output 10",
            "USD input 2",
        ],
        ["book only", "openai", "kept", "2026-05-01 00:00", "USD input 2"],
    ]
    assert shown.endswith("3 new, 1 changed, 0 unchanged, 1 in the book only, which stay.\n")
    assert scalar(database_url, "SELECT count(*) FROM prices") == 2
    assert tally("prices", "import", str(listed)).stdout == "3 added, 1 changed, 0 as they were.\n"
    assert tally("prices", "import", str(listed)).stdout == "0 added, 0 changed, 4 as they were.\n"
    assert rows(database_url, "SELECT actor, action, subject_id FROM audit_log WHERE action = 'import'") == [
        ("command line", "import", "prices.csv")
    ]


@pytest.mark.usefixtures("on_database")
def test_json_is_taken_as_the_interface_shows_it(tmp_path: Path, database_url: str) -> None:
    price = {"provider": "openai", "model": "gpt-x", "currency": "USD", "valid_from": "2026-05-01", "per_request": 0.1}
    answered = {**price, "id": 7, "origin": "own", "created_by": "finance", "replaces": None, "tiers": []}
    for form in ([price], {"items": [answered], "next_cursor": None}):
        path = tmp_path / "prices.json"
        path.write_text(json.dumps(form))
        tally("prices", "import", str(path))
    assert rows(database_url, "SELECT rates FROM prices") == [({"per_million": {}, "per_request": "0.1"},)]


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", LIST.replace("400,,400", "-400,,400"), "line 4: Nothing was changed. per_million.input: must not be"),
        ("a.csv", LIST.replace("rub", "rur"), 'did you mean "RUB"?'),
        ("a.csv", LIST.replace("cached_input", "cached"), "unknown column 'cached'. Known are provider, model,"),
        ("a.csv", LIST.replace("currency,", ""), "no column 'currency'"),
        ("a.csv", LIST + "openai,gpt-y,USD,2026-05-01,1,2,3,4,a=b,too much\n", "line 7 has more values"),
        ("a.csv", LIST + "openai,GPT-X,USD,2026-05-01,1\n", "two prices of openai GPT-X from 2026-05-01"),
        ("a.json", "{}", "has no list of prices"),
        ("a.json", "[{]", "not valid JSON"),
        ("a.json", '[{"provider": "openai"}]', "price 1: Nothing was changed. model: is missing; currency: is missing"),
    ],
)
def test_a_list_with_a_fault_is_refused_whole(
    tmp_path: Path, name: str, text: str, message: str, database_url: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    refused = tally("prices", "import", str(path), code=1)
    assert message in refused.stderr
    assert refused.stdout == ""
    assert scalar(database_url, "SELECT count(*) FROM prices") == 0


@pytest.mark.usefixtures("on_database")
def test_the_data_set_is_taken_over_by_name() -> None:
    expected = len(dataset.rows()) + len(dataset.own_rows())
    diff = tally("prices", "diff", "--data-set").stdout
    assert diff.endswith(f"{expected} new, 0 changed, 0 unchanged, 0 in the book only, which stay.\n")
    assert tally("prices", "import", "--data-set").stdout == f"{expected} added, 0 changed, 0 as they were.\n"
    assert tally("prices", "import", "--data-set").stdout == f"0 added, 0 changed, {expected} as they were.\n"
    shown = tally("prices", "list", "--provider", "gigachat")
    assert lines(shown.stdout) == [
        ["1", "gigachat", "GigaChat*", "1970-01-01 00:00", "RUB input 200, output 200", "tally"]
    ]
    assert "There are more than 2" in tally("prices", "list", "--limit", "2").stderr


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("set", "openai", "gpt-x"), 1, "needs a rate"),
        (("set", "openai", "gpt-x", "--input", "-1"), 1, "must not be negative"),
        (("set", "openai", "gpt-x", "--input", "1", "--from", "2026-05-01T00:00:00"), 1, "has no offset"),
        (("set", "openai", "gpt-x", "--input", "1", "--condition", "batch"), 2, "expected NAME=VALUE"),
        (("list", "--at", "noon"), 2, "is not a time"),
        (("import",), 2, "expected either a file or --data-set"),
        (("diff", "a.csv", "--data-set"), 2, "expected either a file or --data-set"),
        (("import", "/nowhere/a.csv"), 1, "/nowhere/a.csv"),
        (("retire", "7"), 1, "There is no price 7."),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], code: int, message: str) -> None:
    assert message in " ".join(tally("prices", *arguments, code=code).stderr.split())


def test_a_text_is_estimated_from_a_file_or_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Hello world, привет мир!")
    shown = tally("estimate", str(path)).stdout
    assert lines(shown)[:4] == [
        ["Latin", "13", "25"],
        ["Cyrillic", "11", "55"],
        ["CJK", "0", "100"],
        ["other", "0", "75"],
    ]
    # 13 × 0.25 + 11 × 0.55 = 9.3; 24 / 10 = 2.4
    assert shown.endswith(
        "\nTokens: about 10\nCharacters a token: 2.40\nTo set it: TALLY_CHARACTERS_PER_TOKEN='{\"default\": 2.40}'\n"
    )
    assert tally("estimate", given=path.read_text()).stdout == shown
    assert tally("estimate", "-", given="").stdout.endswith("\nTokens: about 0\n")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG")
    assert "is not a text in UTF-8: byte 0 cannot be read" in tally("estimate", str(path), code=1).stderr
    assert "No such file" in tally("estimate", "/nowhere/prompt.txt", code=1).stderr


@pytest.mark.usefixtures("on_database")
def test_migrate_fills_a_new_book(database_url: str) -> None:
    expected = len(dataset.rows()) + len(dataset.own_rows())
    assert f"; {expected} prices were put into it." in tally("migrate").stdout
    assert "prices" not in tally("migrate").stdout
    assert scalar(database_url, "SELECT count(*) FROM prices") == expected
