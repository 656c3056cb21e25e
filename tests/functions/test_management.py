"""What all endpoints that manage things have in common."""

from tally import tokens
from tally.database import Store
from tests.support.functions import Stack, read_json
from tests.support.postgres import settings_of


def test_nothing_changed_is_an_empty_list(stack: Stack) -> None:
    answer = stack.admin.get("/v1/audit-log")
    assert answer.status_code == 200
    assert read_json(answer.content) == {"items": [], "next_cursor": None}


def test_only_the_scope_admin_manages(stack: Stack) -> None:
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    reader = tokens.create(store, "reader", ["read:all", "ingest", "limits"])
    store.dispose()
    assert stack.admin.get("/v1/audit-log", reader.secret).status_code == 403
    assert stack.admin.get("/v1/audit-log", None).status_code == 401


def test_what_is_not_there_and_what_is_not_known_is_said(stack: Stack) -> None:
    assert stack.admin.get("/v1/audit-log?limit=0").status_code == 400
    assert "allowed" in stack.admin.post("/v1/audit-log", json={}).json()["detail"]
    assert stack.admin.get("/v1/price").status_code == 404
