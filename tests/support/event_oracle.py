"""What every list of single events must show: the events as they were sent, chosen, ordered and renamed by hand.

Independent of `tally.usage`: plain lists, no SQL. Only the order of events that have the same time is taken from the
store, because it is the order in which they were stored.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from tally import tokens
from tally.database import Store
from tally.rollup import fold_step
from tests.support.events import random_events
from tests.support.half_folded import MOMENTS, NAMES, NOW, made_up_times
from tests.support.oracle import Fact, Oracle, shown
from tests.support.postgres import Server, rows, settings_of
from tests.support.store import batches, record

Item = dict[str, Any]
# Every field of an event, written down here again on purpose.
FIELDS = (
    "id", "source", "time", "organization_id", "team_id", "user_id", "user_name", "token_hash", "token_type", "route",
    "method", "status", "response_time_ms", "error_message", "error_type", "ip_address", "user_agent", "provider",
    "model", "agent_id", "operation", "input_tokens", "output_tokens", "total_tokens", "cached_input_tokens",
    "cache_write_tokens", "reasoning_tokens", "input_text_length", "output_text_length", "cost", "cost_usd", "cost_rub",
    "workflow_id", "content_id", "request_id", "platform", "content_type", "task_type", "topic", "labels",
    "request_metadata", "response_metadata", "price_id", "list_cost", "tokens_estimated", "received_at",
)  # fmt: skip
TOPICS = (
    "Весенняя распродажа", "весна", "ВЕСНА идёт", "Ёлка", "ЁЛКА и ель", "100% off_line", "100 percent", "snake_case",
    "back\\slash", "天氣預報", "今天天氣", "人工智慧的歷史", "AI 天", "Öl für Σίσυφος", "ol fur", "x", "i",
)  # fmt: skip
USER_NAMES = ("Анна Петрова", "АННА", "Борис Ёлкин", "陳大文", "Anna", "anna_b", "Жанна")
# Each is in some of the above or of the tokens' names, but for the last three.
SEARCHES = (
    "весна", "ВЕСНА", "Весн", "аннА", "ёл", "Ёлк", "ЕЛЬ", "天氣", "天", "大文", "人工智慧", "%", "_", "100%", "_c",
    "\\", "а", "i", "AI", "öL", "σί", "gateway", "ATEWAY of", "batch", "анна п", " ", "天a", "елка", "nothing",
)  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """A stored event: as it was sent, as it counts, and when it was received."""

    event: Mapping[str, Any]
    fact: Fact
    received_at: datetime
    seq: int


class EventOracle:
    """All stored events, in any order."""

    def __init__(self, listed: Sequence[Listed], token_names: Mapping[str, tuple[str, str]]) -> None:
        self._newest_first = sorted(listed, key=lambda one: (one.fact.time, one.seq), reverse=True)
        self._token_names = token_names

    def __len__(self) -> int:
        return len(self._newest_first)

    def chosen(
        self,
        filters: Mapping[str, Sequence[str]] | None = None,
        lower: datetime | None = None,
        upper: datetime | None = None,
        *,
        only_ai: bool = False,
        search: str = "",
    ) -> list[Listed]:
        """The events that a list has, in its order."""
        return [
            one
            for one in self._newest_first
            if (lower is None or lower <= one.fact.time)
            and (upper is None or one.fact.time < upper)
            and all(self._text(one, name) in wanted for name, wanted in (filters or {}).items())
            and (not only_ai or self._is_ai(one))
            and self._is_found(one, search)
        ]

    def item(self, one: Listed, zone: tzinfo) -> Item:
        """Every field that an event has a value of, as JSON shows it."""
        item = {name: value for name, value in one.event.items() if value is not None}
        item |= {name: shown(count) for name, count in one.fact.counts.items()}
        item["time"] = one.fact.time.astimezone(zone)
        item["received_at"] = one.received_at.astimezone(zone)
        if "method" in item:
            item["method"] = item["method"].upper()
        if "response_time_ms" in item:
            item["response_time_ms"] = shown(Decimal(item["response_time_ms"]))
        if one.fact.estimated:
            item["tokens_estimated"] = True
        return item | _costs(one)

    def whole_item(self, one: Listed, zone: tzinfo) -> Item:
        """Every field, null where an event has no value, and the name of its token."""
        item = dict.fromkeys(FIELDS) | {"tokens_estimated": False} | self.item(one, zone)
        return item | {"token_name": self._token_name(one)}

    def detailed(self, one: Listed, zone: tzinfo) -> Item:
        """A row of system A's detailed table."""
        item = self.whole_item(one, zone)
        del item["token_name"]
        names = {
            "time": "created_at", "route": "endpoint", "response_time_ms": "execution_time_ms",
            "provider": "ai_provider", "model": "ai_model", "operation": "operation_type",
            "input_tokens": "prompt_tokens", "output_tokens": "completion_tokens",
        }  # fmt: skip
        return {names.get(name, name): value for name, value in item.items()}

    def activity(self, one: Listed, zone: tzinfo) -> Item:
        """An item of system B's activity log."""
        item = self.whole_item(one, zone)
        dollars, cost = item["cost_usd"], item["cost"]
        return {
            "id": item["id"],
            "user_id": item["user_id"],
            "organization_id": item["organization_id"],
            "endpoint": item["route"],
            "method": item["method"],
            "status_code": item["status"],
            "response_time_ms": item["response_time_ms"],
            "total_tokens": item["total_tokens"],
            "cost": dollars if dollars is not None or cost is None else cost["amount"],
            "cost_currency": "USD" if dollars is not None else None if cost is None else cost["currency"],
            "created_at": item["time"],
        }

    def last_record(self, one: Listed, zone: tzinfo) -> Item:
        """One of system D's last records."""
        item = self.whole_item(one, zone)
        return {
            "token_hash": item["token_hash"],
            "route_path": item["route"],
            "used_at": item["time"],
            "response_status": item["status"],
            "response_time_ms": item["response_time_ms"],
            "request_method": item["method"],
            "error_message": item["error_message"],
        }

    def _text(self, one: Listed, name: str) -> str:
        value = one.fact.dimension(name)
        return "" if value is None else str(value)

    def _is_ai(self, one: Listed) -> bool:
        return one.fact.has_tokens or bool({"model", "operation"} & one.event.keys())

    def _token_name(self, one: Listed) -> str | None:
        return self._token_names.get(one.event.get("token_hash", ""), (None, None))[0]

    def _is_found(self, one: Listed, search: str) -> bool:
        texts = [one.event.get("topic"), one.event.get("user_name"), self._token_name(one)]
        return not search or any(_folded(search) in _folded(text) for text in texts if text is not None)


def _folded(text: str) -> str:
    """In lower case, each sign by itself."""
    return "".join(sign.lower() for sign in text)


def _costs(one: Listed) -> Item:
    event, costs = one.event, one.fact.costs
    if not costs:
        return {}
    currency = event["cost"]["currency"].upper() if "cost" in event else next(iter(costs))
    found: Item = {"cost": {"amount": shown(costs[currency]), "currency": currency}}
    return found | {f"cost_{code.lower()}": shown(costs[code]) for code in ("USD", "RUB") if code in costs}


@dataclass(frozen=True)
class EventStore:
    """A database with about 600 events, and what its lists must show."""

    url: str
    store: Store
    oracle: EventOracle


@contextmanager
def event_store(postgres: Server, seed: int = 20260407) -> Iterator[EventStore]:
    """Events of every kind, on and beside the moments and many at the same time; the half of them folded."""
    url = postgres.create()
    rng = random.Random(seed)
    times = made_up_times(rng) + [rng.choice(MOMENTS[10:14]) for _ in range(120)]
    events = [_with_texts(rng, event) for event in random_events(rng, times)]
    store = Store(settings_of(url), "tests")
    tokens.register_reported(store, [(token, *name) for token, name in NAMES.items()])
    half = len(events) // 2
    for part in batches(events[:half], 50):
        record(store, part, NOW)
        if rng.random() < 0.5:
            fold_step(store, events=30)
    while fold_step(store):
        pass
    record(store, events[half:], NOW)
    yield EventStore(url, store, oracle_of(url, events, NOW, NAMES))
    store.dispose()
    postgres.drop(url)


def oracle_of(
    url: str,
    events: Sequence[Mapping[str, Any]],
    received_at: datetime,
    token_names: Mapping[str, tuple[str, str]],
) -> EventOracle:
    """An oracle of events with distinct ids that were stored in the database at `url`."""
    seqs = {str(event_id): seq for event_id, seq in rows(url, "SELECT id, seq FROM usage_events")}
    listed = []
    for event in events:
        alone = Oracle()
        alone.add(event, received_at)
        listed.append(Listed(event, alone.facts[0], received_at, seqs[event["id"]]))
    return EventOracle(listed, token_names)


def _with_texts(rng: random.Random, event: Item) -> Item:
    optional: dict[str, Any] = {
        "topic": rng.choice(TOPICS),
        "user_name": rng.choice(USER_NAMES),
        "ip_address": "2001:db8::1",
        "user_agent": 'curl/8 "quoted", comma\nline',
        "workflow_id": "w-1",
        "content_id": "c-1",
        "request_id": "r-1",
        "request_metadata": {"depth": [1, {"exact": Decimal("0.1000000000000000000001")}], "имя": "значение"},
        "response_metadata": {"big": 10**30, "none": None},
    }
    return event | {name: value for name, value in optional.items() if rng.random() < 0.4}
