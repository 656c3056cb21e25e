"""What is away or behind is said, with how to go on; nothing is lost, and nothing needs to be started again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tally.local.ports import HOST
from tally.schema import REVISIONS
from tests.support.functions import ADMIN, Function, Functions, Stack, register_admin, start_stack, write_json
from tests.support.oracle import METRICS
from tests.support.postgres import Server, execute, scalar
from tests.support.waiting import eventually

JSON = {"Content-Type": "application/json"}
EVENT = {"id": "1", "source": "s", "route": "/", "status": 200}
QUESTIONS = ("/v1/usage", "/api/v1/billing/usage/tokens/summary", "/api/usage/stats", "/api/usage/stats?hours=1")
ENDPOINTS = [
    ("ingest", "POST", "/v1/events", EVENT),
    ("ingest", "POST", "/api/usage-log", {"route": "/", "response_status": 200}),
    ("record", "POST", "/push", {"message": {"messageId": "1", "publishTime": "2026-01-01T00:00:00Z", "data": "e30="}}),
    *[("query", "GET", path, None) for path in QUESTIONS],
    ("admin", "GET", "/v1/audit-log", None),
    ("rollup", "POST", "/", None),
    *[(name, "GET", "/health/ready", None) for name in ("ingest", "record", "query", "admin")],
]


class Topic:
    """Stands in for Pub/Sub: keeps and confirms what ingest hands over, and delivers it when told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        kept = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
                """Quiet."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator["Topic"]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def deliver(self, record: Function) -> list[int]:
        """Pushes everything; the statuses."""
        return [record.post("/push", None, content=body, headers=JSON).status_code for body in self.bodies]


@pytest.fixture(scope="module")
def parts(postgres: Server, module_functions: Functions) -> Iterator[tuple[str, dict[str, Function]]]:
    """Every function on a database that no migration was applied to yet."""
    url = postgres.create_empty()
    record = module_functions.start("record", url)
    others: list[tuple[str, str, dict[str, object]]] = [
        ("ingest", url, {"record_url": record.url}),
        *((name, url, {}) for name in ("query", "admin", "rollup", "migrate")),
    ]
    functions = {function.name: function for function in [record, *module_functions.start_all(others)]}
    yield url, functions
    module_functions.stop_all()
    postgres.drop(url)


def ask(functions: dict[str, Function], name: str, method: str, path: str, body: object) -> httpx.Response:
    content = None if body is None else write_json(body)
    return functions[name].request(method, path, content=content, headers=JSON if content else {})


def says_what_to_do(answer: httpx.Response) -> bool:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert problem["status"] == answer.status_code == 503
    return REVISIONS[-1] in problem["detail"] and "tally migrate" in problem["detail"]


def test_a_database_behind_the_code_is_named_by_every_endpoint_until_it_is_migrated(
    parts: tuple[str, dict[str, Function]],
) -> None:
    url, functions = parts
    for endpoint in ENDPOINTS:
        assert says_what_to_do(ask(functions, *endpoint)), endpoint
    for name in ("ingest", "record", "query", "admin"):
        assert functions[name].get("/health/live", None).status_code == 200
    assert functions["query"].get("/openapi.json", None).status_code == 200

    assert functions["migrate"].post("/", None).json() == {"migration": REVISIONS[-1]}
    register_admin(url)
    for name, method, path, body in ENDPOINTS:
        answered = ask(functions, name, method, path, body)
        assert answered.is_success, (path, answered.text)

    execute(url, "UPDATE settings SET value = '\"9999_later\"' WHERE name = 'works_from'")
    execute(url, "UPDATE alembic_version SET version_num = '9999_later'")
    for name in ("record", "query", "admin"):
        eventually(lambda name=name: functions[name].get("/health/ready", None).status_code == 503, name)  # type: ignore[misc]
    for name, method, path, body in ENDPOINTS:
        if (name, path) in (("ingest", "/v1/events"), ("ingest", "/api/usage-log"), ("ingest", "/health/ready")):
            continue
        answered = ask(functions, name, method, path, body)
        assert answered.status_code == 503, path
        assert "9999_later" in answered.json()["detail"], path


def test_ingest_without_its_own_migration_takes_nothing_that_record_could_not_store(
    parts: tuple[str, dict[str, Function]],
) -> None:
    url, functions = parts
    functions["migrate"].post("/", None)
    execute(url, "DELETE FROM alembic_version")
    eventually(lambda: functions["record"].get("/health/ready", None).status_code == 503, "record sees it")
    answered = ask(functions, "ingest", "POST", "/v1/events", EVENT)
    assert says_what_to_do(answered), answered.text


def test_who_has_no_good_token_is_refused_where_all_is_well(stack: Stack) -> None:
    """What the uptime checks behind a load balancer tell from a database that is away."""
    nobody = "tly_uptime_check"
    assert stack.ingest.post("/v1/events", nobody).status_code == 401
    assert stack.admin.get("/v1/audit-log", nobody).status_code == 401


@pytest.mark.parametrize("path", QUESTIONS)
def test_an_empty_database_answers_zeros(stack: Stack, path: str) -> None:
    answer = stack.query.get(path)
    assert answer.status_code == 200
    found = answer.json()
    if path == "/v1/usage":
        assert found["rows"] == [{"requests": 0, "total_tokens": 0, "cost": 0}]
    elif "summary" in path:
        nothing = dict.fromkeys(
            ("total_tokens", "prompt_tokens", "completion_tokens", "cost_usd", "cost_rub", "requests_count"), 0
        )
        assert found == {"success": True, "data": {"today": nothing, "this_month": nothing, "all_time": nothing}}
    else:
        assert found["overview"] == {"total_calls": 0, "total_errors": 0, "avg_response_time": 0, "success_rate": 0}
        assert len(found["hourly_usage"]) == (1 if "hours=1" in path else 24)
        assert {hour["call_count"] for hour in found["hourly_usage"]} == {0}
        assert found["top_tokens"] == found["top_routes"] == []


def test_every_metric_of_an_empty_database_is_zero_or_nothing(stack: Stack) -> None:
    for currency in ("USD", "RUB", "EUR"):
        [row] = stack.usage(metrics=",".join(METRICS), currency=currency)["rows"]
        nothing = {name for name, value in row.items() if value is None}
        assert nothing == {name for name in METRICS if name.endswith(("_rate", "_response_time_ms"))}
        assert {row[name] for name in METRICS if name not in nothing} == {0}
    assert stack.usage(group_by="model", window="day", fill="zero")["rows"] == []
    assert len(stack.usage(window="day", fill="zero")["rows"]) == 30


def test_while_the_database_is_down_events_are_taken_and_questions_refused_and_nothing_is_lost(
    own_postgres: Server, functions: Functions
) -> None:
    url = own_postgres.create()
    register_admin(url)
    with Topic().serving() as topic:
        record, query, ingest = functions.start_all(
            [
                ("record", url, {}),
                ("query", url, {}),
                ("ingest", url, {"record_url": topic.url, "token_ttl_seconds": 0}),
            ]
        )

        def send(event_id: str, token: str = ADMIN) -> httpx.Response:
            return ingest.post("/v1/events", token, content=write_json({**EVENT, "id": event_id}), headers=JSON)

        assert send("before").status_code == 202
        assert topic.deliver(record) == [204]
        assert query.get("/v1/usage").status_code == 200

        own_postgres.end_at_once()
        for event_id in ("down-1", "down-2", "down-1"):
            assert send(event_id).status_code == 202
        assert send("x", "tly_never_seen").status_code == 503
        eventually(lambda: query.get("/health/ready", None).status_code == 503, "query sees it")
        for path in (*QUESTIONS, "/health/ready"):
            refused = query.get(path)
            assert refused.status_code == 503, path
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["content-type"] == "application/problem+json"
        assert set(topic.deliver(record)) == {503}
        for function in (record, query, ingest):
            assert function.get("/health/live", None).status_code == 200

        own_postgres.restart_at_once()
        assert topic.deliver(record) == [204] * 4
        answer = query.get("/v1/usage", params={"source": "s"})
        assert answer.status_code == 200
        assert answer.json()["rows"][0]["requests"] == 3
        assert scalar(url, "SELECT count(*) FROM usage_events") == 3


def test_where_record_is_away_ingest_confirms_nothing(postgres: Server, functions: Functions) -> None:
    stack = start_stack(functions, postgres.create())
    assert stack.send(EVENT).status_code == 202
    stack.record.kill()
    refused = stack.send({**EVENT, "id": "2"})
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    stack.record.start()
    stack.record.wait_until_live()
    assert stack.send([EVENT, {**EVENT, "id": "2"}]).status_code == 202
    assert stack.usage(source="s")["rows"][0]["requests"] == 2
    postgres.drop(stack.database_url)
