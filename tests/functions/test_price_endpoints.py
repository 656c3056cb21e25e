"""/v1/prices: what it takes and refuses, and what it says about the price of a call."""

from collections.abc import Mapping
from typing import Any

import pytest

from tally import price_import, tokens
from tally.database import Store
from tally.pricing import dataset
from tests.support.functions import ADMIN, Functions, Stack, read_json, write_json
from tests.support.postgres import scalar, settings_of

JSON = {"Content-Type": "application/json"}
PRICE = {
    "provider": "openai",
    "model": "gpt-x",
    "currency": "USD",
    "valid_from": "2026-05-01T00:00:00+03:00",
    "per_million": {"input": "2.50", "cached_input": "1.25", "output": 10},
}


@pytest.fixture(scope="module", autouse=True)
def seeded(stack: Stack) -> None:
    """The book as `migrate` leaves it."""
    price_import.seed(settings_of(stack.database_url))


def sent(stack: Stack, method: str, path: str, body: object = None, token: str | None = ADMIN) -> tuple[int, Any]:
    """Status and parsed body of an answer."""
    content = {} if body is None else {"content": write_json(body), "headers": JSON}
    answer = stack.admin.request(method, path, token, **content)
    return answer.status_code, read_json(answer.content) if answer.content else None


def added(stack: Stack, **fields: Any) -> Any:
    status, price = sent(stack, "POST", "/v1/prices", {**PRICE, **fields})
    assert status == 201, price
    return price


def audited(stack: Stack, price_id: int) -> list[tuple[str, str]]:
    _, log = sent(stack, "GET", f"/v1/audit-log?kind=price&subject_id={price_id}")
    return [(entry["actor"], entry["action"]) for entry in log["items"]]


def test_a_price_is_added_shown_corrected_and_retired(stack: Stack) -> None:
    price = added(stack, model="life", conditions={"processing": "batch"})
    assert price | {"id": 0, "created_at": ""} == {
        "id": 0,
        "origin": "own",
        "provider": "openai",
        "model": "life",
        "currency": "USD",
        "valid_from": "2026-04-30T21:00:00+00:00",
        "per_million": {"input": read_json("2.5"), "cached_input": read_json("1.25"), "output": 10},
        "per_request": None,
        "per_image": None,
        "tiers": [],
        "hours": [],
        "conditions": {"processing": "batch"},
        "created_at": "",
        "created_by": "admin",
        "replaces": None,
        "replaced_by": None,
        "retired_at": None,
    }
    path = f"/v1/prices/{price['id']}"
    assert sent(stack, "GET", path) == (200, price)
    change = {"per_million": {"output": "9.5", "cached_input": None}, "per_request": 0.0125, "conditions": None}
    status, corrected = sent(stack, "PATCH", path, change)
    assert status == 200
    assert corrected["replaces"] == price["id"]
    assert corrected["id"] > price["id"]
    assert corrected["per_million"] == {"input": read_json("2.5"), "output": read_json("9.5")}
    assert (corrected["per_request"], corrected["conditions"]) == (read_json("0.0125"), {})
    assert corrected["valid_from"] == price["valid_from"]
    _, before = sent(stack, "GET", path)
    assert before["replaced_by"] == corrected["id"]
    assert before["retired_at"] is not None
    corrected_path = f"/v1/prices/{corrected['id']}"
    assert sent(stack, "DELETE", corrected_path) == (204, None)
    assert sent(stack, "DELETE", corrected_path) == (204, None)
    assert sent(stack, "GET", corrected_path)[1]["retired_at"] is not None
    assert audited(stack, price["id"]) == [("admin", "create")]
    assert audited(stack, corrected["id"]) == [("admin", "retire"), ("admin", "correct")]


def test_every_rate_comes_back_as_an_exact_number(stack: Stack) -> None:
    rates = {
        "per_million": {"input": "0.0000000001", "reasoning": 3},
        "per_request": "0.005",
        "per_image": 0.042,
        "tiers": [{"above": 200000, "per_million": {"input": "0.3"}}],
        "hours": [{"from": "16:30", "to": "00:30", "per_million": {"reasoning": "1.5"}}],
    }
    price = added(stack, model="exact", **rates)
    assert {name: price[name] for name in rates} == {
        "per_million": {"input": read_json("1e-10"), "reasoning": 3},
        "per_request": read_json("0.005"),
        "per_image": read_json("0.042"),
        "tiers": [{"above": 200000, "per_million": {"input": read_json("0.3")}}],
        "hours": [{"from": "16:30", "to": "00:30", "per_million": {"reasoning": read_json("1.5")}}],
    }


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"per_million": {"input": -1}}, "per_million.input", "must not be negative"),
        ({"per_request": "-0.01"}, "per_request", "must not be negative"),
        ({"per_million": {"input": "NaN"}}, "per_million.input", "expected a decimal number"),
        ({"per_million": {"input": "1e99"}}, "per_million.input", "expected at most 10^15"),
        ({"per_million": {"input": True}}, "per_million.input", "expected a decimal number"),
        ({"per_million": {"inptu": 1}}, "per_million", 'did you mean "input"?'),
        ({"per_milion": {"input": 1}}, "per_milion", 'did you mean "per_million"?'),
        ({"per_million": {}}, "", "needs a rate"),
        ({"per_million": {"input": None}}, "", "needs a rate"),
        ({"currency": "RUR"}, "currency", 'did you mean "RUB"?'),
        ({"currency": "XXX"}, "currency", "is not a currency"),
        ({"currency": 840}, "currency", "string"),
        ({"model": "gpt-*-mini"}, "model", "one * only, at its end"),
        ({"model": "**"}, "model", "one * only, at its end"),
        ({"model": ""}, "model", "at least 1 character"),
        ({"provider": "o" * 201}, "provider", "at most 200 characters"),
        ({"provider": " openai"}, "provider", "pattern"),
        ({"valid_from": "2026-05-01T00:00:00"}, "valid_from", "has no offset"),
        ({"valid_from": "yesterday"}, "valid_from", "is not a time"),
        (
            {"tiers": [{"above": 5, "per_million": {"input": 1}}, {"above": 5, "per_million": {"input": 2}}]},
            "",
            "tiers must be in ascending order",
        ),
        ({"tiers": [{"above": 5, "per_million": {}}]}, "", "at least one rate each"),
        ({"tiers": [{"above": -5, "per_million": {"input": 1}}]}, "tiers.0.above", "greater than or equal to 0"),
        ({"hours": [{"from": "25:00", "to": "01:00", "per_million": {"input": 1}}]}, "hours.0.from", "such as 16:30"),
        ({"conditions": {"processing": 1}}, "conditions.processing", "string"),
        ({"conditions": {"pro\0cessing": "batch"}}, "conditions.pro␀cessing", "NUL"),
        ({"provider": None}, "provider", "string"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_field(
    stack: Stack, change: Mapping[str, Any], field: str, message: str
) -> None:
    status, problem = sent(stack, "POST", "/v1/prices", {**PRICE, "model": "refused", **change})
    assert status == 422
    [fault] = [fault for fault in problem["errors"] if fault["field"] == field]
    assert message in fault["message"]
    assert sent(stack, "GET", "/v1/prices?model=refused*")[1]["items"] == []


@pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31T23:59:59.999999Z", 0, "1969-12-31T23:59:59.5+05:30"])
def test_a_price_may_begin_whenever_it_likes(stack: Stack, moment: object) -> None:
    price = added(stack, model=f"whenever {moment}", valid_from=moment)
    assert sent(stack, "GET", f"/v1/prices/{price['id']}") == (200, price)
    call = {"provider": "openai", "model": price["model"], "time": "9999-12-31T23:59:59.999999Z"}
    assert read_json(stack.admin.get("/v1/prices/for", params=call).content)["price"] == price


def test_what_is_missing_is_named(stack: Stack) -> None:
    status, problem = sent(stack, "POST", "/v1/prices", {"per_request": 1})
    assert status == 422
    faults = {(fault["field"], fault["message"]) for fault in problem["errors"]}
    assert faults == {(name, "is missing") for name in ("provider", "model", "currency", "valid_from")}


def test_overlapping_versions_are_refused_with_the_other_ones_id(stack: Stack) -> None:
    price = added(stack, model="twice")
    status, problem = sent(stack, "POST", "/v1/prices", {**PRICE, "provider": "OpenAI", "model": "TWICE"})
    assert status == 422
    assert f"price {price['id']} of the same provider, model and conditions" in problem["errors"][0]["message"]
    assert problem["errors"][0]["field"] == "valid_from"
    later = added(stack, model="twice", valid_from="2026-06-01")
    change = {"valid_from": PRICE["valid_from"]}
    status, problem = sent(stack, "PATCH", f"/v1/prices/{later['id']}", change)
    assert status == 422
    assert f"price {price['id']}" in problem["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [({}, "id"), ({"currency": "usd"}, "id"), ({"currency": None}, "currency"), ({"id": 7}, "id"), ([], "")],
)
def test_a_correction_that_is_none_is_refused(stack: Stack, change: object, field: str) -> None:
    found = sent(stack, "GET", "/v1/prices?model=uncorrected")[1]["items"]
    price = found[0] if found else added(stack, model="uncorrected")
    status, problem = sent(stack, "PATCH", f"/v1/prices/{price['id']}", change)
    assert status == 422
    assert [fault["field"] for fault in problem["errors"]] == [field]


def test_a_price_of_the_data_set_is_not_corrected_but_outdone(stack: Stack) -> None:
    [listed] = sent(stack, "GET", "/v1/prices?provider=openai&model=gpt-4-32k&at=2026-05-01")[1]["items"]
    assert listed["origin"] == dataset.origin()
    status, problem = sent(stack, "PATCH", f"/v1/prices/{listed['id']}", {"currency": "EUR"})
    assert status == 422
    assert "add a price of your own, which wins" in problem["detail"]


@pytest.mark.parametrize("path", ["/v1/prices/999999", "/v1/prices/0x1", "/v1/prices/-1", "/v1/prices/1/2"])
def test_what_is_not_there(stack: Stack, path: str) -> None:
    assert sent(stack, "GET", path)[0] == 404


def test_an_id_that_none_can_have_is_no_server_error(stack: Stack) -> None:
    assert sent(stack, "GET", f"/v1/prices/{10**30}")[0] == 400


def test_lists_go_on_behind_a_cursor(stack: Stack) -> None:
    ids = [added(stack, model="pages", valid_from=f"2026-05-{day:02}")["id"] for day in range(1, 6)]
    first = sent(stack, "GET", "/v1/prices?model=pages&limit=3")[1]
    assert [price["id"] for price in first["items"]] == ids[:1:-1]
    second = sent(stack, "GET", f"/v1/prices?model=pages&limit=3&cursor={first['next_cursor']}")[1]
    assert [price["id"] for price in second["items"]] == ids[1::-1]
    assert second["next_cursor"] is None
    at = sent(stack, "GET", "/v1/prices?model=pages&at=2026-05-03T12:00:00Z")[1]
    assert [price["id"] for price in at["items"]] == [ids[2]]
    own = sent(stack, "GET", "/v1/prices?origin=own&limit=200")[1]["items"]
    assert {price["origin"] for price in own} == {"own"}


@pytest.mark.parametrize("query", ["limit=201", "limit=0", "at=noon", "cursor=nonsense!", "provder=openai"])
def test_bad_parameters(stack: Stack, query: str) -> None:
    assert sent(stack, "GET", f"/v1/prices?{query}")[0] == 400


def for_(stack: Stack, query: str) -> tuple[int | None, str]:
    """Id of the price of a call, and why, or why there is none."""
    status, answer = sent(stack, "GET", f"/v1/prices/for?{query}")
    if status == 404:
        return None, answer["detail"]
    assert status == 200, answer
    return answer["price"]["id"], answer["why"]


def test_which_price_a_call_falls_under_and_why(stack: Stack) -> None:
    exact = added(stack, model="which-1")["id"]
    pattern = added(stack, model="which-*")["id"]
    batch = added(stack, model="which-1", conditions={"processing": "batch"})["id"]
    since = "; this version holds from 2026-04-30T21:00:00+00:00"
    call = "provider=OPENAI&time=2026-05-02"
    assert for_(stack, f"{call}&model=Which-1") == (exact, f"it is the team's own price of this model{since}")
    why = f"it is the team's own price of models that begin with which-{since}"
    assert for_(stack, f"{call}&model=which-2") == (pattern, why)
    why = f"it is the team's own price of this model, for calls labelled processing=batch{since}"
    assert for_(stack, f"{call}&model=which-1&label=processing=batch&label=team=red") == (batch, why)
    found, why = for_(stack, "model=which-1&provider=openai&time=2026-04-30T20:59:59Z")
    assert found is None
    assert why == f"Prices of such calls begin later; price {exact} does at 2026-04-30T21:00:00+00:00."
    _, why = for_(stack, "model=gpt-4o-2024-08-06&provider=azure")
    assert why.startswith(f"{dataset.origin()} has it as openai gpt-4o; ")
    _, why = for_(stack, "model=GigaChat-2")
    assert why.startswith("tally has it as gigachat GigaChat*; ")
    assert for_(stack, "model=nobody-has-it") == (None, "No price in the book is for such a call: add one of your own.")


@pytest.mark.parametrize("query", ["", "model=a&time=noon", "model=a&label=processing", "model=a&labels=a=b"])
def test_a_call_that_cannot_be_one(stack: Stack, query: str) -> None:
    assert sent(stack, "GET", f"/v1/prices/for?{query}")[0] == 400


def test_the_job_migrate_puts_prices_into_a_new_book(functions: Functions, database_url: str) -> None:
    migrate = functions.start("migrate", database_url)
    for _ in range(2):
        assert migrate.post("/", None).status_code == 200
    assert scalar(database_url, "SELECT count(*) FROM prices") == len(dataset.rows()) + len(dataset.own_rows())
    assert '"prices_added":0' in migrate.log.replace(" ", "")


def test_who_may_look_and_who_may_change(stack: Stack) -> None:
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    reader = tokens.create(store, "reader", ["read"]).secret
    sender = tokens.create(store, "sender", ["ingest"]).secret
    store.dispose()
    price = added(stack, model="whose")
    path = f"/v1/prices/{price['id']}"
    for look in ("/v1/prices", path, "/v1/prices/for?model=whose"):
        assert [sent(stack, "GET", look, token=token)[0] for token in (reader, sender, None)] == [200, 403, 401]
    for method, where in (("POST", "/v1/prices"), ("PATCH", path), ("DELETE", path)):
        body = None if method == "DELETE" else {"currency": "EUR"}
        assert [sent(stack, method, where, body, token=token)[0] for token in (reader, sender, None)] == [403, 403, 401]
    assert sent(stack, "GET", path) == (200, price)
