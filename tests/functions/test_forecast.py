"""`GET /v1/forecast` over HTTP: its shape, whose events it learns from, what it refuses."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import Functions, Stack, read_json, register_admin
from tests.support.postgres import Server, settings_of

PATH = "/v1/forecast"
FIELDS = {
    "tokens", "cost", "lower", "upper", "confidence", "backtest_error_percent", "method", "budget_exhausted_on", "days",
}  # fmt: skip
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
WEEK = (700, 100, 200, 300, 400, 500, 600)


@pytest.fixture(scope="module")
def told(stack: Stack) -> dict[str, str]:
    """Secrets of callers by name, after five weeks of two organizations are stored."""
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    bound: dict[str, dict[str, Any]] = {
        "acme": {"organization_id": "acme"},
        "anna of acme": {"organization_id": "acme", "user_id": "anna"},
        "unheard of": {"organization_id": "unheard of"},
        "nobody": {},
    }
    secrets = {name: tokens.create(store, name, ["read"], **to).secret for name, to in bound.items()}
    secrets["all"] = tokens.create(store, "all", ["read:all"]).secret
    secrets["sender"] = tokens.create(store, "sender", ["ingest"]).secret
    store.dispose()
    who: list[dict[str, Any]] = [
        {"organization_id": "acme", "user_id": "anna", "labels": {"tier": "pro"}},
        {"organization_id": "acme", "user_id": "boris"},
        {"organization_id": "globex", "user_id": "anna"},
    ]
    events = [
        {
            "id": f"{back} {number}", "source": "of the tests", "time": (NOON - timedelta(days=back)).isoformat(),
            "model": "gpt-4o", "total_tokens": WEEK[-back % 7], "cost_usd": f"0.{WEEK[-back % 7]}", **by,
        }
        for back in range(1, 37) for number, by in enumerate(who)
    ]  # fmt: skip
    answer = stack.send(events)
    assert answer.status_code == 202, answer.text
    return secrets


def asked(stack: Stack, token: str, **parameters: str) -> Any:
    answer = stack.query.get(PATH, token, params=parameters)
    assert answer.status_code == 200, answer.text
    return read_json(answer.content)


def test_every_coming_day_is_forecast_from_tomorrow_on(stack: Stack, told: dict[str, str]) -> None:
    found = asked(stack, told["anna of acme"], days="9")
    assert set(found) == FIELDS
    today = datetime.now(UTC).date()
    days = found.pop("days")
    assert [day["date"] for day in days] == [str(today + timedelta(days=ahead)) for ahead in range(1, 10)]
    for day, amount in zip(days, (*WEEK[1:], *WEEK[:3]), strict=True):
        assert day.pop("date")
        assert day == {"tokens": amount, "cost": Decimal(amount) / 1000, "lower": amount, "upper": amount}
    assert found == {
        "tokens": 3100,
        "cost": Decimal("3.1"),
        "lower": 3100,
        "upper": 3100,
        "confidence": Decimal("0.8"),
        "backtest_error_percent": found["backtest_error_percent"],
        "method": "weekday",
        "budget_exhausted_on": None,
    }
    assert 0 < found["backtest_error_percent"] < 100  # the first week had no pattern to go by


def test_without_parameters_thirty_days_are_forecast(stack: Stack, told: dict[str, str]) -> None:
    found = asked(stack, told["acme"])
    assert len(found["days"]) == 30
    assert sum(day["tokens"] for day in found["days"]) == found["tokens"]
    assert sum(day["cost"] for day in found["days"]) == found["cost"]


def test_days_are_those_of_the_zone(stack: Stack, told: dict[str, str]) -> None:
    zone = "Pacific/Kiritimati"  # +14: noon in UTC is two o'clock of the next day
    first = date.fromisoformat(asked(stack, told["acme"], days="1", timezone=zone)["days"][0]["date"])
    assert first - datetime.now(UTC).date() in (timedelta(days=1), timedelta(days=2))


@pytest.mark.parametrize(("caller", "people"), [("acme", 2), ("anna of acme", 1), ("unheard of", 0), ("all", 3)])
def test_a_caller_s_forecast_is_of_its_own_and_no_more(
    stack: Stack, told: dict[str, str], caller: str, people: int
) -> None:
    assert asked(stack, told[caller], days="7")["tokens"] == 2800 * people


@pytest.mark.parametrize(
    ("filters", "people"),
    [({"user_id": "anna"}, 2), ({"organization_id": "globex"}, 1), ({"label:tier": "pro"}, 1), ({"model": "none"}, 0)],
)
def test_filters_are_those_of_usage(stack: Stack, told: dict[str, str], filters: dict[str, str], people: int) -> None:
    assert asked(stack, told["all"], days="7", **filters)["tokens"] == 2800 * people


def test_an_amount_in_no_known_currency_is_counted(stack: Stack, told: dict[str, str]) -> None:
    found = asked(stack, told["anna of acme"], currency="chf", history_days="30")
    assert (found["cost"], found["unconverted_requests"]) == (0, 30)


def test_whoever_may_not_read_gets_no_answer(stack: Stack, told: dict[str, str]) -> None:
    assert stack.query.get(PATH, told["nobody"]).status_code == 403
    assert stack.query.get(PATH, told["sender"]).status_code == 403
    assert stack.query.get(PATH, None).status_code == 401
    assert stack.query.get(PATH, told["acme"], params={"organization_id": "globex"}).status_code == 403


@pytest.mark.parametrize(
    ("parameters", "names", "says"),
    [
        *(({"days": value}, "days", "from 1 to 366") for value in ("0", "367", "-1", "1.5", "", "ten", "٣", "9" * 400)),
        *(({"history_days": value}, "history_days", "from 2 to 366") for value in ("1", "367", "1e2", "")),
        ({"timezone": "Mars/Base"}, "timezone", "Europe/Moscow"),
        ({"currency": "dollars"}, "currency", "USD"),
        ({"status_class": "6xx"}, "status_class", "5xx"),
        ({"day": "3"}, "day", "did you mean days?"),
        ({"history": "28"}, "history", "did you mean history_days?"),
        ({"group_by": "model"}, "group_by", "known are days, history_days, timezone, currency, organization_id"),
        ({"model": "a\0b"}, "model", "NUL"),
    ],
)
def test_a_bad_parameter_is_a_400_that_says_what_is_allowed(
    stack: Stack, parameters: dict[str, str], names: str, says: str
) -> None:
    answer = stack.query.get(PATH, params=parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    [fault] = answer.json()["errors"]
    assert fault["field"] == names
    assert says in fault["message"]


def test_all_that_is_wrong_is_told_at_once(stack: Stack) -> None:
    answer = stack.query.get(PATH, params={"days": "0", "currency": "x", "limit": "3"})
    assert [fault["field"] for fault in answer.json()["errors"]] == ["limit", "days", "currency"]


def test_an_empty_database_answers_zeros(postgres: Server, functions: Functions) -> None:
    url = postgres.create()
    register_admin(url)
    found = read_json(functions.start("query", url).get(PATH, params={"days": "2"}).content)
    nothing = {"tokens": 0, "cost": 0, "lower": 0, "upper": 0}
    for day in found.pop("days"):
        assert day.pop("date")
        assert day == nothing
    assert found == nothing | {
        "confidence": Decimal("0.8"),
        "backtest_error_percent": None,
        "method": "average",
        "budget_exhausted_on": None,
    }
    functions.stop_all()
    postgres.drop(url)
