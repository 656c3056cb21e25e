"""Made-up usage events that have every field that counts, from a seeded generator."""

import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

TOKENS = [f"{number:064x}" for number in range(1, 8)]
_CHOICES: dict[str, Sequence[Any]] = {
    "organization_id": ["acme", "globex", "Ω-labs"],
    "team_id": ["red", "blue"],
    "user_id": ["anna", "boris", "чен", "dora", "eve"],
    "token_hash": TOKENS,
    "token_type": ["personal", "service"],
    "route": ["/v1/chat", "/v1/images", "/files/{id}", "/v1/embeddings", "/health", "/ü"],
    "method": ["GET", "post", "Delete"],
    "status": [200, 201, 204, 302, 400, 404, 429, 500, 503],
    "error_message": ["boom", "timeout"],
    "error_type": ["rate_limit", "timeout"],
    "provider": ["openai", "anthropic", "gigachat"],
    "model": ["gpt-4", "claude-3", "GigaChat-Pro"],
    "agent_id": ["writer", "critic"],
    "operation": ["TEXT_GENERATION", "IMAGE_GENERATION"],
    "platform": ["telegram", "vk"],
    "content_type": ["post", "story"],
    "task_type": ["draft", "edit"],
}
LABELS: dict[str, Sequence[str]] = {"tier": ["free", "pro"], "region": ["eu", "us", "ап"]}


def random_event(rng: random.Random, time: datetime | None, source: str = "generated") -> dict[str, Any]:
    """An event under canonical names. Every optional field is there or not by chance."""
    event: dict[str, Any] = {"id": str(uuid.UUID(int=rng.getrandbits(128), version=4)), "source": source}
    if time is not None:
        event["time"] = time.isoformat()
    for name, values in _CHOICES.items():
        if rng.random() < (0.2 if name.startswith("error") else 0.6):
            event[name] = rng.choice(values)
    if rng.random() < 0.7:
        event["response_time_ms"] = Decimal(rng.randrange(0, 10_000_000)) / rng.choice([1, 10, 1000, 10**6])
    event |= _counts(rng)
    event |= _costs(rng)
    labels = {name: rng.choice(values) for name, values in LABELS.items() if rng.random() < 0.5}
    if labels:
        event["labels"] = labels
    if not {"route", "model", "operation", "input_tokens", "output_tokens", "total_tokens"} & event.keys():
        event["route"] = "/v1/chat"
    return event


def random_events(rng: random.Random, times: Sequence[datetime], source: str = "generated") -> Iterator[dict[str, Any]]:
    """One event for each of `times`."""
    for time in times:
        yield random_event(rng, time, source)


def _counts(rng: random.Random) -> dict[str, int]:
    kind = rng.random()
    if kind < 0.3:
        return {}
    if kind < 0.5:
        return {f"{part}_text_length": rng.randrange(5000) for part in ("input", "output") if rng.random() < 0.8}
    counts = {f"{part}_tokens": rng.randrange(100_000) for part in ("input", "output") if rng.random() < 0.9}
    if counts.get("input_tokens") and rng.random() < 0.5:
        counts["cached_input_tokens"] = rng.randrange(counts["input_tokens"] + 1)
    if rng.random() < 0.3:
        counts["total_tokens"] = rng.randrange(10**12)
    return counts


def _costs(rng: random.Random) -> dict[str, Any]:
    def amount() -> str:
        return str(Decimal(rng.randrange(-(10**6), 10**9)).scaleb(-rng.choice([2, 6, 9, 18])))

    kind = rng.random()
    if kind < 0.4:
        return {}
    if kind < 0.6:
        return {"cost": {"amount": amount(), "currency": rng.choice(["USD", "RUB", "EUR", "eur", "JPY"])}}
    return {f"cost_{code}": amount() for code in ("usd", "rub") if rng.random() < 0.7}
