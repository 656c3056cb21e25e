"""System B's accounts and diagnostics, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import ADMIN, Function, Functions, Stack, read_json, register_admin
from tests.support.postgres import Server, execute, settings_of

ACCOUNTS, DIAGNOSTICS = "/api/v1/billing/accounts", "/api/v1/diagnostics"


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> dict[str, str]:
    """Secrets of callers by name, after events of two organizations and of nobody are stored."""
    execute(
        stack.database_url,
        "INSERT INTO organizations (id, name, plan, timezone, free_requests_limit, updated_at)"
        " VALUES ('acme', 'Acme', 'starter', 'Asia/Kolkata', 2, '2020-01-01'), ('idle', 'Idle', NULL, 'UTC', 5,"
        " '2020-01-01')",
    )
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    bound: dict[str, dict[str, Any]] = {
        "acme": {"organization_id": "acme"},
        "globex": {"organization_id": "globex"},
        "idle": {"organization_id": "idle"},
        "anna of acme": {"organization_id": "acme", "user_id": "anna"},
        "anna of nowhere": {"user_id": "anna"},
        "unheard of": {"organization_id": "unheard of"},
        "nobody": {},
    }
    made = {name: tokens.create(store, name, ["read"], **to).secret for name, to in bound.items()}
    made["all"] = tokens.create(store, "all", ["read:all"]).secret
    store.dispose()
    call = {"route": "/a", "method": "POST", "status": 200, "response_time_ms": 10}
    answer = stack.send(
        [
            {**call, "organization_id": "acme", "user_id": "anna"},
            {**call, "organization_id": "acme", "user_id": "boris", "response_time_ms": 20.25},
            {**call, "organization_id": "acme", "status": 502, "error_message": "bad gateway"},
            {**call, "organization_id": "globex", "route": "/b", "status": 404},
            {**call, "user_id": "anna", "route": "/c"},
        ]
    )
    assert answer.status_code == 202, answer.text
    return made


def asked(stack: Stack, path: str, token: str = ADMIN, **parameters: Any) -> Any:
    answer = stack.query.get(path, token, params=parameters or None)
    assert answer.status_code == 200, answer.text
    return read_json(answer.content)


def test_accounts_are_answered_in_the_shape_that_system_b_knows(stack: Stack, secrets: dict[str, str]) -> None:
    found = asked(stack, ACCOUNTS, secrets["all"])
    assert found.keys() == {"items", "next_cursor"}
    assert found["next_cursor"] is None
    acme, globex, idle = found["items"]
    for account in found["items"]:
        assert account.pop("period_start") < account.pop("period_end")
        assert account.pop("updated_at")
    assert acme == {
        "organization_id": "acme", "name": "Acme", "plan": "starter", "free_requests_limit": 2,
        "free_requests_used": 2, "requests_used_current_period": 3,
    }  # fmt: skip
    assert globex == {
        "organization_id": "globex", "name": "globex", "plan": None, "free_requests_limit": None,
        "free_requests_used": None, "requests_used_current_period": 1,
    }  # fmt: skip
    assert idle == {
        "organization_id": "idle", "name": "Idle", "plan": None, "free_requests_limit": 5, "free_requests_used": 0,
        "requests_used_current_period": 0,
    }  # fmt: skip


def test_periods_are_told_with_the_offset_of_the_organization(stack: Stack, secrets: dict[str, str]) -> None:
    [acme] = asked(stack, ACCOUNTS, secrets["acme"])["items"]
    assert acme["period_start"].endswith("-01T00:00:00+05:30")
    assert acme["period_end"].endswith("-01T00:00:00+05:30")


def test_accounts_come_in_pages(stack: Stack, secrets: dict[str, str]) -> None:
    pages, parameters = [], {"limit": "1"}
    while True:
        page = asked(stack, ACCOUNTS, secrets["all"], **parameters)
        pages.append([account["organization_id"] for account in page["items"]])
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert pages == [["acme"], ["globex"], ["idle"]]


VISIBLE = {
    "acme": {"acme": 3},
    "globex": {"globex": 1},
    "idle": {"idle": 0},
    "anna of acme": {"acme": 1},
    "anna of nowhere": {},
    "unheard of": {},
    "all": {"acme": 3, "globex": 1, "idle": 0},
}


@pytest.mark.parametrize("caller", VISIBLE)
def test_a_caller_sees_its_own_account_and_its_own_requests(stack: Stack, secrets: dict[str, str], caller: str) -> None:
    items = asked(stack, ACCOUNTS, secrets[caller])["items"]
    assert {one["organization_id"]: one["requests_used_current_period"] for one in items} == VISIBLE[caller]


def test_diagnostics_are_answered_in_the_shape_that_system_b_knows(stack: Stack, secrets: dict[str, str]) -> None:
    found = asked(stack, DIAGNOSTICS, secrets["acme"])
    assert 0 <= found.pop("last_record_age_seconds") < 60
    assert found == {
        "total_records": 3,
        "records_last_hour": 3,
        "recent_records": 3,
        "unique_users": 2,
        "unique_endpoints": 1,
        "updated_accounts": 1,
        "errors": [{"status_code": 502, "endpoint": "/a", "error_count": 1, "last_error": "bad gateway"}],
        "slowest": [
            {"endpoint": "/a", "method": "POST", "call_count": 3, "avg_ms": read_json("13.4"),
             "p95_ms": read_json("20.25"), "max_ms": read_json("20.25")}
        ],
    }  # fmt: skip


# Records, users, endpoints, accounts, errors
DIAGNOSED = {
    "acme": (3, 2, 1, 1, 1),
    "globex": (1, 0, 1, 1, 1),
    "idle": (0, 0, 0, 0, 0),
    "anna of acme": (1, 1, 1, 1, 0),
    "anna of nowhere": (1, 1, 1, 0, 0),
    "unheard of": (0, 0, 0, 0, 0),
    "all": (5, 3, 3, 2, 2),
}


@pytest.mark.parametrize("caller", DIAGNOSED)
def test_diagnostics_cover_the_callers_own(stack: Stack, secrets: dict[str, str], caller: str) -> None:
    found = asked(stack, DIAGNOSTICS, secrets[caller])
    figures = ("total_records", "unique_users", "unique_endpoints", "updated_accounts")
    assert (*(found[name] for name in figures), len(found["errors"])) == DIAGNOSED[caller]
    assert found["records_last_hour"] == found["recent_records"] == found["total_records"]
    assert (found["last_record_age_seconds"] is None) == (found["total_records"] == 0)


@pytest.mark.parametrize("path", [ACCOUNTS, DIAGNOSTICS])
def test_a_reader_that_is_bound_to_nobody_sees_nothing(stack: Stack, secrets: dict[str, str], path: str) -> None:
    assert stack.query.get(path, secrets["nobody"]).status_code == 403
    assert stack.query.get(path, None).status_code == 401


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        (ACCOUNTS, "limit", "0"),
        (ACCOUNTS, "limit", "201"),
        (ACCOUNTS, "limit", " 5"),
        (ACCOUNTS, "limit", "9" * 5000),
        (ACCOUNTS, "cursor", ""),
        (ACCOUNTS, "cursor", "r10"),
        (ACCOUNTS, "cursor", "AA"),
        (ACCOUNTS, "cursor", "_w"),
        (ACCOUNTS, "cursor", "é"),
        (ACCOUNTS, "organization_id", "acme"),
        (DIAGNOSTICS, "hours", "1"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(stack: Stack, path: str, parameter: str, value: str) -> None:
    answer = stack.query.get(path, params={parameter: value})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert parameter in {fault["field"] for fault in answer.json()["errors"]}


def test_a_limit_that_is_too_large_is_told_the_largest(stack: Stack) -> None:
    assert "200" in stack.query.get(ACCOUNTS, params={"limit": "1000"}).json()["detail"]


@pytest.fixture
def empty(postgres: Server, functions: Functions) -> Iterator[Function]:
    url = postgres.create()
    register_admin(url)
    yield functions.start("query", url)
    functions.stop_all()
    postgres.drop(url)


def test_an_empty_database_answers_zeros(empty: Function) -> None:
    assert empty.get(ACCOUNTS).json() == {"items": [], "next_cursor": None}
    assert empty.get(DIAGNOSTICS).json() == {
        "total_records": 0, "records_last_hour": 0, "recent_records": 0, "unique_users": 0, "unique_endpoints": 0,
        "last_record_age_seconds": None, "updated_accounts": 0, "errors": [], "slowest": [],
    }  # fmt: skip
