"""Who may do what: tokens in every place that they may stand, scopes, ends, and a database that is away."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from tally import tokens
from tally.database import Store
from tally.tokens import CreatedToken
from tests.support.functions import ADMIN, Function, Functions, Stack, register_admin
from tests.support.postgres import Server, execute, rows, settings_of
from tests.support.waiting import eventually

EVENT = {"model": "m"}


@pytest.fixture(scope="module")
def store(stack: Stack) -> Iterator[Store]:
    store = Store(settings_of(stack.database_url), "tests")
    yield store
    store.dispose()


def created(store: Store, *scopes: str, **options: Any) -> CreatedToken:
    return tokens.create(store, f"token {uuid.uuid4()}", scopes, **options)


def post(stack: Stack, headers: dict[str, str], event: object = EVENT) -> httpx.Response:
    return stack.ingest.post("/v1/events", None, json=event, headers=headers)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Bearer {}",
        "authorization: bearer {}",
        "Authorization: BEARER   {}",
        "Authorization: {}",
        "X-API-Key: {}",
        "x-api-key: {}",
    ],
)
def test_a_token_stands_in_either_header_with_or_without_bearer(stack: Stack, header: str) -> None:
    name, _, value = header.format(ADMIN).partition(": ")
    assert post(stack, {name: value}).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer " + "x" * 9000},
        {"Authorization": "Bearer tly_" + "A" * 43},
        {"Authorization": f"Basic {ADMIN}"},
        {"Authorization": f"Bearer {ADMIN}x"},
        {"Authorization": f"Bearer {tokens.hash_of(ADMIN)}"},
        {"Authorization": "Bearer \u00ff\u00fe"},
        {"X-API-Key": "' OR true --"},
    ],
)
def test_no_token_or_an_unknown_one_is_401(stack: Stack, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answers = [
        stack.ingest.request("POST", "/v1/events", None, json=EVENT, headers=raw),
        stack.ingest.request("POST", "/api/usage-log", None, json={"route": "/a"}, headers=raw),
        stack.query.request("GET", "/v1/usage", None, headers=raw),
        stack.query.request("GET", "/api/v1/billing/usage/tokens/summary", None, headers=raw),
        stack.query.request("GET", "/api/usage/stats", None, headers=raw),
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tally"'


def test_an_unknown_a_revoked_and_an_expired_token_get_the_same_answer(stack: Stack, store: Store) -> None:
    revoked, expired = created(store, "ingest"), created(store, "ingest", expires_at=datetime.now(UTC))
    tokens.revoke(store, revoked.id)
    answers = [post(stack, {"X-API-Key": secret}) for secret in ("tly_unknown", revoked.secret, expired.secret)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple((k, v) for k, v in answer.headers.items() if k != "date") for answer in answers}) == 1


def test_a_token_that_expires_later_is_good(stack: Stack, store: Store) -> None:
    token = created(store, "ingest", expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert post(stack, {"X-API-Key": token.secret}).status_code == 202


@pytest.mark.parametrize(
    ("scopes", "ingests", "reads"),
    [
        (["ingest"], 202, 403),
        (["read"], 403, 200),
        (["read:all"], 403, 200),
        (["limits"], 403, 403),
        (["admin"], 202, 200),
        (["ingest", "read"], 202, 200),
    ],
)
def test_a_token_does_what_its_scopes_say_and_no_more(
    stack: Stack, store: Store, scopes: list[str], ingests: int, reads: int
) -> None:
    token = {"Authorization": f"Bearer {created(store, *scopes, organization_id='acme').secret}"}
    sent = post(stack, token)
    read = stack.query.get("/v1/usage", None, headers=token)
    assert (sent.status_code, read.status_code) == (ingests, reads)
    for answer, scope in ((sent, "ingest"), (read, "read")):
        if answer.status_code == 403:
            assert answer.json()["detail"] == f'This token lacks the scope "{scope}".'


def test_a_refusal_says_nothing_of_the_token(stack: Stack, store: Store) -> None:
    token = created(store, "limits", organization_id="secret-organization", user_id="secret-user")
    for answer in (post(stack, {"X-API-Key": token.secret}), post(stack, {"X-API-Key": "tly_unknown"})):
        everything = answer.text + str(answer.headers)
        for secret in (token.secret, token.name, token.id, "secret-organization", "secret-user", "tly_unknown"):
            assert secret not in everything


def test_what_needs_no_token_needs_none(stack: Stack) -> None:
    for function, paths in ((stack.ingest, ["/health/live", "/health/ready"]), (stack.record, ["/health/ready"])):
        assert [function.get(path, None).status_code for path in paths] == [200] * len(paths)
    for path in ("/health/live", "/health/ready", "/openapi.json", "/docs"):
        assert stack.query.get(path, None).status_code == 200


def test_a_revoked_token_is_refused_within_its_time_to_live(stack: Stack, store: Store) -> None:
    token = created(store, "ingest")
    assert post(stack, {"X-API-Key": token.secret}).status_code == 202
    tokens.revoke(store, token.id)
    eventually(lambda: post(stack, {"X-API-Key": token.secret}).status_code == 401, "the refusal", seconds=10)


def test_many_requests_of_one_token_ask_the_database_once(functions: Functions, postgres: Server) -> None:
    url = postgres.create()
    register_admin(url)
    # Whoever reads tokens waits until the lock is released; all requests are then waiting for one answer.
    execute(url, "ALTER TABLE api_tokens RENAME TO kept;")
    execute(
        url,
        """
        CREATE SEQUENCE questions;
        CREATE FUNCTION ask() RETURNS boolean LANGUAGE sql VOLATILE
            AS 'SELECT nextval(''questions'') > 0 AND pg_advisory_xact_lock(7) IS NOT NULL';
        CREATE VIEW api_tokens AS SELECT * FROM kept WHERE (SELECT ask());
        GRANT SELECT ON api_tokens TO tally_ingest;
        GRANT USAGE ON SEQUENCE questions TO tally_ingest;
        """,
    )
    ingest = functions.start("ingest", url, record_url="http://127.0.0.1:1", token_ttl_seconds=300)
    with psycopg.connect(url) as holder, ThreadPoolExecutor(20) as threads:
        holder.execute("SELECT pg_advisory_lock(7)")
        started = threading.Barrier(20)

        def ask() -> int:
            started.wait()
            return ingest.post("/v1/events", json={}).status_code

        answers = [threads.submit(ask) for _ in range(20)]
        eventually(lambda: waiting(url) >= 1, "a question to the database")
        holder.execute("SELECT pg_advisory_unlock(7)")
        assert {answer.result() for answer in answers} == {422}
    assert rows(url, "SELECT last_value FROM questions") == [(1,)]
    postgres.drop(url)


def waiting(url: str) -> int:
    [(count,)] = rows(url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'")
    assert isinstance(count, int)
    return count


class Away:
    """ingest whose database is ended, with a stand-in for Pub/Sub that confirms: record of another database."""

    def __init__(self, functions: Functions, own: Server, other: str) -> None:
        self._own = own
        self.url = url = own.create()
        register_admin(url)
        record = functions.start("record", other)
        started = functions.start_all(
            [
                ("ingest", url, {"record_url": record.url, "token_ttl_seconds": 0}),
                ("query", url, {"token_ttl_seconds": 0}),
            ]
        )
        self.ingest: Function = started[0]
        self.query: Function = started[1]

    def end_database(self) -> None:
        self._own.end_at_once()


def test_while_the_database_is_away_ingest_knows_the_tokens_that_it_knew_and_query_none(
    functions: Functions, own_postgres: Server, database_url: str
) -> None:
    away = Away(functions, own_postgres, database_url)
    assert away.ingest.post("/v1/events", json=EVENT).status_code == 202
    assert away.query.get("/v1/usage").status_code == 200
    away.end_database()
    assert away.ingest.post("/v1/events", json=EVENT).status_code == 202
    for answer in (away.ingest.post("/v1/events", "tly_unknown", json=EVENT), away.query.get("/v1/usage")):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert rows(database_url, "SELECT count(*) FROM usage_events") == [(2,)]


def test_a_token_revoked_before_the_database_went_away_is_not_known(
    functions: Functions, own_postgres: Server, database_url: str
) -> None:
    away = Away(functions, own_postgres, database_url)
    store = Store(settings_of(away.url), "tests")
    token = created(store, "ingest")
    assert away.ingest.post("/v1/events", token.secret, json=EVENT).status_code == 202
    tokens.revoke(store, token.id)
    assert away.ingest.post("/v1/events", token.secret, json=EVENT).status_code == 401
    store.dispose()
    away.end_database()
    assert away.ingest.post("/v1/events", token.secret, json=EVENT).status_code == 503


def test_a_database_without_tables_names_the_migration_that_it_lacks(
    functions: Functions, empty_database_url: str
) -> None:
    ingest, query = functions.start_all(
        [("ingest", empty_database_url, {"record_url": "http://127.0.0.1:1"}), ("query", empty_database_url, {})]
    )
    answers = [
        ingest.post("/v1/events", json=EVENT),
        ingest.post("/api/usage-log", json={"route": "/a"}),
        ingest.get("/health/ready", None),
        *(query.get(path) for path in ("/v1/usage", "/api/usage/stats", "/api/v1/billing/usage/tokens/summary")),
        query.get("/health/ready", None),
    ]
    for answer in answers:
        assert answer.status_code == 503
        assert "lacks migration 0001_metering" in answer.json()["detail"]
        assert "tally migrate" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    assert [one.get("/health/live", None).status_code for one in (ingest, query)] == [200, 200]
