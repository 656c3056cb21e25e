"""Paths alone decide which function answers."""

import pytest

from tally.routes import function_for


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("/v1/events", "ingest"),
        ("/api/v1/events", "ingest"),
        ("/api/usage-log", "ingest"),
        ("/v1/litellm", "ingest"),
        ("/v1/traces", "ingest"),
        ("/v1/usage", "query"),
        ("/v1/usage/events", "query"),
        ("/v1/eventsource", "query"),
        ("/api/v1/billing/usage/tokens/summary", "query"),
        ("/api/usage/stats", "query"),
        ("/docs", "query"),
        ("/openapi.json", "query"),
        ("/health/ready", "query"),
        ("/push", None),
        ("/", None),
        ("", None),
        ("/v2/events", None),
        ("//v1/events", None),
        ("/api/usage-logs", None),
    ],
)
def test_the_longest_known_prefix_of_whole_segments_decides(path: str, function: str | None) -> None:
    assert function_for(path) == function
