"""Prices, costs and repricing over HTTP, with the database users that the functions have."""

from decimal import Decimal
from typing import Any

import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import Stack, read_json
from tests.support.postgres import settings_of
from tests.support.waiting import eventually

PRICE = {"provider": "acme", "currency": "USD", "valid_from": "2020-01-01"}


def call(stack: Stack, model: str, **fields: Any) -> None:
    event = {"provider": "acme", "model": model, "input_tokens": 1000, "output_tokens": 100, "organization_id": model}
    assert stack.send({**event, **fields}).status_code == 202


def usage(stack: Stack, model: str, **parameters: Any) -> Any:
    metrics = "requests,cost,unpriced_requests,sent_cost,list_cost,compared_requests"
    [row] = stack.usage(metrics=metrics, organization_id=model, **parameters)["rows"]
    return row


def set_price(stack: Stack, model: str, **fields: Any) -> int:
    body = {**PRICE, "model": model, "per_million": {"input": "2", "output": "10"}, **fields}
    answer = stack.admin.post("/v1/prices", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def test_an_event_is_priced_as_it_comes_and_its_price_is_shown(stack: Stack) -> None:
    price_id = set_price(stack, "priced")
    call(stack, "priced")
    call(stack, "priced", cost_usd="0.002")
    call(stack, "priced", route="/chat", cost={"amount": "0.5", "currency": "EUR"})
    assert usage(stack, "priced") == {
        "requests": 3, "cost": Decimal("0.005"), "unpriced_requests": 0, "unconverted_requests": 1,
        "compared_requests": 2, "sent_cost": Decimal("0.002"), "list_cost": Decimal("0.006"),
    }  # fmt: skip
    items = read_json(stack.query.get("/v1/usage/events?model=priced").content)["items"]
    shown = [(item["price_id"], item["cost"], item.get("list_cost")) for item in reversed(items)]
    of_list = {"amount": Decimal("0.003"), "currency": "USD"}
    assert shown == [
        (price_id, of_list, None),
        (price_id, {"amount": Decimal("0.002"), "currency": "USD"}, of_list),
        (price_id, {"amount": Decimal("0.5"), "currency": "EUR"}, of_list),
    ]


def test_unpriced_models_are_listed_and_priced_later(stack: Stack) -> None:
    for _ in range(2):
        call(stack, "too-new")
    assert usage(stack, "too-new")["unpriced_requests"] == 2
    listed = stack.admin.get("/v1/prices/unpriced").json()["items"]
    assert {"provider": "acme", "model": "too-new", "unpriced_requests": 2} in listed

    set_price(stack, "too-new")
    body = {"provider": "acme", "model": "too-new"}
    preview = stack.admin.post("/v1/prices/reprice?dry_run=true", json=body)
    assert preview.status_code == 200, preview.text
    [change] = read_json(preview.content)["changes"]
    assert (change["events"], change["old"], change["new"], change["difference"]) == (
        2, 0, Decimal("0.006"), Decimal("0.006"),
    )  # fmt: skip
    assert preview.json()["applied"] is False
    assert usage(stack, "too-new")["unpriced_requests"] == 2

    done = stack.admin.post("/v1/prices/reprice", json=body)
    assert done.status_code == 200, done.text
    assert done.json()["applied"] is True
    assert read_json(done.content)["changes"] == [change]
    row = usage(stack, "too-new")
    assert (row["cost"], row["unpriced_requests"]) == (Decimal("0.006"), 0)
    again = stack.admin.post("/v1/prices/reprice", json=body).json()
    assert (again["applied"], again["changes"]) == (True, [])
    assert stack.admin.get(f"/v1/prices/reprice/{done.json()['id']}").json() == done.json()
    items = stack.admin.get("/v1/prices/reprice?limit=1").json()
    assert items["items"][0]["id"] == again["id"]
    following = stack.admin.get(f"/v1/prices/reprice?limit=1&cursor={items['next_cursor']}").json()
    assert following["items"][0]["id"] == done.json()["id"]


def test_a_corrected_price_changes_what_is_stored_only_when_it_is_applied(stack: Stack) -> None:
    price_id = set_price(stack, "corrected")
    call(stack, "corrected")
    corrected = stack.admin.request("PATCH", f"/v1/prices/{price_id}", json={"per_million": {"input": 1, "output": 1}})
    assert corrected.status_code == 200, corrected.text
    assert usage(stack, "corrected")["cost"] == Decimal("0.003")
    answer = stack.admin.post("/v1/prices/reprice", json={"model": "corrected", "from": "2020-01-01"})
    assert answer.json()["applied"] is True
    assert usage(stack, "corrected")["cost"] == Decimal("0.0011")
    assert usage(stack, "corrected", currency="RUB")["unconverted_requests"] == 1


def test_a_cost_in_roubles_is_reported_in_dollars_at_the_rate_of_its_day(stack: Stack) -> None:
    set_price(stack, "GigaChat", currency="RUB", per_million={"input": 200, "output": 200})
    rates = [
        {"base": "USD", "quote": "RUB", "rate": rate, "date": date, "source": "test"}
        for date, rate in (("2026-05-01", "80"), ("2026-05-02", "81.3"))
    ]
    assert stack.admin.post("/v1/exchange-rates", json=rates).status_code == 201
    for day in (1, 2, 3):
        call(stack, "GigaChat", time=f"2026-05-0{day}T12:00:00Z", input_tokens=400, output_tokens=100)
    found = usage(stack, "GigaChat", from_="2026-05-01", to="2026-05-04", timezone="Europe/Moscow")
    # 500 tokens at 200 a million are 0.1; by 80, 81.3, and 81.3 of the day before
    assert found["cost"] == round(Decimal("0.1") / 80 + 2 * Decimal("0.1") / Decimal("81.3"), 10)
    assert found["older_rate_requests"] == 1
    assert "unconverted_requests" not in found


def test_a_repricing_that_was_interrupted_is_finished_by_rollup(stack: Stack) -> None:
    price_id = set_price(stack, "interrupted")
    call(stack, "interrupted")
    stack.admin.request("PATCH", f"/v1/prices/{price_id}", json={"per_million": {"input": 3, "output": 10}})
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    with store.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO repricings (id, created_by, model, until_seq) SELECT 'left', 'x', 'interrupted', last_value"
            " FROM usage_events_seq"
        )
    store.dispose()
    rollup = stack.functions.start("rollup", stack.database_url)
    assert rollup.post("/").status_code == 200
    eventually(lambda: stack.admin.get("/v1/prices/reprice/left").json()["applied"], "the repricing")
    assert usage(stack, "interrupted")["cost"] == Decimal("0.004")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"modell": "x"}, "modell"),
        ({"from": "2026-05-01", "to": "2026-05-01"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"model": ""}, "model"),
        ([], ""),
    ],
)
def test_what_cannot_be_repriced_is_a_422_that_names_the_field(stack: Stack, body: Any, field: str) -> None:
    answer = stack.admin.post("/v1/prices/reprice", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert stack.admin.post("/v1/prices/reprice?dry_run=maybe", json={}).status_code == 400


def test_only_the_scope_admin_reprices_and_nobody_else_s_models_are_listed(stack: Stack) -> None:
    call(stack, "secret-model")
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    own = tokens.create(store, "own", ["read"], organization_id="somebody else")
    store.dispose()
    assert stack.admin.post("/v1/prices/reprice?dry_run=true", own.secret, json={}).status_code == 403
    assert stack.admin.get("/v1/prices/reprice", own.secret).status_code == 403
    assert stack.admin.get("/v1/prices/unpriced", own.secret).json() == {"items": []}
    assert stack.admin.get("/v1/prices/reprice/no-such-thing").status_code == 404
