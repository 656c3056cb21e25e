"""The description of the interface says what the functions do: its examples work, and look like what is answered."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tally.http.description import document
from tally.routes import function_for
from tests.support.functions import Function, Stack, write_json
from tests.support.postgres import execute

PATHS: dict[str, Any] = document()["paths"]
GETS = [path for path, methods in PATHS.items() if "get" in methods]
POSTS = [
    pytest.param(path, kind, example, id=f"{path} {kind} {name}")
    for path, methods in PATHS.items()
    if "post" in methods
    for kind, content in methods["post"]["requestBody"]["content"].items()
    for name, example in (
        {name: one["value"] for name, one in content["examples"].items()}
        if "examples" in content
        else {"example": content["example"]}
    ).items()
]


@pytest.fixture(scope="module", autouse=True)
def stored(stack: Stack) -> None:
    """What the examples of parameters find."""
    call = {"route": "/v1/chat", "token_hash": "cd" * 32, "operation": "TEXT_GENERATION", "total_tokens": 1550}
    assert stack.send(call).status_code == 202
    rates = {"input": 2.5, "cached_input": 1.25, "output": 10}
    price = {"provider": "openai", "model": "gpt-4o*", "currency": "USD", "valid_from": "2026-01-01"}
    assert stack.admin.post("/v1/prices", json={**price, "per_million": rates}).status_code == 201
    rate = {"base": "USD", "quote": "RUB", "rate": "80.5", "date": "2026-05-01", "source": "test"}
    assert stack.admin.post("/v1/exchange-rates", json=rate).status_code == 201
    [budget_id] = PATHS["/v1/budgets/{budget_id}"]["get"]["parameters"]
    execute(
        stack.database_url,
        'INSERT INTO budgets (id, name, amount, currency, "window", timezone, thresholds, hard)'
        f" VALUES ('{budget_id['example']}', 'b', 1, 'USD', 'day', 'UTC', '{{50}}', false)",
    )
    [repricing_id] = PATHS["/v1/prices/reprice/{repricing_id}"]["get"]["parameters"]
    execute(
        stack.database_url,
        "INSERT INTO repricings (id, created_by, until_seq, finished_at)"
        f" VALUES ('{repricing_id['example']}', 'tests', 0, now())",
    )


def function_of(stack: Stack, path: str) -> Function:
    found: Function = getattr(stack, str(function_for(path)))
    return found


def asked_as_shown(path: str) -> tuple[str, dict[str, str]]:
    """Address and query of an endpoint with the examples of its parameters."""
    places: dict[str, dict[str, str]] = {"path": {}, "query": {}}
    for one in PATHS[path]["get"].get("parameters", ()):
        if "example" in one:
            shown = one["example"]
            places[one["in"]][one["name"]] = ",".join(shown) if isinstance(shown, list) else str(shown)
    return path.format(**places["path"]), places["query"]


def keys_of(value: object) -> object:
    """The fields of an object and of the objects in its fields."""
    return {name: keys_of(part) for name, part in value.items()} if isinstance(value, dict) else None


def test_it_is_served_whole(stack: Stack) -> None:
    answer = stack.query.get("/openapi.json", None)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == document()


@pytest.mark.parametrize("path", GETS)
def test_an_answer_to_the_example_has_the_fields_of_the_example(stack: Stack, path: str) -> None:
    url, query = asked_as_shown(path)
    answer = function_of(stack, path).get(url, params=query)
    assert answer.status_code == 200, answer.text
    example = PATHS[path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    assert keys_of(answer.json()) == keys_of(example)


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/usage/events"])
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_file_is_of_the_described_type_and_has_the_columns_of_the_example(stack: Stack, path: str, form: str) -> None:
    url, query = asked_as_shown(path)
    answer = stack.query.get(url, params={**query, "format": form})
    content = PATHS[path]["get"]["responses"]["200"]["content"][answer.headers["Content-Type"]]
    if form == "csv":
        assert answer.text.splitlines()[0] == content["example"].splitlines()[0]


@pytest.mark.parametrize(("path", "kind", "example"), POSTS)
def test_the_example_of_a_body_is_taken(stack: Stack, path: str, kind: str, example: Any) -> None:
    body = example.encode() if isinstance(example, str) else write_json(example)
    answer = function_of(stack, path).post(path, content=body, headers={"Content-Type": kind})
    described = PATHS[path]["post"]["responses"][str(answer.status_code)]["content"]["application/json"]
    assert answer.status_code in {200, 201, 202}
    assert keys_of(answer.json()) == keys_of(described["example"])


@pytest.mark.parametrize("path", PATHS)
def test_all_methods_of_a_path_are_described(stack: Stack, path: str) -> None:
    other = next(method for method in ("PUT", "PATCH", "DELETE") if method.lower() not in PATHS[path])
    answer = function_of(stack, path).request(other, re.sub(r"\{\w+\}", "1", path))
    assert answer.status_code == 405
    assert {*answer.headers["Allow"].split(", ")} == {method.upper() for method in PATHS[path]}


def test_everything_that_takes_events_is_described(stack: Stack) -> None:
    answers = re.findall(r"/[\w/-]+", stack.ingest.get("/nothing").json()["detail"].partition(";")[2])
    assert {*answers} <= PATHS.keys()
    assert "/v1/events" in answers


def references(page: str) -> Iterator[str]:
    yield from re.findall(r'(?:src|href)="([^"]*)"', page)
    yield from re.findall(r"url: '([^']*)'", page)


def test_the_page_that_shows_it_needs_nothing_from_elsewhere(stack: Stack) -> None:
    page = stack.query.get("/docs", None)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "//" not in page.text.replace("// ", "")
    found = [*references(page.text)]
    assert {"/openapi.json", "/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css"} <= {*found}
    for path in found:
        assert function_for(path) == "query"
        assert stack.query.get(path, None).status_code == 200
