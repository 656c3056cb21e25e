"""Asking ingest, and looking at how it refuses."""

from typing import Any

import httpx

from tests.support.functions import Stack

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def post(stack: Stack, body: bytes, headers: dict[str, str] = JSON, path: str = "/v1/events") -> httpx.Response:
    return stack.ingest.post(path, content=body, headers=headers)


def problem(answer: httpx.Response, status: int, says: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body.keys() <= {"type", "title", "status", "detail", "errors"}
    assert says in body["detail"]
    return body
