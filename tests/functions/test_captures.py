"""What real clients sent, replayed byte for byte: what counts, and what is kept as a dead letter."""

import json
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.functions.answers import post
from tests.support.functions import Functions, Stack, start_stack
from tests.support.postgres import Server, rows, scalar

CAPTURES = Path(__file__).parents[1] / "captures"


@pytest.fixture(scope="module")
def stack(postgres: Server, module_functions: Functions) -> Iterator[Stack]:
    """One that keeps raw events for a hundred years: captures are not made again."""
    url = postgres.create()
    yield start_stack(module_functions, url, raw_retention_days=36_500)
    module_functions.stop_all()
    postgres.drop(url)


def capture(name: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers; those that belong to the connection are left to the client."""
    found = json.loads((CAPTURES / f"{name}.json").read_text())
    of_the_connection = {"host", "connection", "content-length", "authorization"}
    headers = {key: value for key, value in found["headers"] if key.lower() not in of_the_connection}
    return b64decode(found["raw_b64"]), headers


@pytest.mark.parametrize(
    ("name", "source", "user", "expected"),
    [
        ("cloudevents_ce1_structured", "/apps/chat", "cust_42", {"2026-11-22T10:43:40.566677": ("evt-1", 29)}),
        ("cloudevents_ce1_binary", "/apps/chat", "cust_42", {"2026-11-22T10:43:40.574110": ("evt-2", 29)}),
        ("openmeter_ingest_event", "my-app", "customer-1", {"2026-11-22T10:43:41.269176": ("evt-1", 100)}),
        (
            "openmeter_ingest_events",
            "my-app",
            "customer-1",
            {"2026-11-22T10:43:41.280838": ("evt-2", 100), "2026-11-22T10:43:41.281267": ("evt-3", 100)},
        ),
        (
            "litellm_openmeter_ok",
            "litellm-proxy",
            "cust_42",
            {"2026-11-22T10:35:59.934871": ("chatcmpl-7cbfc57a-48f1-40f3-895e-c4d65e45eb30", 30)},
        ),
    ],
)
def test_a_captured_request_is_taken_byte_for_byte_and_counts_once(
    stack: Stack, name: str, source: str, user: str, expected: dict[str, tuple[str, int]]
) -> None:
    body, headers = capture(name)
    for _ in range(2):
        answer = post(stack, body, headers)
        assert answer.status_code == 202
        assert answer.json()["ids"] == [event_id for event_id, _ in expected.values()]
    times = [datetime.fromisoformat(time).replace(tzinfo=UTC) for time in expected]
    stored = rows(
        stack.database_url,
        "SELECT time, id, total_tokens FROM usage_events WHERE time = ANY(%s) ORDER BY time",
        (times,),
    )
    assert stored == [(time, *event) for time, event in zip(times, expected.values(), strict=True)]
    found = stack.usage(from_="2026-11-22", to="2026-11-23", source=source, user_id=user, group_by="model")
    assert [row["model"] for row in found["rows"]] == ["gpt-4o"]


def test_a_captured_cost_is_kept_to_the_digit(stack: Stack) -> None:
    body, headers = capture("litellm_openmeter_ok")
    assert post(stack, body, headers).status_code == 202
    cost = scalar(
        stack.database_url, "SELECT cost_usd::text FROM usage_events WHERE cost_usd BETWEEN 0.0002 AND 0.0003"
    )
    assert cost == "0.00022500000000000002"


@pytest.mark.parametrize(
    ("name", "message_id", "attributes"),
    [
        ("pubsub_push_wrapped_plain", "1", {}),
        ("pubsub_push_wrapped_attrs", "4", {"event_type": "ai.tokens"}),
        ("pubsub_push_unwrapped_meta_attrs", "4", {"event_type": "ai.tokens"}),
    ],
)
def test_a_captured_push_that_is_no_usage_event_is_kept_with_its_bytes_and_the_reason(
    stack: Stack, name: str, message_id: str, attributes: dict[str, str]
) -> None:
    body, headers = capture(name)
    for _ in range(2):
        assert stack.record.post("/push", None, content=body, headers=headers).status_code == 204
    [(data, reason, kept)] = rows(
        stack.database_url, "SELECT data, reason, attributes FROM dead_letters WHERE message_id = %s", (message_id,)
    )
    assert json.loads(bytes(data)) == {"event_id": "e1", "tokens": 42}
    assert "event_id: is not a field of a usage event" in reason
    assert "tokens: is not a field of a usage event" in reason
    assert attributes.items() <= kept.items()
