"""The description of the endpoints is valid and says what they do."""

from typing import Any

import pytest
from openapi_spec_validator import validate

from tally.usage.question import DIMENSIONS, METRICS
from tests.support.functions import Stack


@pytest.fixture
def description(stack: Stack) -> dict[str, Any]:
    answer = stack.query.get("/openapi.json", None)
    assert answer.status_code == 200
    content: dict[str, Any] = answer.json()
    return content


def test_the_description_is_valid(description: dict[str, Any]) -> None:
    validate(description)


def test_every_described_path_answers_the_example_of_what_it_must_be_told(
    stack: Stack, description: dict[str, Any]
) -> None:
    assert stack.send({"route": "/v1/chat", "token_hash": "cd" * 32}).status_code == 202
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            required = {
                one["name"]: (one["in"], one["schema"]["examples"][0])
                for one in operation.get("parameters", ())
                if one["required"]
            }
            url = path.format(**{name: example for name, (where, example) in required.items() if where == "path"})
            given = {name: example for name, (where, example) in required.items() if where == "query"}
            assert stack.query.request(method.upper(), url, params=given).status_code == 200


def test_what_may_be_asked_is_described_and_the_example_works(stack: Stack, description: dict[str, Any]) -> None:
    parameters = {one["name"]: one for one in description["paths"]["/v1/usage"]["get"]["parameters"]}
    assert parameters.keys() >= {"metrics", "group_by", "window", "from", "to", "timezone", *DIMENSIONS}
    assert all(metric in parameters["metrics"]["description"] for metric in METRICS)
    example = {name: one["example"] for name, one in parameters.items() if "example" in one}
    assert stack.query.get("/v1/usage", params=example).status_code == 200


def test_a_bad_parameter_is_described_as_the_400_that_it_is(stack: Stack, description: dict[str, Any]) -> None:
    assert stack.query.get("/api/usage/stats?hours=x").status_code == 400
    for operations in description["paths"].values():
        assert "422" not in operations["get"]["responses"]
    responses = description["paths"]["/api/usage/stats"]["get"]["responses"]
    assert "application/problem+json" in responses["4XX"]["content"]


def test_the_pages_of_the_description_answer(stack: Stack) -> None:
    answer = stack.query.get("/docs", None)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "/openapi.json" in answer.text
