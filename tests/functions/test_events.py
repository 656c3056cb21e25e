"""query lists single events, to each caller its own, as pages or as files, and says what is wrong with a question."""

import csv
import io
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest

from tally import tokens
from tally.database import Store
from tests.support.event_oracle import FIELDS
from tests.support.functions import ADMIN, Function, Functions, Stack, read_json, register_admin
from tests.support.postgres import Server, execute, scalar, settings_of
from tests.support.store import record
from tests.support.waiting import eventually

EVENTS = "/v1/usage/events"
DETAILED = "/api/v1/billing/usage/tokens/detailed"
ACTIVITY = "/api/v1/activity"
RECORDS = "/api/v1/ai/records"
LAST = "/api/usage/test-data"
LISTS = (EVENTS, DETAILED, ACTIVITY, RECORDS, LAST)
TOKEN = "cd" * 32
WHOLE_EVENT: dict[str, Any] = {
    "id": "whole",
    "source": "gateway",
    "time": "2026-03-01T12:00:00.000001+03:00",
    "organization_id": "acme",
    "user_id": "anna",
    "user_name": "Анна Петрова",
    "token_hash": TOKEN,
    "route": "/v1/chat",
    "method": "POST",
    "status": 503,
    "response_time_ms": Decimal("84.25"),
    "error_message": 'said "no",\nthen left',
    "provider": "openai",
    "model": "gpt-4",
    "agent_id": "writer",
    "operation": "TEXT_GENERATION",
    "input_text_length": 10,
    "cost": {"amount": Decimal("0.0065"), "currency": "EUR"},
    "cost_rub": Decimal("0.6"),
    "platform": "telegram",
    "topic": "Весенняя распродажа",
    "labels": {"tier": "pro"},
    "request_metadata": {"temperature": Decimal("0.70000000000000000001")},
}
WHOLE_ITEM = WHOLE_EVENT | {
    "time": "2026-03-01T09:00:00.000001+00:00",
    "input_tokens": 4,
    "total_tokens": 4,
    "tokens_estimated": True,
    "received_at": "2026-04-10T12:00:00+00:00",
}
WHOLE_RANGE = {"from": "2026-03-01", "to": "2026-03-02"}
# When the events of fixed times were received.
RECEIVED = datetime(2026, 4, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store_of_stack(stack: Stack) -> Iterator[Store]:
    """For events of times that ingest would not take for ever."""
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    yield store
    store.dispose()


@pytest.fixture(scope="module")
def told(stack: Stack, store_of_stack: Store) -> dict[str, str]:
    """Secrets of callers by name, after the events of two organizations are stored."""
    store = store_of_stack
    tokens.register_reported(store, [(TOKEN, "generator", "red")])
    bound: dict[str, dict[str, Any]] = {
        "acme": {"organization_id": "acme"},
        "globex": {"organization_id": "globex"},
        "anna of acme": {"organization_id": "acme", "user_id": "anna"},
        "nobody": {},
        "unheard of": {"organization_id": "unheard of"},
    }
    secrets = {name: tokens.create(store, name, ["read"], **to).secret for name, to in bound.items()}
    secrets["all"] = tokens.create(store, "all", ["read:all"]).secret
    secrets["sender"] = tokens.create(store, "sender", ["ingest"]).secret
    record(store, [WHOLE_EVENT], RECEIVED)
    plain = {"route": "/a", "total_tokens": 10, "source": "plain"}
    sent = [
        {"id": "1", "organization_id": "acme", "user_id": "anna"},
        {"id": "2", "organization_id": "acme", "user_id": "boris", "token_hash": TOKEN},
        {"id": "3", "organization_id": "globex", "user_id": "anna", "token_hash": TOKEN},
        {"id": "4"},
    ]
    answer = stack.send([plain | event for event in sent])
    assert answer.status_code == 202, answer.text
    return secrets


OWN = {"acme": {"1", "2"}, "globex": {"3"}, "anna of acme": {"1"}, "unheard of": set(), "all": {"1", "2", "3", "4"}}


def ids(answer: httpx.Response) -> set[str]:
    """Of the events of today that an answer lists."""
    assert answer.status_code == 200, answer.text
    content = read_json(answer.content)
    return {item["id"] for item in content.get("data", content)["items"]} - {"whole"}


@pytest.mark.parametrize("path", [EVENTS, DETAILED, ACTIVITY, RECORDS])
@pytest.mark.parametrize("caller", OWN)
def test_a_caller_is_shown_its_own_and_no_more(stack: Stack, told: dict[str, str], path: str, caller: str) -> None:
    assert ids(stack.query.get(path, told[caller])) == OWN[caller]


@pytest.mark.parametrize("caller", OWN)
def test_a_file_has_the_caller_s_own_and_no_more(stack: Stack, told: dict[str, str], caller: str) -> None:
    found = stack.query.get(EVENTS, told[caller], params={"format": "ndjson"}).text.splitlines()
    assert {json.loads(line)["id"] for line in found} - {"whole"} == OWN[caller]


def test_pages_and_totals_count_the_caller_s_own_only(stack: Stack, told: dict[str, str]) -> None:
    for path in (DETAILED, RECORDS):
        content = read_json(stack.query.get(path, told["globex"]).content)
        pagination = content.get("data", content)["pagination"]
        assert (pagination["total_items"], pagination["total_pages"]) == (1, 1)


def test_a_search_finds_the_caller_s_own_only(stack: Stack, told: dict[str, str]) -> None:
    search = {"search": "GENERATOR"}
    assert ids(stack.query.get(RECORDS, told["globex"], params=search)) == {"3"}
    assert ids(stack.query.get(RECORDS, told["all"], params=search)) == {"2", "3"}


@pytest.mark.parametrize("path", [EVENTS, ACTIVITY])
@pytest.mark.parametrize(
    ("caller", "parameters", "status"),
    [
        ("acme", {"organization_id": "acme", "user_id": "boris"}, 200),
        ("acme", {"organization_id": "globex"}, 403),
        ("anna of acme", {"user_id": "boris"}, 403),
        ("all", {"organization_id": "globex"}, 200),
    ],
)
def test_to_name_somebody_else_is_forbidden(  # noqa: PLR0917 - a table
    stack: Stack, told: dict[str, str], path: str, caller: str, parameters: dict[str, str], status: int
) -> None:
    assert stack.query.get(path, told[caller], params=parameters).status_code == status


@pytest.mark.parametrize("path", [*LISTS, f"{EVENTS}?format=csv"])
def test_who_is_bound_to_nobody_or_may_not_read_gets_nothing(stack: Stack, told: dict[str, str], path: str) -> None:
    for caller, status in (("nobody", 403), ("sender", 403)):
        answer = stack.query.get(path, told[caller])
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert stack.query.get(path, None).status_code == 401


def test_an_event_has_every_field_that_has_a_value(stack: Stack, told: dict[str, str]) -> None:
    [item] = read_json(stack.query.get(EVENTS, told["all"], params=WHOLE_RANGE).content)["items"]
    assert item == WHOLE_ITEM
    before = {**WHOLE_RANGE, "to": "2026-03-01T09:00:00Z"}
    assert stack.query.get(EVENTS, told["all"], params=before).json() == {"items": [], "next_cursor": None}


def test_times_are_in_the_zone_that_is_asked_for(stack: Stack, told: dict[str, str]) -> None:
    parameters = {**WHOLE_RANGE, "timezone": "Asia/Kathmandu"}
    [item] = stack.query.get(EVENTS, told["all"], params=parameters).json()["items"]
    assert item["time"] == "2026-03-01T14:45:00.000001+05:45"
    assert item["received_at"].endswith("+05:45")
    parameters = {"agent_id": "writer", "timezone": "Asia/Kathmandu"}
    [item] = stack.query.get(DETAILED, told["all"], params=parameters).json()["data"]["items"]
    assert item["created_at"] == "2026-03-01T14:45:00.000001+05:45"


def test_system_a_s_row_has_every_column(stack: Stack, told: dict[str, str]) -> None:
    answer = stack.query.get(DETAILED, told["all"], params={"agent_id": "writer", "ai_model": "gpt-4"})
    content = read_json(answer.content)
    assert content.keys() == {"success", "data"}
    assert content["success"] is True
    assert content["data"]["pagination"] == {
        "page": 1, "page_size": 50, "total_items": 1, "total_pages": 1, "next_cursor": None,
    }  # fmt: skip
    [item] = content["data"]["items"]
    renamed = {"time", "route", "response_time_ms", "provider", "model", "operation", "input_tokens", "output_tokens"}
    own = {
        "created_at", "endpoint", "execution_time_ms", "ai_provider", "ai_model", "operation_type", "prompt_tokens",
        "completion_tokens",
    }  # fmt: skip
    assert item.keys() == {*FIELDS} - renamed | own
    assert (item["ai_model"], item["prompt_tokens"], item["completion_tokens"]) == ("gpt-4", 4, None)
    assert (item["cost_usd"], item["cost_rub"], item["cost"]["currency"]) == (None, Decimal("0.6"), "EUR")


def test_system_b_s_call_has_one_cost_and_its_currency(stack: Stack, told: dict[str, str]) -> None:
    content = read_json(stack.query.get(ACTIVITY, told["all"]).content)
    assert content.keys() == {"items", "next_cursor"}
    [item] = [one for one in content["items"] if one["id"] == "whole"]
    assert item == {
        "id": "whole",
        "user_id": "anna",
        "organization_id": "acme",
        "endpoint": "/v1/chat",
        "method": "POST",
        "status_code": 503,
        "response_time_ms": Decimal("84.25"),
        "total_tokens": 4,
        "cost": Decimal("0.0065"),
        "cost_currency": "EUR",
        "created_at": "2026-03-01T09:00:00.000001+00:00",
    }


def test_system_c_s_record_is_an_event_with_its_token_s_name(stack: Stack, told: dict[str, str]) -> None:
    parameters = {**WHOLE_RANGE, "operation": "TEXT_GENERATION", "platform": "telegram", "search": "РАСПРОДАЖА"}
    content = read_json(stack.query.get(RECORDS, told["all"], params=parameters).content)
    assert content.keys() == {"items", "pagination"}
    [item] = content["items"]
    assert item.keys() == {*FIELDS, "token_name"}
    assert (item["token_name"], item["tokens_estimated"], item["status"]) == ("generator", True, 503)
    assert stack.query.get(RECORDS, told["all"], params={**parameters, "platform": "vk"}).json()["items"] == []


def test_a_plain_call_is_no_record_of_system_c(stack: Stack, told: dict[str, str]) -> None:
    assert stack.send({"id": "call", "source": "calls", "route": "/plain"}).status_code == 202
    assert "call" in ids(stack.query.get(EVENTS, told["all"]))
    assert "call" not in ids(stack.query.get(RECORDS, told["all"]))
    [_] = [item for item in stack.query.get(LAST, told["all"]).json()["items"] if item["route_path"] == "/plain"]


def test_system_d_s_last_records(stack: Stack, told: dict[str, str]) -> None:
    items = read_json(stack.query.get(LAST, told["anna of acme"]).content)["items"]
    assert [item["token_hash"] for item in items] == [None, TOKEN]
    assert items[1] == {
        "token_hash": TOKEN,
        "route_path": "/v1/chat",
        "used_at": "2026-03-01T09:00:00.000001+00:00",
        "response_status": 503,
        "response_time_ms": Decimal("84.25"),
        "request_method": "POST",
        "error_message": 'said "no",\nthen left',
    }


@pytest.mark.parametrize("path", [EVENTS, ACTIVITY])
def test_cursors_lead_through_all_events(stack: Stack, told: dict[str, str], path: str) -> None:
    found: list[str] = []
    parameters = {"limit": "1", "organization_id": "acme"}
    while True:
        page = stack.query.get(path, told["all"], params=parameters).json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert found[:2] in (["1", "2"], ["2", "1"])
    assert found[2:] in ([], ["whole"])  # by default, the last 30 days


@pytest.mark.parametrize(
    ("zone", "parameters", "days"),
    [
        ("UTC", {"start_date": "2026-03-29", "end_date": "2026-03-29"}, ["2026-03-29"]),
        ("America/New_York", {"start_date": "2026-03-08", "end_date": "2026-03-09"}, ["2026-03-08", "2026-03-09"]),
        ("Asia/Kolkata", {"end_date": "2026-03-08"}, ["2026-03-07", "2026-03-08"]),
        ("Australia/Lord_Howe", {"start_date": "2026-04-05"}, ["2026-04-05", "2026-04-06"]),
    ],
)
def test_system_a_s_days_are_local_and_the_last_is_included(
    stack: Stack, store_of_stack: Store, zone: str, parameters: dict[str, str], days: list[str]
) -> None:
    """Every hour around the days of this test, over changes of the clocks; only those of the days are listed."""
    first = datetime.fromisoformat(days[0]).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if "start_date" in parameters:
        first -= timedelta(hours=3)
    last = datetime.fromisoformat(days[-1]).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) + timedelta(hours=26)
    agent = f"hours of {zone}"
    times = [first + timedelta(hours=hour) for hour in range((last - first) // timedelta(hours=1))]
    if "end_date" not in parameters:
        times = [time for time in times if str(time.astimezone(ZoneInfo(zone)).date()) <= days[-1]]
    events = [
        {"id": str(time), "source": agent, "agent_id": agent, "route": "/", "time": time.isoformat()} for time in times
    ]
    record(store_of_stack, events, RECEIVED)
    asked = {"timezone": zone, "agent_id": agent, "page_size": "200", **parameters}
    found = stack.query.get(DETAILED, params=asked).json()["data"]
    expected = [time for time in times if str(time.astimezone(ZoneInfo(zone)).date()) in days]
    assert [datetime.fromisoformat(item["created_at"]) for item in found["items"]] == expected[::-1]
    assert found["pagination"]["total_items"] == len(expected)


def test_system_a_s_last_days_end_today(stack: Stack) -> None:
    now = datetime.now(UTC)
    ages = {"today": timedelta(0), "yesterday": timedelta(days=1), "before": timedelta(days=2)}
    events = [
        {"id": name, "source": "ages", "agent_id": "ages", "route": "/", "time": (now - age).isoformat()}
        for name, age in ages.items()
    ]
    assert stack.send(events).status_code == 202
    for days, expected in ((1, {"today"}), (2, {"today", "yesterday"}), (3660, {*ages})):
        assert ids(stack.query.get(DETAILED, params={"agent_id": "ages", "days": days})) == expected
    assert ids(stack.query.get(DETAILED, params={"agent_id": "ages"})) == {*ages}


def test_csv_has_every_column_and_nested_values_as_json(stack: Stack, told: dict[str, str]) -> None:
    answer = stack.query.get(EVENTS, told["all"], params={**WHOLE_RANGE, "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert tuple(row) == FIELDS
    expected = {name: WHOLE_ITEM.get(name) for name in row}
    assert {name: value for name, value in row.items() if isinstance(expected[name], str)} == {
        name: value for name, value in expected.items() if isinstance(value, str)
    }
    others = {
        name: read_json(value) if value else None for name, value in row.items() if not isinstance(expected[name], str)
    }
    assert others == {name: value for name, value in expected.items() if not isinstance(value, str)}


def test_ndjson_has_the_items_of_the_pages(stack: Stack, told: dict[str, str]) -> None:
    pages = read_json(stack.query.get(EVENTS, told["all"], params={"organization_id": "acme"}).content)["items"]
    answer = stack.query.get(EVENTS, told["all"], params={"organization_id": "acme", "format": "ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [read_json(line) for line in answer.text.splitlines()] == pages


@pytest.mark.parametrize(
    ("path", "parameters", "named", "says"),
    [
        (EVENTS, {"limit": "1001"}, "limit", "1000"),
        (EVENTS, {"limit": "0"}, "limit", "1000"),
        (EVENTS, {"limit": "²"}, "limit", "1000"),
        (EVENTS, {"limit": "10000000000", "format": "csv"}, "limit", "whole number"),
        (EVENTS, {"cursor": "r100"}, "cursor", "next_cursor"),
        (EVENTS, {"cursor": "t9999999999999999s1"}, "cursor", "next_cursor"),
        (EVENTS, {"cursor": "t1s9999999999999999999"}, "cursor", "next_cursor"),
        (EVENTS, {"cursor": "", "format": "csv"}, "cursor", "next_cursor"),
        (EVENTS, {"format": "xml"}, "format", "json, csv, ndjson"),
        (EVENTS, {"from": "0001-01-01"}, "from", "year"),
        (EVENTS, {"to": "2026-13-01", "format": "ndjson"}, "to", "date"),
        (EVENTS, {"from": "2026-05-02", "to": "2026-05-01"}, "from", "before"),
        (EVENTS, {"timezone": "Mars/Base"}, "timezone", "IANA"),
        (EVENTS, {"status": "99"}, "status", "100 to 599"),
        (EVENTS, {"model": "a\0b"}, "model", "NUL"),
        (EVENTS, {"metrics": "cost"}, "metrics", "not a parameter"),
        (EVENTS, {"limits": "10"}, "limits", "did you mean limit?"),
        (DETAILED, {"page_size": "201"}, "page_size", "200"),
        (DETAILED, {"page_size": "1_0"}, "page_size", "whole number"),
        (DETAILED, {"page": "0"}, "page", "1"),
        (DETAILED, {"page": "9" * 30}, "page", "9 digits"),
        (DETAILED, {"cursor": "x"}, "cursor", "next_cursor"),
        (DETAILED, {"cursor": "t1s1", "page": "2"}, "cursor", "either"),
        (DETAILED, {"days": "0"}, "days", "1"),
        (DETAILED, {"days": "7", "start_date": "2026-05-01"}, "days", "either"),
        (DETAILED, {"start_date": "1777633200"}, "start_date", "date"),
        (DETAILED, {"end_date": "0001-01-01"}, "end_date", "1900"),
        (DETAILED, {"start_date": "2026-05-02", "end_date": "2026-05-01"}, "end_date", "before"),
        (DETAILED, {"timezone": "Mars/Base"}, "timezone", "IANA"),
        (DETAILED, {"model": "x"}, "model", "not permitted"),
        (ACTIVITY, {"limit": "201"}, "limit", "200"),
        (ACTIVITY, {"limit": "many"}, "limit", "whole number"),
        (ACTIVITY, {"cursor": "t-1s1"}, "cursor", "next_cursor"),
        (ACTIVITY, {"user_id": "a\0b"}, "user_id", "match"),
        (ACTIVITY, {"page": "1"}, "page", "not permitted"),
        (RECORDS, {"page_size": "201"}, "page_size", "200"),
        (RECORDS, {"from": "yesterday"}, "from", "date"),
        (RECORDS, {"from": "2026-05-02", "to": "2026-05-01"}, "from", "before"),
        (RECORDS, {"search": "a\0b"}, "search", "match"),
        (RECORDS, {"cursor": "t1s1", "page": "1"}, "cursor", "either"),
        (RECORDS, {"timezone": "Mars/Base"}, "timezone", "IANA"),
        (RECORDS, {"lower": "2026-05-01"}, "lower", "not permitted"),
        (LAST, {"limit": "5"}, "limit", "not permitted"),
    ],
)
def test_a_bad_parameter_is_a_400_that_names_it(
    stack: Stack, path: str, parameters: dict[str, str], named: str, says: str
) -> None:
    answer = stack.query.get(path, params=parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    [fault] = answer.json()["errors"]
    assert fault["field"] == named
    assert says in fault["message"]


def test_all_that_is_wrong_is_told_at_once(stack: Stack) -> None:
    answer = stack.query.get(EVENTS, params={"limit": "x", "cursor": "x", "from": "x", "colour": "red"})
    assert {fault["field"] for fault in answer.json()["errors"]} == {"limit", "cursor", "from", "colour"}


def test_an_empty_database_lists_nothing(postgres: Server, functions: Functions) -> None:
    url = postgres.create()
    register_admin(url)
    query = functions.start("query", url)
    nothing = {"page": 1, "page_size": 50, "total_items": 0, "total_pages": 0, "next_cursor": None}
    assert query.get(EVENTS).json() == {"items": [], "next_cursor": None}
    assert query.get(DETAILED).json() == {"success": True, "data": {"items": [], "pagination": nothing}}
    assert query.get(f"{DETAILED}?cursor=t1s1").json()["data"]["pagination"] == nothing | {"page": None}
    assert query.get(ACTIVITY).json() == {"items": [], "next_cursor": None}
    assert query.get(RECORDS).json() == {"items": [], "pagination": nothing}
    assert query.get(f"{RECORDS}?search=天&page=3").json() == {"items": [], "pagination": nothing | {"page": 3}}
    assert query.get(LAST).json() == {"items": []}
    assert query.get(f"{EVENTS}?format=csv").text == ",".join(FIELDS) + "\r\n"
    assert query.get(f"{EVENTS}?format=ndjson").content == b""
    postgres.drop(url)


MANY = 12_000
SECONDS = 3.0


@pytest.fixture(scope="module")
def many(postgres: Server, module_functions: Functions) -> Iterator[tuple[str, Function]]:
    """A database with more than sockets hold, and query on it, which gives up a question after a few seconds."""
    url = postgres.create()
    register_admin(url)
    execute(
        url,
        "INSERT INTO dimensions (kind, digest, value) VALUES ('source', gen_random_uuid(), 'many');"
        "INSERT INTO usage_events (time, txid, received_at, sender_key, source_key, id, error_message)"
        " SELECT now() - n * interval '1 second', event_txid(), now(), 0, key, n::text, repeat('x', 3000)"
        f" FROM generate_series(1, {MANY}) AS n, dimensions",
    )
    yield url, module_functions.start("query", url, query_timeout_seconds=SECONDS)
    postgres.drop(url)


def test_a_file_has_every_event_or_as_many_as_asked_for(many: tuple[str, Function]) -> None:
    _, query = many
    found = [json.loads(line)["id"] for line in query.get(f"{EVENTS}?format=ndjson").text.splitlines()]
    assert found == [str(number) for number in range(1, MANY + 1)]
    for limit in (1, 2000, 2001):
        rows = list(csv.DictReader(io.StringIO(query.get(f"{EVENTS}?format=csv&limit={limit}").text, newline="")))
        assert [row["id"] for row in rows] == found[:limit]


def waiting(url: str) -> bool:
    """Whether a statement of query waits for a lock."""
    return bool(
        scalar(
            url,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'tally query' AND wait_event_type = 'Lock'",
        )
    )


@contextmanager
def a_file_that_halts(url: str, query: Function) -> Iterator[socket.socket]:
    """A client that reads a file of which query waits for a page, because somebody has locked the events."""
    address = urlsplit(query.url)
    with socket.create_connection((address.hostname, address.port or 0)) as client, psycopg.connect(url) as other:
        client.sendall(
            f"GET {EVENTS}?format=ndjson HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n".encode()
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        # It has begun, and sockets hold less than all of it: later pages are still to be read.
        other.execute("LOCK TABLE usage_events")
        client.settimeout(0.05)

        def read_on() -> bool:
            with suppress(TimeoutError):
                assert client.recv(2**20)
            return waiting(url)

        eventually(read_on, "waiting for a page")
        yield client


def test_a_client_that_goes_away_from_a_file_stops_its_statement(many: tuple[str, Function]) -> None:
    url, query = many
    with a_file_that_halts(url, query) as client:
        client.close()
        eventually(lambda: not waiting(url), "the end of the statement", seconds=SECONDS / 2)


def test_a_file_that_cannot_be_whole_breaks_off(many: tuple[str, Function]) -> None:
    url, query = many
    with a_file_that_halts(url, query) as client:
        client.settimeout(60)
        rest = b""
        while part := client.recv(2**20):
            rest = (rest + part)[-10:]
    assert not rest.endswith(b"0\r\n\r\n")  # which would be the end of a chunked body


def test_what_goes_wrong_before_the_first_page_is_an_answer_of_its_own(many: tuple[str, Function]) -> None:
    url, query = many
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE usage_events")
        answer = query.get(f"{EVENTS}?format=csv")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert query.get(f"{EVENTS}?format=csv&limit=1").status_code == 200
