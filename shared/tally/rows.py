"""From events to rows of `usage_events`: text becomes keys, and what follows from other fields is filled in. Pure."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tally.costing import Pricing, counted, has_price
from tally.dimensions import CURRENCY, KIND_OF_FIELD, SENDER, Value
from tally.estimation import Estimation
from tally.event import TOKEN_COUNTS, UsageEvent

# Of the fields that are dimensions but for the user, whose key depends on the organization: kind and column.
_KEYED = {field: (kind, f"{kind}_key") for field, kind in KIND_OF_FIELD.items() if kind != "user"}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_ORGANIZATION = "organization"
_USER = "user"
_OWN_REPORTS = ("USD", "RUB")
_AMOUNTS = ("response_time_ms", "cost", "cost_usd", "cost_rub", "list_cost")


@dataclass(slots=True)  # not frozen: that takes twice as long to make
class Received:
    """An event with an id and a source, who sent it, and when it came (UTC).

    `tenant` is the organization that the sender's token is bound to, or empty for the operator's own senders;
    `index` is the event's place in its message.
    """

    event: UsageEvent
    tenant: str
    received_at: datetime
    index: int = 0


@dataclass(frozen=True, slots=True)
class Costing:
    """How the tokens of events are estimated, and the prices in force; None where no event needs them."""

    estimation: Estimation
    pricing: Pricing | None


def dedupe_key(event_id: str) -> str:
    """The UUID that stands for an event's id within its sender.

    A UUID stands for itself, so that time-ordered ids (UUIDv7) are claimed side by side in the index. Any other
    text, and a UUID of version 8, becomes a version 8 UUID from its SHA-256, which cannot meet the former.
    """
    if _UUID.fullmatch(event_id):
        return event_id
    text = hashlib.sha256(event_id.encode()).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{text[16:20]}-{text[20:32]}"


def unscoped_values(received: Received) -> Iterator[Value]:
    """The dimension values whose key depends on no other key."""
    event = received.event
    for field, kind in KIND_OF_FIELD.items():
        if kind != _USER and field in event:
            yield kind, 0, event[field]  # type: ignore[literal-required]
    if received.tenant:
        yield _ORGANIZATION, 0, received.tenant
    if currencies := _currencies(event):
        yield CURRENCY, 0, currencies


def scoped_values(received: Received, keys: Mapping[Value, int]) -> Iterator[Value]:
    """The user and the sender, which belong to an organization whose key is in `keys`."""
    event = received.event
    yield SENDER, _organization_key(received.tenant, keys), event["source"]
    if "user_id" in event:
        yield _USER, _organization_key(event.get("organization_id", ""), keys), event["user_id"]


def to_row(received: Received, keys: Mapping[Value, int], costing: Costing) -> dict[str, Any]:
    """The columns of one event; columns without a value are left out. Amounts are decimal texts, every digit of them.

    Raises:
        KeyError: the key of a value is not in `keys`.
    """
    event = received.event
    tenant_key = _organization_key(received.tenant, keys)
    row: dict[str, Any] = {
        "key": dedupe_key(event["id"]),
        "sender_key": keys[SENDER, tenant_key, event["source"]],
        "received_at": received.received_at,
        "time": received.received_at,
    }
    for field, value in event.items():
        keyed = _KEYED.get(field)
        if keyed is None:
            row[field] = value
        else:
            row[keyed[1]] = keys[keyed[0], 0, value]  # type: ignore[index]
    if "user_id" in event:
        row["user_key"] = keys[_USER, row.get("organization_key", 0), row.pop("user_id")]
    _fill_tokens(row, event, costing.estimation)
    currencies = _currencies(event)
    if currencies:
        _fill_cost(row, currencies, keys)
    if costing.pricing is not None and has_price(event):
        _fill_price(row, event, costing.pricing, is_given=bool(currencies))
    for name in _AMOUNTS:
        if name in row:
            row[name] = str(row[name])
    return row


def _organization_key(organization: str, keys: Mapping[Value, int]) -> int:
    return keys[_ORGANIZATION, 0, organization] if organization else 0


def _fill_tokens(row: dict[str, Any], event: UsageEvent, estimation: Estimation) -> None:
    """The total is the sum unless it was given; without any count, counts are estimated from text lengths."""
    if row.keys().isdisjoint(TOKEN_COUNTS):
        for part in ("input", "output"):
            length = row.get(f"{part}_text_length")
            if length is not None:
                row[f"{part}_tokens"] = estimation.tokens(event.get("provider"), length)
                row["tokens_estimated"] = True
        if "tokens_estimated" not in row:
            return
    if "total_tokens" not in row:
        row["total_tokens"] = row.get("input_tokens", 0) + row.get("output_tokens", 0)


def _currencies(event: UsageEvent) -> str:
    """The currencies that the cost was given in, such as "EUR,USD": the first is that of `cost`."""
    given = [event["cost"]["currency"]] if "cost" in event else []
    given += [code for code in _OWN_REPORTS if f"cost_{code.lower()}" in event and code not in given]
    return ",".join(given)


def _fill_cost(row: dict[str, Any], currencies: str, keys: Mapping[Value, int]) -> None:
    first = currencies[:3]
    amount: Decimal = row["cost"]["amount"] if "cost" in row else row[f"cost_{first.lower()}"]
    row["cost"] = amount
    if first in _OWN_REPORTS:
        row[f"cost_{first.lower()}"] = amount
    row["currency_key"] = keys[CURRENCY, 0, currencies]


def _fill_price(row: dict[str, Any], event: UsageEvent, pricing: Pricing, *, is_given: bool) -> None:
    """What the price in force makes of the event: its cost, or kept beside the one that the sender gave."""
    priced = pricing.price(counted(event, row), row["time"])
    if priced is None:
        return
    row["price_id"] = priced.price_id
    key = pricing.currency_keys[priced.currency]
    if is_given:
        row["list_cost"], row["list_currency_key"] = priced.amount, key
        return
    row["cost"], row["currency_key"] = priced.amount, key
    if priced.currency in _OWN_REPORTS:
        row[f"cost_{priced.currency.lower()}"] = priced.amount
