"""System D's POST /api/usage-log: what a gateway logs, once for each id, or each post a call of its own."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.functions.answers import JSON, post, problem
from tests.support.functions import Stack


def log(stack: Stack, call: dict[str, Any], **headers: str) -> httpx.Response:
    return post(stack, json.dumps(call).encode(), JSON | headers, "/api/usage-log")


def test_a_gateways_call_is_logged(stack: Stack) -> None:
    call = {
        "token_hash": "AB" * 32, "route": "/d/1", "timestamp": datetime.now(UTC).isoformat(), "response_status": "502",
        "response_time_ms": "12.5", "ip_address": "192.0.2.1", "user_agent": "w", "request_method": "get",
        "error_message": "upstream",
    }  # fmt: skip
    answer = log(stack, call)
    assert (answer.status_code, answer.json()) == (200, {"status": "logged"})
    [row] = stack.usage(route="/d/1", metrics="requests,errors,avg_response_time_ms", group_by="token,method")["rows"]
    assert (row["requests"], row["errors"], float(row["avg_response_time_ms"])) == (1, 1, 12.5)
    assert (row["token"], row["method"]) == ("ab" * 32, "GET")


def test_two_posts_without_an_id_are_two_calls(stack: Stack) -> None:
    assert [log(stack, {"route": "/d/2"}).status_code for _ in range(2)] == [200, 200]
    assert stack.usage(route="/d/2", metrics="requests")["rows"] == [{"requests": 2}]


def test_posts_with_one_id_or_idempotency_key_are_one_call(stack: Stack) -> None:
    for _ in range(2):
        assert log(stack, {"route": "/d/3", "id": "d3"}).status_code == 200
        assert log(stack, {"route": "/d/3"}, **{"Idempotency-Key": "d3"}).status_code == 200
    assert stack.usage(route="/d/3", metrics="requests")["rows"] == [{"requests": 1}]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ({"route": "/d", "response_status": "OK"}, "status"),
        ({"route": "/d", "response_status": "9" * 5000}, "status"),
        ({"route": "/d", "response_time_ms": "fast"}, "response_time_ms"),
        ({"route": "/d", "reponse_status": 200}, "reponse_status"),
        ({"route": "/d", "timestamp": "2026-05-01T12:00:00"}, "time"),
        ({"route": "/d", "token_hash": "ntk_secret"}, "token_hash"),
        ({}, ""),
    ],
)
def test_a_bad_call_is_422_and_named(stack: Stack, call: dict[str, Any], field: str) -> None:
    body = problem(log(stack, call), 422)
    assert [error["field"] for error in body["errors"]] == [field]


@pytest.mark.parametrize("body", [b"[]", b'[{"route": "/d"}]', b"5", b"{"])
def test_what_is_no_call_is_400(stack: Stack, body: bytes) -> None:
    problem(post(stack, body, JSON, "/api/usage-log"), 400)
