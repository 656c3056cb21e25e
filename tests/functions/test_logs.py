"""Logs are JSON a line that Cloud Logging reads, lead to the request, and never hold a secret or personal data."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import ADMIN, Function, Functions, PushMessage, Stack, start_stack
from tests.support.postgres import Server, execute, settings_of

TRACE = "105445aa7843bc8bf206b12000100000/1;o=1"
TOKEN_HASH = "5ec2e7" * 10 + "abcd"
MARKERS = {
    "user_name": "Marker Personname",
    "user_id": "marker-user",
    "ip_address": "203.0.113.77",
    "user_agent": "marker-agent/1.0",
    "error_message": "marker error text",
    "request_metadata": {"prompt": "marker prompt"},
    "response_metadata": {"answer": "marker response"},
    "labels": {"marker-label": "marker value"},
    "topic": "marker topic",
    "token_hash": TOKEN_HASH,
}
SECRETS = ["tly_marker_of_an_unknown_token", ADMIN, tokens.hash_of(ADMIN), TOKEN_HASH, "203.0.113.77"]
HEADERS = {"X-Cloud-Trace-Context": TRACE, "User-Agent": "marker-agent/1.0", "X-Forwarded-For": "203.0.113.77"}


@pytest.fixture(scope="module")
def noisy(postgres: Server, module_functions: Functions) -> Iterator[Stack]:
    """A stack through every error that can be provoked, with markers in all that was sent."""
    url = postgres.create()
    stack = start_stack(module_functions, url, log_level="DEBUG", token_ttl_seconds=0)
    good_and_bad(stack)
    store = Store(settings_of(url), "tests", pool_size=1)
    revoked = tokens.create(store, "marker name", ["ingest"])
    tokens.revoke(store, revoked.id)
    SECRETS.append(revoked.secret)
    store.dispose()
    for token in (revoked.secret, "tly_marker_of_an_unknown_token"):
        assert stack.ingest.post("/v1/events", token, json=MARKERS, headers=HEADERS).status_code == 401
    forbid(stack)
    stack.record.kill()
    assert post(stack, MARKERS | {"route": "/a"}) == 503  # no publisher
    stack.record.start()
    stack.record.wait_until_live()
    for name in ("dimensions", "usage_events", "api_tokens"):
        execute(url, f"ALTER TABLE {name} RENAME TO away_{name}")
    assert post(stack, MARKERS | {"route": "/new route"}) in {202, 503}
    assert ask(stack, user_id="marker-user") == 503
    assert push(stack, MARKERS | {"route": "/another new route"}) == 503
    yield stack
    module_functions.stop_all()
    postgres.drop(url)


def post(stack: Stack, event: object, path: str = "/v1/events", **headers: str) -> int:
    return stack.ingest.post(path, json=event, headers=HEADERS | headers).status_code


def push(stack: Stack, event: object, *, wrapped: bool = True) -> int:
    data = event if isinstance(event, bytes) else json.dumps(event).encode()
    attributes = {"source": "marker-source", "authorization": "Bearer marker-oidc"}
    message = PushMessage(f"m{hash(data)}", datetime.now(UTC), data, attributes)
    return stack.push(message, wrapped=wrapped).status_code


def ask(stack: Stack, **parameters: Any) -> int:
    return stack.query.get("/v1/usage", params=parameters, headers=HEADERS).status_code


def good_and_bad(stack: Stack) -> None:
    assert post(stack, MARKERS | {"route": "/a"}) == 202
    assert post(stack, MARKERS) == 422
    assert post(stack, MARKERS | {"status": "marker status"}) == 422
    assert post(stack, MARKERS, "/api/usage-log") == 422
    assert post(stack, MARKERS, "/nothing") == 404
    assert stack.ingest.post("/v1/events", content=b'{"marker prompt', headers=HEADERS).status_code == 415
    for wrapped in (True, False):
        assert push(stack, MARKERS, wrapped=wrapped) == 204
        assert push(stack, b'{"marker prompt": ', wrapped=wrapped) == 204
    assert stack.record.post("/push", None, content=b"marker prompt").status_code == 400
    assert ask(stack, user_id="marker-user", group_by="user_id") == 200
    assert ask(stack, window="marker value") == 400


def forbid(stack: Stack) -> None:
    """The database answers, but fails as nobody foresaw, and refuses what it granted."""
    execute(
        stack.database_url,
        """
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'failed' USING ERRCODE = 'internal_error', DETAIL = to_jsonb(NEW)::text;
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON usage_events FOR EACH ROW EXECUTE FUNCTION fail();
        """,
    )
    assert push(stack, MARKERS | {"route": "/a", "id": "failed"}) == 500
    execute(stack.database_url, "DROP TRIGGER fail ON usage_events")
    for table in ("dead_letters", "dimensions", "usage_events"):
        execute(stack.database_url, f"REVOKE ALL ON {table} FROM tally_record, tally_query")
    assert push(stack, MARKERS | {"route": "/forbidden", "id": "forbidden"}) == 503
    assert ask(stack, user_id="marker-user", group_by="user_id") == 503
    for table in ("dead_letters", "dimensions", "usage_events"):
        execute(stack.database_url, f"GRANT ALL ON {table} TO tally_record, tally_query")


def functions_of(stack: Stack) -> list[Function]:
    return [stack.ingest, stack.record, stack.query]


def lines_of(function: Function) -> list[dict[str, Any]]:
    """The function's own lines; the framework's and gunicorn's about their start are no JSON."""
    return [json.loads(line) for line in function.log.splitlines() if line.startswith("{")]


def test_every_function_has_logged_what_went_wrong(noisy: Stack) -> None:
    for function in functions_of(noisy):
        assert {"WARNING", "ERROR"} & {line["severity"] for line in lines_of(function)}


def test_every_line_has_what_cloud_logging_reads(noisy: Stack) -> None:
    for function in functions_of(noisy):
        for line in lines_of(function):
            assert line["severity"] in {"DEBUG", "INFO", "WARNING", "ERROR"}
            assert line["message"]
            assert line["function"] == function.name
            assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_a_failure_leads_to_its_request(noisy: Stack) -> None:
    for function in (noisy.ingest, noisy.query):
        failures = [line for line in lines_of(function) if "path" in line]
        assert failures
        assert {line["request_id"] for line in failures} == {TRACE}
    for line in lines_of(noisy.record):
        assert line.get("request_id") or "path" not in line


def test_nothing_but_json_is_written_while_requests_are_answered(noisy: Stack) -> None:
    for function in functions_of(noisy):
        others = [line for line in function.log.splitlines() if line and not line.startswith("{")]
        assert [line for line in others if not line.startswith("[")] == []


def test_no_secret_and_no_personal_data_is_logged(noisy: Stack) -> None:
    for function in functions_of(noisy):
        log = function.log.lower()
        assert [word for word in ("marker", *SECRETS) if word.lower() in log] == []
