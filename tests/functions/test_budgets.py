"""Budgets over HTTP: who may see and change what, what is refused, and a crossing that `rollup` notices and tells."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import httpx
import pytest
import yaml

from tally import tokens
from tally.database import Store
from tally.local.process import ServiceProcess
from tally.notifications import webhooks
from tests.support.functions import ADMIN, Function, Stack, read_json, write_json
from tests.support.postgres import execute, rows, scalar, settings_of
from tests.support.receiver import Receiver, receiving, status
from tests.support.waiting import eventually

REFUSED: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "budgets.yml").read_text("utf-8")
)["refused"]
GIVEN = {"name": "b", "amount": 100, "currency": "usd", "window": "month"}
JSON = {"Content-Type": "application/json"}
PAGE = Path(__file__).parents[2] / "docs" / "budgets.md"
FOLDED: LiteralString = (
    "SELECT coalesce(sum(requests), 0) FROM cube_route_day JOIN dimensions ON key = route_key WHERE value = %s"
)
SUBJECT = ("organization_id", "user_id", "token_id", "agent_id", "model")


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> dict[str, str]:
    """Secrets of callers by name."""
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    bound: dict[str, dict[str, Any]] = {
        "acme": {"organization_id": "acme"},
        "anna of acme": {"organization_id": "acme", "user_id": "anna"},
        "anna of nowhere": {"user_id": "anna"},
        "vera of nowhere": {"user_id": "vera"},
        "nobody": {},
    }
    made = {name: tokens.create(store, name, ["read"], **to).secret for name, to in bound.items()}
    made["all"] = tokens.create(store, "all", ["read:all"]).secret
    store.dispose()
    return made


@pytest.fixture(autouse=True)
def fresh(stack: Stack) -> None:
    execute(stack.database_url, "TRUNCATE budgets, webhooks, notifications, deliveries, audit_log CASCADE")


@pytest.fixture(scope="module")
def local(stack: Stack) -> Function:
    """admin, where webhooks may be on this machine."""
    return stack.functions.start("admin", stack.database_url, private_webhooks=1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def send(function: Function, method: str, path: str, fields: object, token: str = ADMIN) -> httpx.Response:
    return function.request(method, path, token, content=write_json(fields), headers=JSON)


def make(function: Function, **fields: object) -> Any:
    answer = send(function, "POST", "/v1/budgets", {**GIVEN, **fields})
    assert answer.status_code == 201, answer.text
    return read_json(answer.content)


def shown(function: Function, token: str = ADMIN, path: str = "/v1/budgets") -> Any:
    answer = function.get(path, token)
    assert answer.status_code == 200, answer.text
    return read_json(answer.content)


def names(stack: Stack, token: str) -> list[str]:
    return [item["name"] for item in shown(stack.admin, token)["items"]]


def test_a_budget_is_shown_with_what_it_has_and_how_it_stands(stack: Stack) -> None:
    now = datetime.now(UTC)
    event = {"route": "/", "cost_usd": "62.5", "organization_id": "of the first test"}
    stack.send([event, {**event, "cost_usd": None, "cost_rub": 5}])
    made = make(stack.admin, organization_id="of the first test", timezone="Asia/Kolkata", window="day")
    assert {name: made[name] for name in SUBJECT} == dict.fromkeys(SUBJECT) | {"organization_id": "of the first test"}
    assert (made["name"], made["amount"], made["currency"], made["window"]) == ("b", 100, "USD", "day")
    assert (made["timezone"], made["hard"], made["webhook_url"]) == ("Asia/Kolkata", False, None)
    assert (made["spent"], made["left"], made["percent"]) == (Decimal("62.5"), Decimal("37.5"), Decimal("62.5"))
    assert (made["thresholds"], made["crossed"], made["unconverted_requests"]) == ([50, 80, 100], [50], 1)
    assert made["forecast"] is None
    assert made["window_start"].endswith("T00:00:00+05:30")
    assert datetime.fromisoformat(made["window_start"]) <= now < datetime.fromisoformat(made["window_end"])
    assert made.pop("webhook_secret") is None
    assert shown(stack.admin)["items"] == [made]
    assert shown(stack.admin, path=f"/v1/budgets/{made['id']}") == {**made, "crossings": []}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: str(case["given"]))
def test_what_makes_no_sense_is_refused_by_field(stack: Stack, case: dict[str, Any]) -> None:
    kept = make(stack.admin)
    for method, path, fields in [
        ("POST", "/v1/budgets", {**GIVEN, **case["given"]}),
        ("PATCH", f"/v1/budgets/{kept['id']}", case["given"]),
    ]:
        answer = send(stack.admin, method, path, fields)
        assert answer.status_code == 422, answer.text
        [fault] = answer.json()["errors"]
        assert fault["field"] == case["field"]
        assert case["message"] in fault["message"]
    assert shown(stack.admin)["items"] == [{name: kept[name] for name in kept.keys() - {"webhook_secret"}}]


def test_every_field_at_fault_is_named_at_once(stack: Stack) -> None:
    answer = send(stack.admin, "POST", "/v1/budgets", {"amount": 0, "window": "year", "currrency": "USD"})
    faults = {fault["field"]: fault["message"] for fault in answer.json()["errors"]}
    assert faults.keys() == {"name", "amount", "currency", "window", "currrency"}
    assert faults["name"] == faults["currency"] == "is missing"
    assert faults["currrency"] == 'is not a field here; did you mean "currency"?'


def test_a_change_keeps_what_is_not_given_and_null_takes_away(stack: Stack) -> None:
    made = make(stack.admin, organization_id="acme", user_id="anna", webhook_url="https://example.com/a")
    path = f"/v1/budgets/{made['id']}"
    changed = read_json(send(stack.admin, "PATCH", path, {"amount": "250.5", "user_id": None}).content)
    assert changed.pop("webhook_secret") is None
    assert changed == shown(stack.admin)["items"][0]
    assert (changed["amount"], changed["user_id"], changed["organization_id"]) == (Decimal("250.5"), None, "acme")
    assert (changed["thresholds"], changed["webhook_url"]) == ([50, 80, 100], "https://example.com/a")
    rotated = read_json(send(stack.admin, "PATCH", path, {"rotate_webhook_secret": True}).content)
    assert rotated["webhook_secret"].startswith("whsec_")
    assert rotated["webhook_secret"] != made["webhook_secret"]
    gone = read_json(send(stack.admin, "PATCH", path, {"webhook_url": None}).content)
    assert gone["webhook_url"] is None
    answer = send(stack.admin, "PATCH", path, {"rotate_webhook_secret": True})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "rotate_webhook_secret")
    for field in ("name", "thresholds", "hard", "timezone", "window"):
        answer = send(stack.admin, "PATCH", path, {field: None})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_what_is_deleted_is_gone(stack: Stack) -> None:
    path = f"/v1/budgets/{make(stack.admin)['id']}"
    answer = stack.admin.request("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert stack.admin.request("DELETE", path).status_code == 404
    assert stack.admin.get(path).status_code == 404
    assert send(stack.admin, "PATCH", path, {}).status_code == 404
    assert [entry["action"] for entry in shown(stack.admin, path="/v1/audit-log")["items"]] == ["delete", "create"]


def test_with_read_everybody_sees_its_own_budgets(stack: Stack, secrets: dict[str, str]) -> None:
    stack.send({"route": "/", "organization_id": "acme", "user_id": "anna"})
    make(stack.admin, name="everything", webhook_url="https://example.com/a")
    make(stack.admin, name="acme", organization_id="acme", webhook_url="https://example.com/a")
    make(stack.admin, name="anna of acme", organization_id="acme", user_id="anna")
    make(stack.admin, name="gpt-4 of acme", organization_id="acme", model="gpt-4")
    make(stack.admin, name="globex", organization_id="globex")
    make(stack.admin, name="anna wherever", user_id="anna")
    make(stack.admin, name="vera wherever", user_id="vera")
    assert names(stack, secrets["acme"]) == ["acme", "anna of acme", "gpt-4 of acme"]
    assert names(stack, secrets["anna of acme"]) == ["anna of acme"]
    # There is an Anna in an organization too, and what she spends is nobody else's business.
    assert names(stack, secrets["anna of nowhere"]) == []
    assert names(stack, secrets["vera of nowhere"]) == ["vera wherever"]
    assert len(names(stack, secrets["all"])) == 7
    assert stack.admin.get("/v1/budgets", secrets["nobody"]).status_code == 403
    everything, acme, *_ = shown(stack.admin)["items"]
    assert stack.admin.get(f"/v1/budgets/{everything['id']}", secrets["acme"]).status_code == 404
    seen = shown(stack.admin, secrets["acme"], f"/v1/budgets/{acme['id']}")
    assert seen == {**acme, "webhook_url": None, "crossings": []}
    assert shown(stack.admin, secrets["all"])["items"][0]["webhook_url"] is None


def test_only_the_scope_admin_changes_budgets(stack: Stack, secrets: dict[str, str]) -> None:
    path = f"/v1/budgets/{make(stack.admin, organization_id='acme')['id']}"
    for token in (secrets["acme"], secrets["all"]):
        assert send(stack.admin, "POST", "/v1/budgets", GIVEN, token).status_code == 403
        assert send(stack.admin, "PATCH", path, {"amount": 1}, token).status_code == 403
        assert stack.admin.request("DELETE", path, token).status_code == 403


def test_pages_follow_each_other(stack: Stack) -> None:
    made = [make(stack.admin, name=str(number))["name"] for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        answer = stack.admin.get("/v1/budgets", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["name"] for item in answer["items"]]
        assert len(answer["items"]) <= 2
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == made


def test_a_webhook_on_this_machine_is_for_who_allows_it(stack: Stack, local: Function, receiver: Receiver) -> None:
    answer = send(stack.admin, "POST", "/v1/budgets", {**GIVEN, "webhook_url": receiver.url})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "webhook_url")
    assert make(local, webhook_url=receiver.url)["webhook_secret"].startswith("whsec_")


# --- rollup -----------------------------------------------------------------------------------------------------------


def started(stack: Stack) -> Function:
    return stack.functions.start("rollup", stack.database_url, private_webhooks=1)


def run(rollup: Function) -> Any:
    answer = rollup.post("/", None)
    assert answer.status_code == 200, answer.text
    return read_json(answer.content)


def due_again(stack: Stack) -> None:
    execute(stack.database_url, "UPDATE deliveries SET next_attempt_at = now() WHERE told_at IS NULL")


def crossings(stack: Stack, budget: Any) -> Any:
    return shown(stack.admin, path=f"/v1/budgets/{budget['id']}")["crossings"]


def test_rollup_notices_a_crossing_and_tells_it_once_to_log_and_webhook(
    stack: Stack, local: Function, receiver: Receiver
) -> None:
    rollup = started(stack)
    made = make(local, organization_id="told", user_id="anna", amount="10.5", webhook_url=receiver.url)
    assert run(rollup)["crossings"] == 0
    stack.send([{"route": "/", "organization_id": "told", "user_id": "anna", "cost_usd": "2.1"} for _ in range(4)])
    done = run(rollup)
    assert (done["crossings"], done["told"], done["not_told"]) == (2, 4, 0)
    assert run(rollup)["crossings"] == 0
    said = receiver.verified(made["webhook_secret"])
    assert [one["type"] for one in said] == ["budget.crossed"] * 2
    assert sorted(one["data"]["threshold"] for one in said) == [50, 80]
    standing = shown(stack.admin)["items"][0]
    [documented] = re.findall(r"```json\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for one in said:
        assert one.keys() == read_json(documented).keys()
        assert one["data"].keys() == read_json(documented)["data"].keys()
        assert (
            one["data"] | {name: standing[name] for name in ("spent", "amount", "currency", "window_end")}
            == one["data"]
        )
        assert one["data"]["subject"] == {"organization_id": "told", "user_id": "anna"}
    logged = [line for line in map(read_json, rollup.log.splitlines()) if line["message"] == "budget crossed"]
    assert [(line["budget_id"], line["amount"]) for line in logged] == [(made["id"], "10.5")] * 2
    noted = crossings(stack, made)
    assert [(one["threshold"], one["spent"]) for one in noted] == [(80, Decimal("8.4")), (50, Decimal("8.4"))]
    for one in noted:
        assert [delivery["channel"] for delivery in one["deliveries"]] == ["log", "webhook"]
        assert all(delivery["told_at"] and not delivery["last_error"] for delivery in one["deliveries"])
    rollup.stop()


def test_rollup_killed_between_telling_and_noting_tells_the_same_id_again(
    stack: Stack, local: Function, receiver: Receiver
) -> None:
    rollup = started(stack)
    make(local, organization_id="killed", thresholds=[50], webhook_url=receiver.url)
    stack.send({"route": "/", "organization_id": "killed", "cost_usd": 60})
    receiver.answers = [receiver.hang]

    def until_killed() -> None:
        with pytest.raises(httpx.TransportError):
            rollup.post("/", None)

    runs = threading.Thread(target=until_killed)
    runs.start()
    eventually(lambda: receiver.posts, "the first attempt")
    rollup.kill()
    runs.join()
    rollup.start()
    rollup.wait_until_live()
    assert run(rollup)["told"] == 0  # who was killed may still be under way, for all that is known
    due_again(stack)
    assert run(rollup)["told"] == 1
    assert len(receiver.posts) == 2
    assert len({*receiver.ids}) == 1
    rollup.stop()


def test_what_was_not_taken_is_shown_with_its_reason(stack: Stack, local: Function, receiver: Receiver) -> None:
    rollup = started(stack)
    made = make(local, organization_id="refused", thresholds=[50], webhook_url=receiver.url)
    stack.send({"route": "/", "organization_id": "refused", "cost_usd": 60})
    receiver.answers = [status(503)]
    assert run(rollup)["not_told"] == 1
    [one] = crossings(stack, made)
    [delivery] = [delivery for delivery in one["deliveries"] if delivery["channel"] == "webhook"]
    assert (delivery["attempts"], delivery["last_error"]) == (1, "answered 503")
    assert delivery["next_attempt_at"] is not None
    assert delivery["told_at"] is delivery["given_up_at"] is None
    local.request("DELETE", f"/v1/budgets/{made['id']}")
    due_again(stack)
    assert run(rollup)["given_up"] == 1
    assert len(receiver.posts) == 1
    assert rows(stack.database_url, "SELECT last_error FROM deliveries WHERE given_up_at IS NOT NULL") == [
        ("the webhook was removed",)
    ]
    rollup.stop()


def test_a_receiver_that_hangs_holds_up_no_folding(
    stack: Stack, local: Function, receiver: Receiver, tmp_path: Path
) -> None:
    """As `tally up` runs it: over and over, in one process."""
    receiver.answers = [receiver.hang] * 10
    make(local, organization_id="hanging", thresholds=[50], webhook_url=receiver.url)
    environment = {**os.environ, "TALLY_DATABASE_URL": stack.database_url, "TALLY_PRIVATE_WEBHOOKS": "1"}
    command = [sys.executable, "-m", "tally.cli", "rollup", "--every", "0.1"]
    rollup = ServiceProcess("rollup", command, environment, tmp_path / "rollup.log")
    rollup.start()
    try:
        stack.send({"route": "/", "organization_id": "hanging", "cost_usd": 60})
        eventually(lambda: receiver.posts, "the attempt")
        stack.send({"route": "/meanwhile"})
        eventually(
            lambda: scalar(stack.database_url, FOLDED, ("/meanwhile",)) == 1, "folding", seconds=webhooks.SECONDS
        )
        assert scalar(stack.database_url, "SELECT count(*) FROM deliveries WHERE told_at IS NULL") == 1
    finally:
        rollup.stop()
