"""`tally rates`: sets, imports and shows exchange rates."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tally.cli import app
from tests.support.postgres import rows, scalar

TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def _on_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands work on the test's database."""
    monkeypatch.setenv("TALLY_DATABASE_URL", database_url)


def tally(*arguments: str, code: int = 0, given: str | None = None) -> Result:
    done = CliRunner().invoke(app, ["rates", *arguments], input=given)
    assert done.exit_code == code, done.output
    return done


def stored(database_url: str) -> list[tuple[str, str, str, Decimal, str]]:
    return rows(
        database_url,
        "SELECT base, quote, to_char(date, 'YYYY-MM-DD'), rate, source FROM exchange_rates ORDER BY date, base, quote",
    )


def test_a_rate_is_set_with_its_day_and_source_and_noted(database_url: str) -> None:
    done = tally("set", "usd", "RUB", "80.5", "--date", "2026-05-01", "--source", "our bank")
    assert done.stdout == "1 USD = 80.5 RUB from 2026-05-01 on (our bank).\n"
    assert stored(database_url) == [("USD", "RUB", "2026-05-01", Decimal("80.5"), "our bank")]
    assert rows(database_url, "SELECT actor, actor_id, action FROM audit_log") == [("command line", None, "create")]
    assert (
        "it was so already"
        in tally("set", "USD", "RUB", "80.50", "--date", "2026-05-01", "--source", "our bank").stdout
    )


def test_without_more_it_is_of_today_and_set_by_hand(database_url: str) -> None:
    before = datetime.now(UTC).date()
    tally("set", "USD", "RUB", "80.5")
    [(_, _, day, _, source)] = stored(database_url)
    assert (day in {str(before), str(datetime.now(UTC).date())}, source) == (True, "set by hand")


@pytest.mark.parametrize(
    ("arguments", "option", "said"),
    [
        (("USD", "RUB", "0"), "RATE", "must be above 0"),
        (("USD", "RUB", "many"), "RATE", "expected a decimal number"),
        (("USD", "USD", "1"), "QUOTE", "another currency than base"),
        (("RUR", "USD", "1"), "BASE", 'did you mean "RUB"'),
        (("USD", "RUB", "80", "--date", "today"), "--date", "expected a date such as 2026-05-01"),
        (("USD", "RUB", "80", "--date", "1989-12-31"), "--date", "must not be before 1990-01-01"),
        (("USD", "RUB", "80", "--date", str(TODAY + timedelta(days=3))), "--date", "a day ahead at most"),
        (("USD", "RUB", "80", "--source", " "), "--source", "at least 1 character"),
    ],
)
def test_a_bad_rate_is_wrong_use_that_names_the_argument(
    database_url: str, arguments: tuple[str, ...], option: str, said: str
) -> None:
    refused = " ".join(tally("set", *arguments, code=2).stderr.replace("│", "").split())
    assert f"'{option}'" in refused
    assert said in refused
    assert stored(database_url) == []


def test_a_file_is_imported_once_however_often(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_text(
        "\ufeffdate,base,quote,rate,source\n2026-05-01,USD,RUB,80.5,\n2026-05-01,EUR,USD,1.09,our bank\n", "utf-8"
    )
    assert (
        tally("import", str(file), "--source", "a friend").stdout
        == "2 exchange rates read, 2 of them new or changed.\n"
    )
    assert stored(database_url) == [
        ("EUR", "USD", "2026-05-01", Decimal("1.09"), "our bank"),
        ("USD", "RUB", "2026-05-01", Decimal("80.5"), "a friend"),
    ]
    assert (
        tally("import", str(file), "--source", "a friend").stdout
        == "2 exchange rates read, 0 of them new or changed.\n"
    )
    assert scalar(database_url, "SELECT count(*) FROM audit_log") == 2


def test_what_is_at_fault_far_behind_in_a_file_leaves_nothing_of_it(database_url: str, tmp_path: Path) -> None:
    days = [str(TODAY - timedelta(days=number)) for number in range(6000)]
    file = tmp_path / "rates.csv"
    file.write_text(
        "date,base,quote,rate\n" + "".join(f"{day},USD,RUB,80\n" for day in days) + "2026-05-01,USD,EUR,-1\n"
    )
    refused = tally("import", str(file), code=1)
    assert (refused.stdout, refused.stderr.count("\n")) == ("", 1)
    assert refused.stderr.startswith("tally: line 6002: rate: must be above 0")
    assert stored(database_url) == []


def test_years_of_the_european_central_bank_come_from_standard_input(database_url: str) -> None:
    days = [TODAY - timedelta(days=number) for number in range(1500)]
    text = "Date,USD,JPY,CYP,RUB,\n" + "".join(f"{day},1.1,160.25,N/A,90,\n" for day in days)
    done = tally("import", "-", given=text)
    assert done.stdout == "4500 exchange rates read, 4500 of them new or changed.\n"
    assert done.stderr == "Left out, since they are no currencies any more: CYP\n"
    assert rows(database_url, "SELECT count(DISTINCT date), source FROM exchange_rates GROUP BY source") == [
        (1500, "European Central Bank")
    ]


def test_a_file_of_the_bank_of_russia_is_known_by_its_form(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "XML_daily.asp"
    file.write_text(
        '<?xml version="1.0" encoding="windows-1251"?>\n<ValCurs Date="01.05.2026" name="Foreign Currency Market">'
        "<Valute><CharCode>JPY</CharCode><Nominal>100</Nominal><Name>Иен</Name><Value>51,9275</Value></Valute></ValCurs>",
        "cp1251",
    )
    tally("import", str(file))
    assert stored(database_url) == [("JPY", "RUB", "2026-05-01", Decimal("0.519275"), "Bank of Russia")]


def test_a_file_that_is_not_there_is_one_line() -> None:
    assert (
        tally("import", "nowhere.csv", code=1).stderr == "tally: [Errno 2] No such file or directory: 'nowhere.csv'\n"
    )


def test_rates_are_listed_newest_first_and_more_are_told() -> None:
    for day, rate in (("2026-05-01", "80"), ("2026-05-02", "81.123456789012345"), ("2026-04-30", "79")):
        tally("set", "USD", "RUB", rate, "--date", day, "--source", "our bank")
    tally("set", "EUR", "USD", "1.1", "--date", "2026-05-02")
    assert [line.split() for line in tally("list").stdout.splitlines()] == [
        ["date", "base", "quote", "rate", "source"],
        ["2026-05-02", "EUR", "USD", "1.1", "set", "by", "hand"],
        ["2026-05-02", "USD", "RUB", "81.123456789012345", "our", "bank"],
        ["2026-05-01", "USD", "RUB", "80", "our", "bank"],
        ["2026-04-30", "USD", "RUB", "79", "our", "bank"],
    ]
    some = tally(
        "list", "--base", "usd", "--quote", "RUB", "--from", "2026-04-30", "--to", "2026-05-02", "--limit", "1"
    )
    assert [line.split()[0] for line in some.stdout.splitlines()] == ["date", "2026-05-01"]
    assert some.stderr == "There are more than 1; see --limit, --base, --quote, --from and --to.\n"
    assert tally("list", "--base", "GEL").stdout.split() == ["date", "base", "quote", "rate", "source"]


@pytest.mark.parametrize(
    ("option", "value"), [("--base", "RUR"), ("--quote", "x"), ("--from", "May"), ("--to", "2026-02-30")]
)
def test_a_bad_filter_of_the_list_is_wrong_use(option: str, value: str) -> None:
    assert f"'{option}'" in tally("list", option, value, code=2).stderr
