"""System D's questions about a token, a route and the week, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import ADMIN, Functions, Stack, read_json, register_admin
from tests.support.postgres import Server, rows, scalar, settings_of

NAMED, BARE, UNUSED = "cd" * 32, "ef" * 32, "ab" * 32
PATHS = (f"/api/usage/token/{BARE}", "/api/usage/route?route_path=/a", "/api/usage/dashboard")
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
STATS = {"total_calls", "error_count", "avg_response_time", "first_used", "last_used"}
FACTS = {
    "id", "name", "team_id", "token_hash", "scopes", "routes", "organization_id", "user_id", "created_at",
    "expires_at", "revoked_at", "last_used_at",
}  # fmt: skip


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> dict[str, str]:
    """Secrets of callers by name, after calls of two organizations are stored."""
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    tokens.register_reported(store, [(NAMED, "mobile app", "red"), (UNUSED, "not used yet", "red")])
    bound: dict[str, dict[str, Any]] = {
        "acme": {"organization_id": "acme"},
        "globex": {"organization_id": "globex"},
        "anna of acme": {"organization_id": "acme", "user_id": "anna"},
        "boris of acme": {"organization_id": "acme", "user_id": "boris"},
        "anna of nowhere": {"user_id": "anna"},
        "nobody": {},
    }
    made = {name: tokens.create(store, name, ["read"], **to).secret for name, to in bound.items()}
    made["all"] = tokens.create(store, "all", ["read:all"]).secret
    store.dispose()
    call = {"route": "/a", "token_hash": BARE, "status": 200, "response_time_ms": 10, "method": "POST"}
    failed = {**call, "status": 503, "error_type": "timeout", "error_message": "late", "response_time_ms": 30.25}
    answer = stack.send(
        [
            {**call, "organization_id": "acme", "user_id": "anna"},
            {**failed, "organization_id": "acme"},
            {**call, "organization_id": "acme", "token_hash": NAMED},
            {**call, "organization_id": "globex", "route": "/b"},
            {**call, "user_id": "anna"},
        ]
    )
    assert answer.status_code == 202, answer.text
    return made


def asked(stack: Stack, path: str, token: str = ADMIN, **parameters: Any) -> Any:
    answer = stack.query.get(path, token, params=parameters or None)
    assert answer.status_code == 200, answer.text
    return read_json(answer.content)


def test_a_token_is_answered_in_the_shape_that_system_d_knows(stack: Stack, secrets: dict[str, str]) -> None:
    found = asked(stack, f"/api/usage/token/{BARE}", secrets["acme"])
    assert found.keys() == {"token", "stats", "recent_usage", "routes", "hours_of_day"}
    facts = dict.fromkeys(FACTS) | {"token_hash": BARE, "last_used_at": found["stats"]["last_used"]}
    assert found["token"] == facts
    assert found["stats"].keys() == STATS
    assert (found["stats"]["total_calls"], found["stats"]["error_count"]) == (2, 1)
    assert str(found["stats"]["avg_response_time"]) == "20.1"
    assert [call.pop("used_at") for call in found["recent_usage"]] == 2 * [found["stats"]["last_used"]]
    assert sorted(found["recent_usage"], key=lambda call: str(call["response_status"])) == [
        {"route_path": "/a", "response_status": 200, "response_time_ms": 10, "request_method": "POST",
         "error_message": None},
        {"route_path": "/a", "response_status": 503, "response_time_ms": read_json("30.25"), "request_method": "POST",
         "error_message": "late"},
    ]  # fmt: skip
    assert found["routes"] == [{"route_path": "/a", "call_count": 2, "share": 100}]
    assert [hour["hour"] for hour in found["hours_of_day"]] == list(range(24))
    assert sum(hour["call_count"] for hour in found["hours_of_day"]) == 2


def test_the_last_hundred_calls_are_listed_newest_first(stack: Stack) -> None:
    times = [(YESTERDAY + timedelta(seconds=number)).isoformat() for number in range(130)]
    events = [{"route": "/often", "token_hash": "12" * 32, "time": time} for time in times]
    assert stack.send(events).status_code == 202
    recent = asked(stack, f"/api/usage/token/{'12' * 32}")["recent_usage"]
    assert [call["used_at"] for call in recent] == times[:29:-1]


def test_hours_of_the_day_are_those_of_the_zone(stack: Stack) -> None:
    time = YESTERDAY.replace(hour=20, minute=20)
    event = {"route": "/early", "token_hash": "34" * 32, "time": time.isoformat()}
    assert stack.send(event).status_code == 202
    for zone, hour in (("UTC", 20), ("Europe/Moscow", 23), ("Asia/Kolkata", 1), ("Asia/Kathmandu", 2)):
        hours = asked(stack, f"/api/usage/token/{'34' * 32}", timezone=zone)["hours_of_day"]
        assert [row["hour"] for row in hours if row["call_count"]] == [hour]


def test_a_route_is_answered_in_the_shape_that_system_d_knows(stack: Stack, secrets: dict[str, str]) -> None:
    found = asked(stack, "/api/usage/route", secrets["acme"], route_path="/a", hours=2)
    assert found.keys() == {"route", "stats", "tokens", "trend", "errors"}
    assert found["route"] == {"route_path": "/a"}
    assert found["stats"].keys() == STATS
    assert [(row["token_hash"], row["usage_count"]) for row in found["tokens"]] == [(BARE, 2), (NAMED, 1)]
    assert [str(row["share"]) for row in found["tokens"]] == ["66.7", "33.3"]
    assert (found["tokens"][1]["name"], found["tokens"][1]["team_id"]) == ("mobile app", "red")
    assert found["tokens"][0].keys() == {"id", "name", "team_id", "token_hash", "usage_count", "share"}
    assert [row.keys() for row in found["trend"]] == 2 * [
        {"hour", "call_count", "avg_response_time", "p95_response_time"}
    ]
    assert max(row["p95_response_time"] for row in found["trend"]) == read_json("30.25")
    [error] = found["errors"]
    assert error.pop("last_seen") <= found["stats"]["last_used"]
    assert error == {"status": 503, "error_type": "timeout", "count": 1}


def test_the_trend_has_24_hours_unless_others_are_asked_for(stack: Stack, secrets: dict[str, str]) -> None:
    assert len(asked(stack, "/api/usage/route", secrets["acme"], route_path="/a")["trend"]) == 24
    assert len(asked(stack, "/api/usage/route", secrets["acme"], route_path="/a", hours=100)["trend"]) == 100


def test_the_dashboard_is_answered_in_the_shape_that_system_d_knows(stack: Stack, secrets: dict[str, str]) -> None:
    found = asked(stack, "/api/usage/dashboard", secrets["acme"], timezone="Europe/Moscow")
    assert found["week"] == {"total_calls": 3, "success_rate": read_json("66.7")}
    assert [row["token_hash"] for row in found["top_tokens"]] == [BARE, NAMED]
    [top] = found["top_routes"]
    assert top == {"route_path": "/a", "call_count": 3, "avg_response_time": read_json("16.8"),
                   "success_rate": read_json("66.7")}  # fmt: skip


# Calls with the token BARE, calls of the route /a, all calls
VISIBLE = {"acme": (2, 3, 3), "globex": (1, 404, 1), "anna of acme": (1, 1, 1), "anna of nowhere": (1, 1, 1)}


@pytest.mark.parametrize("caller", VISIBLE)
def test_figures_are_over_the_callers_own_calls(stack: Stack, secrets: dict[str, str], caller: str) -> None:
    answers = [stack.query.get(path, secrets[caller]) for path in PATHS]
    totals = [
        answer.json().get("stats", answer.json().get("week"))["total_calls"] if answer.status_code == 200 else 404
        for answer in answers
    ]
    assert tuple(totals) == VISIBLE[caller]


def test_without_calls_of_its_own_a_caller_finds_neither_token_nor_route(stack: Stack, secrets: dict[str, str]) -> None:
    statuses = [stack.query.get(path, secrets["boris of acme"]).status_code for path in PATHS]
    assert statuses == [404, 404, 200]
    assert asked(stack, PATHS[2], secrets["boris of acme"]) == {
        "week": {"total_calls": 0, "success_rate": 0}, "top_tokens": [], "top_routes": [],
    }  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_reader_that_is_bound_to_nobody_sees_nothing(stack: Stack, secrets: dict[str, str], path: str) -> None:
    assert stack.query.get(path, secrets["nobody"]).status_code == 403
    assert stack.query.get(path, None).status_code == 401


def test_of_a_token_that_is_somebody_elses_only_the_name_is_told(stack: Stack, secrets: dict[str, str]) -> None:
    token_id = scalar(stack.database_url, "SELECT id FROM api_tokens WHERE token_hash = %s", [NAMED])
    facts = asked(stack, f"/api/usage/token/{token_id}", secrets["acme"])["token"]
    told = {"id": token_id, "name": "mobile app", "team_id": "red", "token_hash": NAMED}
    assert facts == dict.fromkeys(FACTS) | told | {"last_used_at": facts["last_used_at"]}
    facts = asked(stack, f"/api/usage/token/{token_id}", secrets["all"])["token"]
    assert (facts["scopes"], facts["created_at"] is None) == ([], False)


def test_a_token_that_was_never_used_is_told_to_whom_it_is_bound(stack: Stack, secrets: dict[str, str]) -> None:
    found = rows(stack.database_url, "SELECT name, id FROM api_tokens WHERE name IN ('acme', 'anna of acme')")
    ids: dict[str, str] = dict(found)
    for token, callers in {
        "acme": {"acme", "all"},
        "anna of acme": {"acme", "anna of acme", "all"},
    }.items():
        path = f"/api/usage/token/{ids[token]}"
        seen = {caller for caller in secrets if stack.query.get(path, secrets[caller]).status_code == 200}
        assert seen == callers
    found_by_all = asked(stack, f"/api/usage/token/{UNUSED}", secrets["all"])
    assert found_by_all["token"].keys() == FACTS
    assert found_by_all["stats"] == {
        "total_calls": 0, "error_count": 0, "avg_response_time": 0, "first_used": None, "last_used": None,
    }  # fmt: skip
    assert (found_by_all["recent_usage"], found_by_all["routes"]) == ([], [])


def test_what_a_token_is_bound_to_and_may_do_is_told_and_no_secret(stack: Stack, secrets: dict[str, str]) -> None:
    token_id = scalar(stack.database_url, "SELECT id FROM api_tokens WHERE name = 'anna of acme'")
    answer = stack.query.get(f"/api/usage/token/{token_id}", secrets["acme"])
    facts = answer.json()["token"]
    assert (facts["organization_id"], facts["user_id"], facts["scopes"]) == ("acme", "anna", ["read"])
    assert secrets["anna of acme"] not in answer.text


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/usage/route", "route_path"),
        ("/api/usage/route?route_path=", "route_path"),
        ("/api/usage/route?route_path=%00", "route_path"),
        ("/api/usage/route?route_path=/a&hours=0", "hours"),
        ("/api/usage/route?route_path=/a&hours=9601", "hours"),
        ("/api/usage/route?route_path=/a&hours=1e1", "hours"),
        ("/api/usage/route?route_path=/a&hours=" + "9" * 5000, "hours"),
        ("/api/usage/route?route_path=/a&route=/a", "route"),
        (f"/api/usage/token/{BARE}?timezone=Mars/Base", "timezone"),
        (f"/api/usage/token/{BARE}?hours=1", "hours"),
        ("/api/usage/token/%00", "token_id"),
        ("/api/usage/dashboard?timezone=", "timezone"),
        ("/api/usage/dashboard?days=7", "days"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(stack: Stack, path: str, field: str) -> None:
    answer = stack.query.get(path)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in {fault["field"] for fault in answer.json()["errors"]}


@pytest.mark.parametrize(
    "path", [f"/api/usage/token/{'00' * 32}", "/api/usage/token/é", "/api/usage/route?route_path=/x"]
)
def test_what_nobody_knows_is_a_404(stack: Stack, path: str) -> None:
    answer = stack.query.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_empty_database_answers_zeros(postgres: Server, functions: Functions) -> None:
    url = postgres.create()
    register_admin(url)
    query = functions.start("query", url)
    assert query.get("/api/usage/dashboard").json() == {
        "week": {"total_calls": 0, "success_rate": 0}, "top_tokens": [], "top_routes": [],
    }  # fmt: skip
    assert query.get(PATHS[0]).status_code == 404
    assert query.get(PATHS[1]).status_code == 404
    postgres.drop(url)
