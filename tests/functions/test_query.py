"""query answers each caller about what is its own, and says what is wrong with a question."""

import csv
import io
import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tally import tokens
from tally.database import Store
from tally.settings import Settings
from tally.usage.coverage import Span
from tally.usage.cursor import Cursor, digest_of
from tally.usage.question import MAX_LIMIT
from tests.support.functions import ADMIN, Functions, Stack, read_json, register_admin
from tests.support.postgres import Server, scalar, settings_of
from tests.support.waiting import eventually

ENDPOINTS = ("/v1/usage", "/api/v1/billing/usage/tokens/summary", "/api/usage/stats")
TOKEN = "cd" * 32


@pytest.fixture(scope="module")
def told(stack: Stack) -> dict[str, str]:
    """Secrets of callers by name, after the events of two organizations are stored."""
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    tokens.register_reported(store, [(TOKEN, "gateway", "red")])
    bound: dict[str, dict[str, Any]] = {
        "acme": {"organization_id": "acme"},
        "globex": {"organization_id": "globex"},
        "anna of acme": {"organization_id": "acme", "user_id": "anna"},
        "anna of nowhere": {"user_id": "anna"},
        "nobody": {},
        "unheard of": {"organization_id": "unheard of"},
    }
    secrets = {name: tokens.create(store, name, ["read"], **to).secret for name, to in bound.items()}
    secrets["all"] = tokens.create(store, "all", ["read:all"]).secret
    secrets["sender of acme"] = tokens.create(store, "same", ["ingest"], organization_id="acme").secret
    secrets["sender of globex"] = tokens.create(store, "same", ["ingest"], organization_id="globex").secret
    store.dispose()

    def send(secret: str, *events: dict[str, Any]) -> None:
        answer = stack.send(
            [{"route": "/a", "total_tokens": 10, "token_hash": TOKEN, **event} for event in events], secret
        )
        assert answer.status_code == 202, answer.text

    send(secrets["sender of acme"], {"id": "1", "user_id": "anna"}, {"id": "2", "user_id": "boris"}, {"id": "3"})
    send(secrets["sender of globex"], {"id": "1", "user_id": "anna"}, {"id": "1", "user_id": "anna"})
    assert stack.send([{"id": "1", "user_id": "anna", "route": "/b", "source": "same"}]).status_code == 202
    return secrets


OWN = {"acme": 3, "globex": 1, "anna of acme": 1, "anna of nowhere": 1, "unheard of": 0, "all": 5}


@pytest.mark.parametrize("caller", OWN)
def test_a_caller_sees_its_own_and_no_more(stack: Stack, told: dict[str, str], caller: str) -> None:
    usage, summary, stats = (read_json(stack.query.get(path, told[caller]).content) for path in ENDPOINTS)
    assert usage["rows"][0]["requests"] == OWN[caller]
    assert summary["data"]["all_time"]["requests_count"] == OWN[caller]
    assert stats["overview"]["total_calls"] == OWN[caller]
    assert sum(route["call_count"] for route in stats["top_routes"]) == OWN[caller]


def test_the_same_source_and_id_of_two_tenants_are_two_events(stack: Stack, told: dict[str, str]) -> None:
    rows = stack.usage(told["all"], source="same", group_by="organization_id")["rows"]
    assert [(row["organization_id"], row["requests"]) for row in rows] == [("acme", 3), ("globex", 1), (None, 1)]


@pytest.mark.parametrize(
    ("caller", "parameters", "status"),
    [
        ("acme", {"organization_id": "acme"}, 200),
        ("acme", {"organization_id": "globex"}, 403),
        ("acme", {"organization_id": ["acme", "globex"]}, 403),
        ("acme", {"organization_id": ""}, 403),
        ("acme", {"user_id": "anna"}, 200),
        ("anna of acme", {"user_id": "anna"}, 200),
        ("anna of acme", {"user_id": "boris"}, 403),
        ("anna of acme", {"user_id": "boris", "organization_id": "acme"}, 403),
        ("all", {"organization_id": "globex", "user_id": "anna"}, 200),
    ],
)
def test_to_name_somebody_else_is_forbidden(
    stack: Stack, told: dict[str, str], caller: str, parameters: dict[str, Any], status: int
) -> None:
    assert stack.query.get("/v1/usage", told[caller], params=parameters).status_code == status


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_reader_that_is_bound_to_nobody_sees_nothing(stack: Stack, told: dict[str, str], path: str) -> None:
    answer = stack.query.get(path, told["nobody"])
    assert answer.status_code == 403
    assert "read:all" in answer.json()["detail"]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_without_the_scope_to_read_there_is_no_answer(stack: Stack, told: dict[str, str], path: str) -> None:
    assert stack.query.get(path, told["sender of acme"]).status_code == 403
    assert stack.query.get(path, None).status_code == 401


def test_a_token_is_shown_with_its_name_and_team(stack: Stack, told: dict[str, str]) -> None:
    [row] = stack.usage(told["globex"], group_by="token")["rows"]
    assert (row["token"], row["token_name"], row["requests"]) == (TOKEN, "gateway", 1)
    [top] = stack.query.get("/api/usage/stats", told["globex"]).json()["top_tokens"]
    assert top.pop("id")
    assert top == {"token_hash": TOKEN, "name": "gateway", "team_id": "red", "usage_count": 1}


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/v1/usage", "metric", "requests"),
        ("/v1/usage", "timezone", "Mars/Base"),
        ("/v1/usage", "limit", "10001"),
        ("/v1/usage", "from", "2026-13-01"),
        ("/api/usage/stats", "hour", "3"),
        ("/api/usage/stats", "hours", "0"),
        ("/api/usage/stats", "hours", "many"),
        ("/api/v1/billing/usage/tokens/summary", "agent", "x"),
        ("/api/v1/billing/usage/tokens/summary", "timezone", "Mars/Base"),
        ("/api/v1/billing/usage/tokens/summary", "ai_model", "a\0b"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(stack: Stack, path: str, parameter: str, value: str) -> None:
    answer = stack.query.get(path, params={parameter: value})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert parameter in {fault["field"] for fault in answer.json()["errors"]}


def test_the_range_and_zone_of_an_answer_are_told(stack: Stack) -> None:
    found = stack.usage(from_="2026-03-01", to="2026-04-01", timezone="Asia/Kolkata", window="month", fill="zero")
    assert found["from"] == "2026-03-01T00:00:00+05:30"
    assert found["to"] == "2026-04-01T00:00:00+05:30"
    assert (found["timezone"], found["currency"], found["window"]) == ("Asia/Kolkata", "USD", "month")
    assert [row["window_start"] for row in found["rows"]] == ["2026-03-01T00:00:00+05:30"]


def test_without_a_range_the_last_30_local_days_are_meant(stack: Stack) -> None:
    found = stack.usage(window="day", fill="zero", source="unheard of")
    days = [datetime.fromisoformat(row["window_start"]) for row in found["rows"]]
    assert len(days) == 30
    assert days == [days[0] + timedelta(days=number) for number in range(30)]
    assert days[-1] <= datetime.now(UTC) < days[-1] + timedelta(days=1, minutes=1)


def test_an_event_is_in_the_very_next_answer(stack: Stack) -> None:
    for number in range(20):
        event = {"id": str(number), "source": "at once", "route": "/", "cost_usd": "0.0000000001"}
        assert stack.send(event).status_code == 202
        [row] = stack.usage(source="at once")["rows"]
        assert (row["requests"], row["cost"]) == (number + 1, Decimal(number + 1) / 10**10)


def test_a_question_over_the_time_limit_is_a_422_with_advice(postgres: Server, functions: Functions) -> None:
    url = postgres.create()
    register_admin(url)
    query = functions.start("query", url, query_timeout_seconds=0.5)
    assert query.get("/v1/usage").status_code == 200
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE usage_events")
        answer = query.get("/v1/usage")
    assert answer.status_code == 422
    assert "too large" in answer.json()["detail"]
    assert query.get("/v1/usage").status_code == 200
    postgres.drop(url)


def test_the_statement_of_a_caller_who_is_gone_is_stopped(postgres: Server, functions: Functions) -> None:
    url = postgres.create()
    register_admin(url)
    query = functions.start("query", url, query_timeout_seconds=600)
    assert query.get("/v1/usage").status_code == 200
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tally query' AND wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE usage_events")
        with socket.create_connection((query.client.base_url.host, query.client.base_url.port or 0)) as caller:
            request = f"GET /v1/usage?group_by=label:x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
            caller.sendall(request.encode())
            eventually(lambda: scalar(url, waiting) == 1, "the statement waits")
        eventually(lambda: scalar(url, waiting) == 0, "the statement was stopped")
    assert query.get("/v1/usage").status_code == 200
    assert "unexpected" not in query.log
    postgres.drop(url)


def test_a_question_has_less_than_five_seconds_by_default() -> None:
    assert Settings().query_timeout_seconds < 5


def test_explain_says_what_was_read_and_is_for_admins(stack: Stack, told: dict[str, str]) -> None:
    today = datetime.now(UTC).date()
    given = {"from": str(today - timedelta(days=20)), "to": str(today + timedelta(days=1)), "group_by": "route"}
    answer = stack.query.get("/v1/usage", params={**given, "explain": "true"})
    assert answer.status_code == 200
    explain = answer.json()["explain"]
    assert explain["cubes"] == ["cube_route_day", "cost_route_day"]
    assert explain["rows_read"]["usage_events"] >= 5  # nothing is folded here
    assert explain["rows_read"]["fold_state"] >= 1
    assert "explain" not in stack.query.get("/v1/usage", params=given).json()
    assert stack.query.get("/v1/usage", told["all"], params={**given, "explain": "true"}).status_code == 403


def test_a_file_has_the_rows_of_all_pages(stack: Stack, told: dict[str, str]) -> None:
    given = {"metrics": "requests,cost", "group_by": "token,route", "order_by": "-requests"}
    rows = stack.usage(told["all"], **given)["rows"]
    answer = stack.query.get("/v1/usage", told["all"], params={**given, "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    left_out = ["unconverted_requests", "older_rate_requests"]
    assert list(lines[0]) == ["token", "token_name", "route", "requests", "cost", *left_out]
    assert [(line["token"] or None, line["route"] or None, int(line["requests"])) for line in lines] == [
        (row["token"], row["route"], row["requests"]) for row in rows
    ]
    answer = stack.query.get("/v1/usage", told["all"], params={**given, "format": "ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [read_json(line) for line in answer.text.splitlines()] == rows
    answer = stack.query.get("/v1/usage", told["all"], params={**given, "format": "ndjson", "limit": 1})
    assert [read_json(line) for line in answer.text.splitlines()] == rows[:1]


def test_a_file_of_many_pages_is_whole(stack: Stack) -> None:
    given = {"window": "15m", "from": "2025-11-01", "to": "2026-03-01", "fill": "zero", "metrics": "requests"}
    answer = stack.query.get("/v1/usage", params={**given, "format": "csv", "source": "unheard of"})
    lines = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    starts = [datetime.fromisoformat(line["window_start"]) for line in lines]
    assert len(starts) == 120 * 96 > MAX_LIMIT
    assert starts == [starts[0] + timedelta(minutes=15) * number for number in range(len(starts))]


def test_a_bad_question_for_a_file_is_a_problem_and_no_file(stack: Stack, told: dict[str, str]) -> None:
    answer = stack.query.get("/v1/usage", params={"format": "csv", "metrics": "x"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    answer = stack.query.get("/v1/usage", told["acme"], params={"format": "csv", "organization_id": "globex"})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


def forged(**changed: Any) -> str:
    question = digest_of([("group_by", "route"), ("order_by", "-requests")])
    span = Span(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    whole: dict[str, Any] = {"question": question, "span": span, "as_of": "10:12:11", "after": ("5", "0", "/a", "1")}
    return str(Cursor(**{**whole, **changed}))


@pytest.mark.parametrize(
    "changed",
    [
        *({"after": after} for after in ((), ("5", "0", "/a"), ("5", "0", "/a", "1", "1"), ("x", "0", "/a", "1"))),
        {"after": ("5", "0", "/a", "9" * 30)},
        *({"as_of": text} for text in ("", "12:10:", "x'; DROP TABLE users")),
    ],
    ids=str,
)
def test_a_cursor_that_was_made_up_is_a_400(stack: Stack, changed: dict[str, Any]) -> None:
    given = {"group_by": "route", "order_by": "-requests"}
    assert stack.query.get("/v1/usage", params={**given, "cursor": forged()}).status_code == 200
    answer = stack.query.get("/v1/usage", params={**given, "cursor": forged(**changed)})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["cursor"]
