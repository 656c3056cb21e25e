"""Requests made from the description of the interface, good and bad: what is answered is what is described."""

from collections.abc import Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tally.http.description import document
from tally.routes import function_for
from tests.support.functions import ADMIN, Function, Stack, write_json

Case = schemathesis.Case[Any]
_AUTHORIZATION = {"Authorization": f"Bearer {ADMIN}"}
_NOT_CHECKED = {
    # A cursor or a time zone that is made up is a 400, though it is text as described.
    "positive_data_acceptance": {"enabled": False},
    # It sends everything twice more; a test of its own sends less.
    "ignored_auth": {"enabled": False},
}
# Every limit of every parameter in turn, besides random values. Of the fields of an event there are too many.
_NOT_EVERY_LIMIT = {"coverage": {"enabled": False}}


def described(**config: Any) -> schemathesis.BaseSchema:
    """The description as schemathesis reads it."""
    return schemathesis.openapi.from_dict(document(), config=schemathesis.Config.from_dict(config))


QUESTIONS = described(checks=_NOT_CHECKED).exclude(tag="ingest")
# What a dialect cannot use becomes labels, and an empty text counts as not given: ingest takes more than is described.
SENDING = described(
    checks={**_NOT_CHECKED, "negative_data_rejection": {"enabled": False}}, phases=_NOT_EVERY_LIMIT
).include(tag="ingest")
WITHOUT_TOKEN = described(
    checks=_NOT_CHECKED, phases=_NOT_EVERY_LIMIT, generation={"with-security-parameters": False}
).exclude(tag="health")


def some(examples: int) -> settings:
    return settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=[*HealthCheck])


@schemathesis.serializer("application/x-ndjson")
def lines(_context: schemathesis.SerializationContext, body: object) -> bytes:
    return body.encode() if isinstance(body, str) else write_json(body)


@pytest.fixture(scope="module", autouse=True)
def stored(stack: Stack) -> None:
    """Events of several organizations, so that answers have something in them."""
    events = [
        {
            "route": f"/v1/{number % 5}", "status": 200 + number * 10, "token_hash": "cd" * 32, "cost_usd": "0.0125",
            "organization_id": f"organization {number % 3}", "user_id": f"user {number % 4}", "model": "gpt-4o",
            "operation": "TEXT_GENERATION", "total_tokens": number, "topic": "Весна", "response_time_ms": number,
        }
        for number in range(30)
    ]  # fmt: skip
    assert stack.send(events).status_code == 202


def answered(stack: Stack, case: Case, headers: Mapping[str, str]) -> schemathesis.Response:
    """The answer to a request; what it is must be described."""
    function: Function = getattr(stack, str(function_for(case.operation.path)))
    return case.call_and_validate(base_url=function.url, headers={**headers})


@QUESTIONS.parametrize()
@some(examples=15)
def test_a_question_is_answered_as_described(case: Case, stack: Stack) -> None:
    answered(stack, case, _AUTHORIZATION)


@SENDING.parametrize()
@some(examples=60)
def test_what_is_sent_is_answered_as_described(case: Case, stack: Stack) -> None:
    answered(stack, case, _AUTHORIZATION)


@WITHOUT_TOKEN.parametrize()
@some(examples=4)
def test_without_a_token_nothing_is_answered(case: Case, stack: Stack) -> None:
    answer = answered(stack, case, {})
    nothing_there = answer.status_code == 404 and "There is nothing at" in answer.text  # the id is no number
    assert answer.status_code == 401 or nothing_there
