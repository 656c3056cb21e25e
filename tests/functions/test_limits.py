"""A hard budget that is spent denies calls: `POST /v1/limits/check`."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import Stack, read_json
from tests.support.postgres import execute, settings_of


def ask(stack: Stack, token: str | None = None, **body: Any) -> httpx.Response:
    given = {} if token is None else {"token": token}
    return stack.query.post("/v1/limits/check", json=body, **given)


def budget(stack: Stack, organization: str, **fields: Any) -> None:
    body = {
        "name": f"of {organization}",
        "organization_id": organization,
        "currency": "USD",
        "window": "month",
        **fields,
    }
    answer = stack.admin.post("/v1/budgets", json={"amount": 10, "hard": True, **body})
    assert answer.status_code == 201, answer.text


def spend(stack: Stack, organization: str, amount: str) -> None:
    assert stack.send({"route": "/", "organization_id": organization, "cost_usd": amount}).status_code == 202


def token_hash(stack: Stack, name: str, **fields: Any) -> str:
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    made = tokens.create(store, name, ["ingest"], **fields)
    store.dispose()
    return hashlib.sha256(made.secret.encode()).hexdigest()


def test_without_a_budget_nothing_is_denied(stack: Stack) -> None:
    answer = ask(stack, organization_id="free")
    assert answer.status_code == 200
    assert answer.json() == {"allowed": True, "reason": None, "token": None, "limits": []}


def test_a_hard_budget_denies_from_the_event_that_spends_it(stack: Stack) -> None:
    budget(stack, "acme", timezone="Asia/Kolkata")
    spend(stack, "acme", "9.99")
    before = ask(stack, organization_id="acme")
    assert before.status_code == 200
    [limit] = read_json(before.content)["limits"]
    assert (limit["name"], limit["limit"], limit["used"], limit["remaining"]) == (
        "of acme", 10, Decimal("9.99"), Decimal("0.01"),
    )  # fmt: skip
    assert datetime.fromisoformat(limit["resets_at"]).utcoffset() == timedelta(hours=5, minutes=30)
    assert ";r=0;t=" in before.headers["RateLimit"]

    assert ask(stack, organization_id="acme", cost="0.01").status_code == 200
    assert ask(stack, organization_id="acme", cost="0.02").status_code == 429
    spend(stack, "acme", "0.01")
    after = ask(stack, organization_id="acme")
    assert after.status_code == 429
    assert (after.json()["allowed"], after.json()["reason"]) == (False, "budget")
    left = datetime.fromisoformat(limit["resets_at"]) - datetime.now(UTC)
    assert abs(int(after.headers["Retry-After"]) - left.total_seconds()) < 60
    assert ask(stack, organization_id="another").status_code == 200


def test_a_soft_budget_denies_nothing_and_one_of_all_time_says_to_ask_in_an_hour(stack: Stack) -> None:
    budget(stack, "soft", hard=False)
    budget(stack, "total", window="total")
    for organization in ("soft", "total"):
        spend(stack, organization, "11")
    assert ask(stack, organization_id="soft").json()["limits"] == []
    denied = ask(stack, organization_id="total")
    assert (denied.status_code, denied.headers["Retry-After"]) == (429, "3600")
    assert denied.json()["limits"][0]["resets_at"] is None


def test_the_organization_that_a_token_is_bound_to_counts(stack: Stack) -> None:
    budget(stack, "bound")
    spend(stack, "bound", "10")
    of_token = token_hash(stack, "caller", organization_id="bound")
    denied = ask(stack, token_hash=of_token.upper())
    assert denied.status_code == 429
    assert denied.json()["token"]["name"] == "caller"
    assert denied.json()["token"]["scopes"] == ["ingest"]


def test_a_token_that_may_not_call_is_said_so_with_200(stack: Stack) -> None:
    def reason(token: str, **body: Any) -> Any:
        answer = ask(stack, token_hash=token, **body)
        assert answer.status_code == 200
        assert answer.json()["allowed"] is (answer.json()["reason"] is None)
        return answer.json()["reason"]

    good = token_hash(stack, "good")
    assert reason(good) is None
    assert reason("0" * 64) == "unknown_token"
    assert reason(token_hash(stack, "expired", expires_at=datetime(2020, 1, 1, tzinfo=UTC))) == "expired"
    execute(
        stack.database_url, f"UPDATE api_tokens SET routes = '{{/v1/chat,/v1/images/*}}' WHERE token_hash = '{good}'"
    )
    assert [reason(good, route=route) for route in ("/v1/chat", "/v1/images/x", "/v1/chat/2", "/v1")] == [
        None, None, "route", "route",
    ]  # fmt: skip
    execute(stack.database_url, f"UPDATE api_tokens SET revoked_at = now() WHERE token_hash = '{good}'")
    assert reason(good) == "revoked"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"organisation_id": "a"}, "organisation_id"), ({"cost": -1}, "cost"), ({"token_hash": "x"}, "token_hash")],
)
def test_a_bad_question_is_a_422_that_names_the_field(stack: Stack, body: Any, field: str) -> None:
    answer = ask(stack, **body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_only_the_scope_limits_asks_and_for_its_own(stack: Stack) -> None:
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    reader, own = (
        tokens.create(store, name, [scope], organization_id="mine").secret
        for name, scope in (("reader", "read"), ("own", "limits"))
    )
    store.dispose()
    assert ask(stack, reader).status_code == 403
    assert ask(stack, own, organization_id="mine").status_code == 200
    assert ask(stack, own, organization_id="another").status_code == 403
