"""The endpoints of systems A and C that sum up tokens: their shapes, whose events they show, what they refuse."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import Functions, Stack, read_json, register_admin
from tests.support.postgres import Server, settings_of

TOKENS = "/api/v1/billing/usage/tokens"
AI = "/api/v1/ai"
OF_SYSTEM_A = (TOKENS, f"{TOKENS}/history", f"{TOKENS}/by-agent", f"{TOKENS}/by-model")
OF_SYSTEM_C = (
    f"{AI}/statistics", f"{AI}/total-tokens", f"{AI}/top-users", f"{AI}/by-token-type", f"{AI}/forecast",
)  # fmt: skip
ENDPOINTS = (*OF_SYSTEM_A, *OF_SYSTEM_C)
RANGED = (f"{AI}/total-tokens", f"{AI}/top-users", f"{AI}/by-token-type")
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
EVENT = {
    "time": YESTERDAY.isoformat(), "provider": "openai", "model": "gpt-4o", "agent_id": "writer",
    "operation": "TEXT_GENERATION", "token_type": "personal", "input_tokens": 8, "output_tokens": 2,
    "cost_rub": "0.25", "cost_usd": "0.01",
}  # fmt: skip
TOTALS = {
    "total_tokens": 30,
    "prompt_tokens": 24,
    "completion_tokens": 6,
    "cost_usd": Decimal("0.03"),
    "cost_rub": Decimal("0.75"),
    "requests_count": 3,
}


@pytest.fixture(scope="module")
def told(stack: Stack) -> dict[str, str]:
    """Secrets of callers by name, after the events of two organizations are stored."""
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    bound: dict[str, dict[str, Any]] = {
        "acme": {"organization_id": "acme"},
        "anna of acme": {"organization_id": "acme", "user_id": "anna"},
        "anna of nowhere": {"user_id": "anna"},
        "nobody": {},
        "unheard of": {"organization_id": "unheard of"},
    }
    secrets = {name: tokens.create(store, name, ["read"], **to).secret for name, to in bound.items()}
    secrets["all"] = tokens.create(store, "all", ["read:all"]).secret
    secrets["sender"] = tokens.create(store, "sender", ["ingest"]).secret
    store.dispose()
    who = [
        {"organization_id": "acme", "user_id": "anna", "user_name": "Анна"},
        {"organization_id": "acme", "user_id": "boris"},
        {"organization_id": "acme"},
        {"organization_id": "globex", "user_id": "anna", "user_name": "Another"},
        {"user_id": "anna"},
    ]
    answer = stack.send([{"id": str(number), "source": "of the tests", **EVENT, **by} for number, by in enumerate(who)])
    assert answer.status_code == 202, answer.text
    return secrets


def asked(stack: Stack, path: str, token: str, **parameters: str) -> Any:
    answer = stack.query.get(path, token, params=parameters)
    assert answer.status_code == 200, answer.text
    return read_json(answer.content)


def test_system_a_answers_in_its_own_shapes(stack: Stack, told: dict[str, str]) -> None:
    acme, first, last = told["acme"], str(YESTERDAY.date()), str(YESTERDAY.date() + timedelta(days=1))
    assert asked(stack, TOKENS, acme) == {"success": True, "data": TOTALS}
    assert asked(stack, f"{TOKENS}/history", acme, start_date=first, end_date=last, agent_id="writer") == {
        "success": True,
        "data": {"history": [{"date": first, **TOTALS}, {"date": last, **dict.fromkeys(TOTALS, 0)}]},
    }
    assert asked(stack, f"{TOKENS}/by-agent", acme, end_date=first) == {
        "success": True,
        "data": {"agents": [{"agent_id": "writer", **TOTALS, "share": 100}]},
    }
    assert asked(stack, f"{TOKENS}/by-model", acme, ai_provider="openai", ai_model="gpt-4o") == {
        "success": True,
        "data": {"models": [{"ai_provider": "openai", "ai_model": "gpt-4o", **TOTALS, "share": 100}]},
    }


def test_system_c_answers_in_its_own_shapes(stack: Stack, told: dict[str, str]) -> None:
    acme, cost = told["acme"], Decimal("0.75")
    assert asked(stack, f"{AI}/statistics", acme) == {
        "total_tokens": 30,
        "total_requests": 3,
        "by_operation": {"TEXT_GENERATION": {"name": "Text generation", "count": 3, "tokens": 30, "cost": cost}},
        "cost": {"amount": cost, "currency": "RUB"},
        "period_days": 7,
    }
    assert asked(stack, f"{AI}/total-tokens", acme, operation="TEXT_GENERATION") == {"total_tokens": 30}
    users = asked(stack, f"{AI}/top-users", acme, limit="2", currency="usd")["items"]
    figures = {"total_tokens": 10, "requests": 1, "cost": Decimal("0.01")}
    assert sorted(users, key=lambda user: user["user_id"]) == [
        {"user_id": "anna", "user_name": "Анна", **figures},
        {"user_id": "boris", "user_name": None, **figures},
    ]
    assert asked(stack, f"{AI}/by-token-type", acme) == {
        "items": [{"token_type": "personal", "total_tokens": 30, "count": 3}]
    }
    forecast = asked(stack, f"{AI}/forecast", acme, days="2", history_days="2")
    assert (forecast.pop("tokens"), forecast.pop("cost")) == (2 * 30, 2 * cost)
    assert forecast.pop("lower") == 0
    assert forecast.pop("upper") > 60
    assert forecast == {
        "confidence": Decimal("0.8"),
        "backtest_error_percent": None,
        "method": "average",
        "budget_exhausted_on": None,
    }


@pytest.mark.parametrize(
    ("caller", "events"), [("acme", 3), ("anna of acme", 1), ("anna of nowhere", 1), ("unheard of", 0), ("all", 5)]
)
def test_a_caller_sees_its_own_and_no_more(stack: Stack, told: dict[str, str], caller: str, events: int) -> None:
    answers = {path: asked(stack, path, told[caller]) for path in ENDPOINTS}
    of_a = [answers[path]["data"] for path in OF_SYSTEM_A]
    assert of_a[0]["requests_count"] == events
    assert [sum(row["requests_count"] for row in rows) for data in of_a[1:] for rows in data.values()] == [events] * 3
    assert answers[f"{AI}/statistics"]["total_requests"] == events
    assert answers[f"{AI}/total-tokens"]["total_tokens"] == 10 * events
    assert sum(row["count"] for row in answers[f"{AI}/by-token-type"]["items"]) == events
    names = {"acme": {"Анна", None}, "anna of acme": {"Анна"}, "anna of nowhere": {None}, "unheard of": set()}
    users = answers[f"{AI}/top-users"]["items"]
    assert {row["user_name"] for row in users} == names.get(caller, {"Анна", None, "Another"})
    assert answers[f"{AI}/forecast"]["tokens"] == 10 * events * 30  # nothing was used before yesterday


@pytest.mark.parametrize("path", ENDPOINTS)
def test_whoever_may_not_read_gets_no_answer(stack: Stack, told: dict[str, str], path: str) -> None:
    of_nobody = stack.query.get(path, told["nobody"])
    assert of_nobody.status_code == 403
    assert "read:all" in of_nobody.json()["detail"]
    assert stack.query.get(path, told["sender"]).status_code == 403
    assert stack.query.get(path, None).status_code == 401


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("parameter", ["organization_id", "user_id", "day", "timezone ", "DAYS"])
def test_an_unknown_parameter_is_refused(stack: Stack, path: str, parameter: str) -> None:
    refused(stack, path, {parameter: "1"}, parameter)


BAD: list[tuple[tuple[str, ...], dict[str, str], str]] = [
    (ENDPOINTS, {"timezone": "Mars/Base"}, "timezone"),
    (ENDPOINTS, {"timezone": "a\0b"}, "timezone"),
    *(
        (ENDPOINTS, {"days": days}, "days")
        for days in ("0", "-1", "3661", "9" * 400, "1e3", "7.0", " 7", "1_0", "٣", "many", "", "NaN", "1\0")
    ),
    *((OF_SYSTEM_A, {name: value}, name) for name in ("start_date", "end_date") for value in (
        "2026-13-01", "2026-02-29", "01.05.2026", "1777593600", "2026-05-01T00:00:00Z", "1899-12-31", "2201-01-01",
        "0001-01-01", "99999-01-01", "20260501", "2026-W01-1", "", "today",
    )),
    (OF_SYSTEM_A, {"start_date": "2026-03-02", "end_date": "2026-03-01"}, "end_date"),
    (OF_SYSTEM_A, {"days": "3", "start_date": "2026-03-02"}, "days"),
    (OF_SYSTEM_A, {"days": "3", "end_date": "2026-03-02"}, "days"),
    *((OF_SYSTEM_A, {name: "a\0b"}, name) for name in ("agent_id", "ai_provider", "ai_model")),
    *((OF_SYSTEM_A, {name: "a" * 2001}, name) for name in ("agent_id", "ai_provider", "ai_model")),
    *((RANGED, {name: value}, name) for name in ("start", "end") for value in (
        "2026-13-01", "yesterday", "2026-05-01T00:00:00", "1899-12-31", "9" * 400, "", "1\0",
    )),
    (RANGED, {"start": "2026-03-02", "end": "2026-03-01"}, "end"),
    (RANGED, {"start": "2026-03-02T00:00:00Z", "end": "2026-03-02T00:00:00Z"}, "end"),
    (RANGED, {"start": "2199-01-01"}, "start"),
    (RANGED, {"days": "3", "start": "2026-03-02"}, "days"),
    ((f"{AI}/total-tokens",), {"operation": "a\0b"}, "operation"),
    *(((f"{AI}/top-users",), {"limit": value}, "limit") for value in ("0", "1001", "-1", "ten", "1.5", "")),
    *(
        ((f"{AI}/statistics", f"{AI}/top-users", f"{AI}/forecast"), {"currency": value}, "currency")
        for value in ("roubles", "R", "R1B", "", "РУБ", "US\n")
    ),
    *(((f"{AI}/forecast",), {"history_days": value}, "history_days") for value in ("1", "0", "3661", "x", "")),
    ((f"{AI}/forecast",), {"days": "367"}, "days"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "parameters", "names"), [(path, given, name) for paths, given, name in BAD for path in paths]
)
def test_a_bad_parameter_is_a_400_that_names_it(
    stack: Stack, path: str, parameters: dict[str, str], names: str
) -> None:
    refused(stack, path, parameters, names)


def refused(stack: Stack, path: str, parameters: dict[str, str], names: str) -> None:
    answer = stack.query.get(path, params=parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    [fault] = answer.json()["errors"]
    assert fault["field"] == names
    assert fault["message"] in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "parameters", "says"),
    [
        (TOKENS, {"days": "3661"}, "3660"),
        (TOKENS, {"days": "0"}, "1"),
        (f"{AI}/top-users", {"limit": "1001"}, "1000"),
        (f"{AI}/forecast", {"days": "367"}, "366"),
        (f"{AI}/forecast", {"history_days": "1"}, "2"),
    ],
)
def test_what_is_allowed_is_said(stack: Stack, path: str, parameters: dict[str, str], says: str) -> None:
    assert says in stack.query.get(path, params=parameters).json()["errors"][0]["message"]


def test_a_history_of_too_many_days_is_a_422_with_advice(stack: Stack) -> None:
    answer = stack.query.get(f"{TOKENS}/history", params={"start_date": "1900-01-01"})
    assert answer.status_code == 422
    assert "start_date" in answer.json()["detail"]
    assert stack.query.get(TOKENS, params={"start_date": "1900-01-01", "end_date": "2200-12-31"}).status_code == 200


def test_an_empty_database_answers_with_the_same_fields(postgres: Server, functions: Functions) -> None:
    url = postgres.create()
    register_admin(url)
    query = functions.start("query", url)
    nothing = dict.fromkeys(TOTALS, 0)
    answers = {path: read_json(query.get(path).content) for path in ENDPOINTS}
    assert [answers[path]["data"] for path in OF_SYSTEM_A] == [nothing, {"history": []}, {"agents": []}, {"models": []}]
    assert list(answers[f"{AI}/statistics"].values()) == [0, 0, {}, {"amount": 0, "currency": "RUB"}, 7]
    assert answers[f"{AI}/total-tokens"] == {"total_tokens": 0}
    assert answers[f"{AI}/top-users"] == answers[f"{AI}/by-token-type"] == {"items": []}
    assert [answers[f"{AI}/forecast"][name] for name in ("tokens", "cost", "lower", "upper")] == [0, 0, 0, 0]
    history = read_json(query.get(f"{TOKENS}/history", params={"days": "400"}).content)["data"]["history"]
    assert len(history) == 400
    assert history[0] == {"date": history[0]["date"], **nothing}
    functions.stop_all()
    postgres.drop(url)
