"""Alerts lead to the runbook, its statements run, and what is counted from the log is what the code logs."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

import functions.record.main as record
import functions.rollup.main as rollup
from tally.budgets import crossings
from tally.database import Store
from tally.errors import StoreUnavailable
from tally.http.api import application
from tally.http.service import Handler, service
from tally.log import logger
from tally.message import Message, wrap
from tally.notifications import outbox
from tally.notifications.outbox import Target
from tally.notifications.telling import tell
from tally.schema import SchemaGuard
from tally.settings import FunctionName, settings
from tests.support import budgets
from tests.support.postgres import execute

ROOT = Path(__file__).parents[2]
TERRAFORM = {path.name: path.read_text() for path in sorted((ROOT / "terraform").glob("*.tf"))}
POLICIES = "".join(TERRAFORM[f"monitoring_{name}.tf"] for name in ("events", "services", "database"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SEVERITIES = ["DEBUG", "INFO", "WARNING", "ERROR"]


# The runbook


def sections(chapter: str) -> list[str]:
    text = RUNBOOK.split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    return re.findall(r"^### (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    titles = re.findall(r'^ +title += "(.+)"$', POLICIES, re.MULTILINE)
    assert len(titles) == len(re.findall(r"^ +severity += ", POLICIES, re.MULTILINE))
    assert sections("Alerts") == titles


def test_every_section_says_when_it_is_over() -> None:
    alerts = RUNBOOK.split("\n## Alerts\n")[1].split("\n## ")[0]
    for section in alerts.split("\n### ")[1:]:
        assert section.count("\nOver: ") == 1, section.splitlines()[0]


def test_links_within_the_runbook_lead_somewhere() -> None:
    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(.+?)\)", RUNBOOK)) - anchors == set()


def test_what_the_runbook_names_is_there() -> None:
    there = set(re.findall(r'"((?:tally|usage-events)[\w-]*)"', "".join(TERRAFORM.values())))
    there |= {f"tally-{function}" for function in get_args(FunctionName)}
    assert set(re.findall(r"\b(?:tally-\w+|usage-events[\w-]*)", RUNBOOK)) - there == set()


def test_every_threshold_is_in_the_runbook() -> None:
    thresholds = re.findall(r'^variable "(\w+_(?:minutes|ratio|seconds))"', TERRAFORM["monitoring_variables.tf"], re.M)
    assert len(thresholds) == 5
    assert [name for name in thresholds if f"`{name}`" not in RUNBOOK] == []


@pytest.mark.parametrize("statement", re.findall(r"```sql\n(.+?)```", RUNBOOK, re.DOTALL))
def test_statements_of_the_runbook_run(database_url: str, statement: str) -> None:
    execute(database_url, statement)


# The log


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], dict[str, Any]]]:
    """The one line that the code has logged."""

    def line() -> dict[str, Any]:
        [text] = [text for text in capsys.readouterr().out.splitlines() if text.startswith("{")]
        found: dict[str, Any] = json.loads(text)
        return found

    logger.cache_clear()  # it writes to what standard output was when it was made
    yield line
    logger.cache_clear()


@pytest.fixture
def in_force(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database for what reads its settings itself."""
    monkeypatch.setenv("TALLY_DATABASE_URL", database_url)
    settings.cache_clear()
    yield
    record._store().dispose()
    for cached in (record._store, record._guard, record._group):
        cached.cache_clear()


def entry(line: Mapping[str, Any], kind: str, name: str) -> dict[str, Any]:
    """A line as Cloud Logging keeps it: what it knows by name beside what is left."""
    payload = dict(line)
    label = {"cloud_run_revision": "service_name", "cloud_run_job": "job_name"}[kind]
    severity = payload.pop("severity")
    return {"resource": {"type": kind, "labels": {label: name}}, "severity": severity, "jsonPayload": payload}


def metric(name: str) -> dict[str, str]:
    """A metric's filter and extractors."""
    block = re.search(
        rf'^resource "google_logging_metric" "{name}" {{\n(.+?)^}}', TERRAFORM["monitoring_logs.tf"], re.M | re.S
    )
    assert block
    extractors = dict(re.findall(r'(\w+) += (?:{ \w+ = )?"EXTRACT\((.+?)\)"', block[1]))
    [conditions] = re.findall(r"<<-FILTER\n(.+?)\n +FILTER", block[1], re.DOTALL)
    return {"filter": conditions, **extractors}


def at(found: Mapping[str, Any], path: str) -> Any:
    value: Any = found
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def matches(conditions: str, found: Mapping[str, Any]) -> bool:
    """Whether an entry passes a filter of Cloud Logging: one comparison a line, all of which have to hold."""

    def holds(condition: str) -> bool:
        parts = re.fullmatch(r' *([\w.]+)(=~|>=|=)"?([^"]+)"?', condition)
        assert parts, condition
        path, compare, wanted = parts.groups()
        value = at(found, path)
        if compare == ">=":
            return SEVERITIES.index(value) >= SEVERITIES.index(wanted)
        return re.search(wanted, str(value)) is not None if compare == "=~" else bool(value == wanted)

    return all(holds(condition) for condition in conditions.splitlines())


def request(method: str, path: str, body: bytes = b"") -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}, receive)


def status(handler: Handler, asked: Request) -> int:
    """With what a function answers."""

    async def answer() -> int:
        return (await handler(asked)).status_code

    return asyncio.run(answer())


def store_events(data: bytes) -> None:
    """Has record take a push."""
    body = wrap(Message("m1", datetime.now(UTC), {}, data))
    assert status(record.push, request("POST", "/push", body)) == 204


async def fails(_request: Request) -> Response:
    raise RuntimeError("as nobody foresaw")


@pytest.mark.usefixtures("in_force")
def test_dead_letters_are_counted_from_what_record_logs(log: Callable[[], dict[str, Any]]) -> None:
    store_events(b'[{"route": "/a"}, {"status": "no number"}, {"status": -1}]')
    counted, found = metric("dead_letters"), entry(log(), "cloud_run_revision", "tally-record")
    assert matches(counted["filter"], found)
    assert at(found, counted["value_extractor"]) == 2


@pytest.mark.usefixtures("in_force")
def test_stored_events_are_counted_from_what_the_rollup_logs(log: Callable[[], dict[str, Any]]) -> None:
    store_events(b'[{"route": "/a"}, {"route": "/b"}]')
    rollup.run()
    counted, found = metric("folded_events"), entry(log(), "cloud_run_job", "tally-rollup")
    assert matches(counted["filter"], found)
    assert at(found, counted["value_extractor"]) == 2


def notify(store: Store, kind: str, payload: Mapping[str, Any], target: Target) -> None:
    """Has the rollup tell something to one target."""
    with store.transaction() as connection:
        outbox.notify(connection, outbox.new_id(), kind, payload, [target])
    tell(store, "rollup", private_webhooks=False)


def test_crossed_budgets_are_counted_from_what_the_rollup_tells(
    store: Store, log: Callable[[], dict[str, Any]]
) -> None:
    notify(store, crossings.KIND, {"budget_id": "b-1", "spent": 90}, Target("log"))
    counted, found = metric("budgets_crossed"), entry(log(), "cloud_run_job", "tally-rollup")
    assert matches(counted["filter"], found)
    assert at(found, counted["label_extractors"]) == "b-1"


def test_crossings_that_nobody_can_be_told_are_counted(store: Store, log: Callable[[], dict[str, Any]]) -> None:
    notify(store, crossings.KIND, {}, Target("webhook", "removed"))
    counted, found = metric("budgets_untold"), entry(log(), "cloud_run_job", "tally-rollup")
    assert matches(counted["filter"], found)
    assert at(found, counted["label_extractors"]) == "notification given up"


def test_budgets_of_which_nobody_knows_whether_they_are_crossed_are_counted(
    store: Store, database_url: str, log: Callable[[], dict[str, Any]]
) -> None:
    budgets.make(store, thresholds=[50])
    execute(database_url, "UPDATE budgets SET timezone = 'Nowhere/City'")
    crossings.notice(store, datetime.now(UTC), "rollup", None)
    counted, found = metric("budgets_untold"), entry(log(), "cloud_run_job", "tally-rollup")
    assert matches(counted["filter"], found)
    assert at(found, counted["label_extractors"]) == "budget not evaluated"


def test_unexpected_errors_of_small_functions_are_counted(log: Callable[[], dict[str, Any]]) -> None:
    assert status(service("ingest", {"/": {"GET": fails}}), request("GET", "/")) == 500
    counted, found = metric("unexpected_errors"), entry(log(), "cloud_run_revision", "tally-ingest")
    assert matches(counted["filter"], found)
    assert at(found, counted["label_extractors"]) == "ingest"


def test_unexpected_errors_of_applications_are_counted(store: Store, log: Callable[[], dict[str, Any]]) -> None:
    app = application("query", SchemaGuard(store))
    app.add_route("/", fails)

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://query") as client:
            return (await client.get("/")).status_code

    assert asyncio.run(ask()) == 500
    counted, found = metric("unexpected_errors"), entry(log(), "cloud_run_revision", "tally-query")
    assert matches(counted["filter"], found)
    assert at(found, counted["label_extractors"]) == "query"


def test_what_comes_again_is_no_unexpected_error(log: Callable[[], dict[str, Any]]) -> None:
    async def unavailable(_request: Request) -> Response:
        raise StoreUnavailable("The database is away.")

    assert status(service("ingest", {"/": {"GET": unavailable}}), request("GET", "/")) == 503
    found = entry(log(), "cloud_run_revision", "tally-ingest")
    assert not matches(metric("unexpected_errors")["filter"], found)
