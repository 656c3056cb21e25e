"""The description of the interface is whole: everything in it is explained, and it is the one in docs/."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import validate

from tally import __version__
from tally.event import ALIASES, FIELDS
from tally.http.description import document, text
from tally.http.endpoints import ROUTERS
from tally.routes import function_for
from tally.usage.question import DIMENSIONS, FORMATS, METRICS
from tally.usage.windows import WINDOWS

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT = document()


class Operation(NamedTuple):
    method: str
    path: str
    described: dict[str, Any]


OPERATIONS = [
    Operation(method, path, described)
    for path, methods in DOCUMENT["paths"].items()
    for method, described in methods.items()
]
each_operation = pytest.mark.parametrize(
    "operation", [pytest.param(one, id=f"{one.method} {one.path}") for one in OPERATIONS]
)


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = response
    if "$ref" in response:
        found = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return found


def test_the_committed_description_is_the_one_that_the_code_makes() -> None:
    assert COMMITTED.read_text("utf-8") == text(), "docs/openapi.json is not up to date; run make openapi"


def test_it_is_valid_and_of_this_version() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["info"]["version"] == __version__


def test_every_endpoint_that_answers_questions_is_in_it() -> None:
    answered = {route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}
    assert answered
    assert answered <= DOCUMENT["paths"].keys()


def test_operations_have_names_of_their_own() -> None:
    names = [operation.described["operationId"] for operation in OPERATIONS]
    assert len(names) == len({*names})


@each_operation
def test_an_operation_is_public_and_explained(operation: Operation) -> None:
    assert function_for(operation.path) is not None
    assert operation.described["summary"]
    assert {*operation.described["tags"]} <= {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}
    assert [one["name"] for one in operation.described.get("parameters", ()) if not one.get("description")] == []


@each_operation
def test_an_answer_is_described_with_an_example_by_its_very_status(operation: Operation) -> None:
    for status, response in operation.described["responses"].items():
        assert status.isdecimal()
        assert ("content" in resolved(response)) == (status != "204")
        for kind, content in resolved(response).get("content", {}).items():
            assert "example" in content or "examples" in content
            # A call that is denied is an answer to what was asked.
            is_refusal = int(status) >= 400 and status != "429"
            assert (kind == "application/problem+json") == is_refusal


@each_operation
def test_everything_but_health_needs_a_token(operation: Operation) -> None:
    is_open = operation.path.startswith("/health/")
    assert (operation.described.get("security") == []) == is_open
    assert (operation.described["responses"].keys() >= {"401", "403"}) != is_open


def test_a_token_may_be_sent_in_any_of_the_described_ways() -> None:
    assert [{name: []} for name in DOCUMENT["components"]["securitySchemes"]] == DOCUMENT["security"]


def test_what_may_be_asked_is_described() -> None:
    described = {one["name"]: one["schema"] for one in DOCUMENT["paths"]["/v1/usage"]["get"]["parameters"]}
    assert described.keys() >= {"from", "to", "timezone", "currency", "order_by", "limit", "cursor", *DIMENSIONS}
    assert described["metrics"]["items"]["enum"] == [*METRICS]
    assert described["window"]["enum"] == [*WINDOWS]
    assert described["format"]["enum"] == [*FORMATS]


def test_every_name_of_every_field_of_an_event_is_described() -> None:
    described = DOCUMENT["components"]["schemas"]["UsageEvent"]["properties"]
    assert described.keys() == {*FIELDS, *ALIASES}
    assert [name for name, schema in described.items() if not schema["description"]] == []
