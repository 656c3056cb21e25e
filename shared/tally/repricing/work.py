"""Pricing events again: what they would cost with the prices in force now, and making it so.

It goes through events in order of time, in batches. A batch is one transaction: its events, the cubes of costs and how
far the repricing is change together, so that every figure is exact at any moment, and whoever goes on after a crash
goes on behind the last batch. While a batch is at work nothing is folded and no price changes; events are stored.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import uuid_utils
from sqlalchemy import Connection, RowMapping

from tally import audit, jsontext, prices
from tally.costing import Pricing
from tally.cubes import OWN_CURRENCIES
from tally.database import PricesChanged, QuestionTooLarge, Store, array_text, statement
from tally.dimensions import CURRENCY, Dimensions
from tally.errors import NotFound
from tally.event import UsageEvent
from tally.folding import folding_of_costs
from tally.principal import Principal
from tally.repricing.changes import Amount, Changes

KIND = "repricing"
EVENTS_A_BATCH = 2000
_LAST_SEQ = 2**63 - 1
_BEGINNING: Mapping[str, Any] = {"at_time": "-infinity", "at_seq": -1}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which events: of a provider and a model (`*` at the end for all that begin so), from `lower` up to `upper` (UTC).

    What is None is not looked at. Only events with a model have a price.
    """

    provider: str | None = None
    model: str | None = None
    lower: datetime | None = None
    upper: datetime | None = None


@dataclass(frozen=True, slots=True)
class Repricing:
    """One that was begun: how many events it has looked at, what it changed so far, and when it was done (UTC)."""

    id: str
    scope: Scope
    created_at: datetime
    created_by: str
    events: int
    changes: list[dict[str, Any]]
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Costs:
    """The columns of an event that prices fill."""

    cost: Amount | None
    list_cost: Amount | None
    price_id: int | None


def preview(store: Store, scope: Scope, seconds: float = math.inf) -> list[dict[str, Any]]:
    """What a repricing would change now, as `Changes.fields`.

    Raises:
        QuestionTooLarge: that takes longer than `seconds`.
        StoreUnavailable: the database is away.
    """
    until = time.monotonic() + seconds
    changes = Changes()
    with store.snapshot() as connection:
        pricing, codes = Pricing(prices.load(connection), {}), _codes(connection)
        walk, place = _Walk.through(connection, scope), _BEGINNING
        while events := walk.batch(connection, place, EVENTS_A_BATCH):
            for event in events:
                now = _now(event, codes)
                _note(changes, event, now, _then(event, now, pricing))
            if time.monotonic() > until:
                raise QuestionTooLarge("These are too many events for a preview in time: take a model, or from and to.")
            place = _place(events)
    return changes.fields()


def begin(connection: Connection, actor: Principal, scope: Scope) -> str:
    """Makes a repricing that `go_on` then works on; returns its id. In the audit log as begun."""
    repricing_id = str(uuid_utils.uuid7())
    given = {"provider": scope.provider, "model": scope.model, "lower_time": scope.lower, "upper_time": scope.upper}
    connection.execute(statement("repricing", "begin"), {"id": repricing_id, "created_by": actor.name, **given})
    audit.write(connection, actor, "begin", KIND, repricing_id, after=given)
    return repricing_id


def find(connection: Connection, repricing_id: str) -> Repricing:
    """A repricing and how far it is.

    Raises:
        NotFound: there is none with this id.
    """
    row = connection.execute(statement("repricing", "one"), {"id": repricing_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no repricing {repricing_id[:100]}.")
    return _repricing(row)


def page(connection: Connection, behind: str | None, rows: int) -> list[Repricing]:
    """At most `rows` repricings, newest first, older than the id `behind`."""
    given = {"behind": behind, "rows": rows}
    return [_repricing(row) for row in connection.execute(statement("repricing", "page"), given).mappings()]


def unfinished(store: Store) -> list[str]:
    """The ids of those that are not done, the oldest first."""
    with store.connect() as connection:
        return list(connection.execute(statement("repricing", "unfinished")).scalars())


def go_on(store: Store, repricing_id: str, seconds: float, events_a_batch: int = EVENTS_A_BATCH) -> None:
    """Works on a repricing until it is done or `seconds` have passed. Returns at once where another one works on it.

    Raises:
        StoreUnavailable: the database is away; what was committed stays, and the next call goes on behind it.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pricing = _pricing(store)
        try:
            while _step(store, repricing_id, pricing, events_a_batch):
                if time.monotonic() > until:
                    return
        except PricesChanged:
            continue
        return


def _pricing(store: Store) -> Pricing:
    """The prices in force; keys are made in a transaction of their own."""
    with store.connect() as connection:
        book = prices.load(connection)
    keys = Dimensions(store).keys((CURRENCY, 0, code) for code in book.currencies)
    return Pricing(book, {code: keys[CURRENCY, 0, code] for code in book.currencies})


def _step(store: Store, repricing_id: str, pricing: Pricing, events_a_batch: int) -> bool:
    """Prices a batch again; whether another one follows.

    Raises:
        PricesChanged: other prices are in force by now; nothing was changed.
    """
    with store.transaction() as connection:
        row = connection.execute(statement("repricing", "take"), {"id": repricing_id}).mappings().one_or_none()
        if row is None:
            return False
        watermark = connection.execute(statement("repricing", "hold_folding")).scalar_one()
        connection.execute(statement("repricing", "take_book"), {"version": pricing.book.version})
        place = _BEGINNING if row["at_time"] is None else {name: row[name] for name in _BEGINNING}
        walk = _Walk.through(connection, _repricing(row).scope, row["until_seq"])
        events = walk.batch(connection, place, events_a_batch)
        changes, codes = Changes(_repricing(row).changes), _codes(connection)
        changed = []
        for event in events:
            now = _now(event, codes)
            then = _then(event, now, pricing)
            if now != then:
                changed.append((event, then))
                _note(changes, event, now, then)
        if changed:
            _change(connection, changed, pricing, watermark)
        finished = len(events) < events_a_batch
        connection.execute(
            statement("repricing", "go_on"),
            {
                "id": repricing_id,
                **(_place(events) if events else place),
                "events": len(events),
                "changes": jsontext.dump(changes.fields()).decode(),
                "finished": finished,
            },
        )
        if finished:
            actor = Principal("", row["created_by"], frozenset())
            audit.write(connection, actor, "finish", KIND, repricing_id, after={"changes": changes.fields()})
        return not finished


def _change(
    connection: Connection, changed: Sequence[tuple[Mapping[str, Any], _Costs]], pricing: Pricing, watermark: int
) -> None:
    """Takes what the events cost off the cubes, changes it, and adds it to them again."""
    which = {
        "seqs": [event["seq"] for event, _ in changed],
        "first": changed[0][0]["time"],
        "last": changed[-1][0]["time"],
        "high": watermark,
    }
    connection.execute(folding_of_costs(takes_off=True), which)
    of_sender: list[dict[str, Any]] = []
    of_prices: list[dict[str, Any]] = []
    for event, then in changed:
        (of_sender if _is_given(event) else of_prices).append(_columns(event, then, pricing))
    for name, events in (("change_list", of_sender), ("change", of_prices)):
        if events:
            connection.execute(statement("repricing", name), {"events": jsontext.dump(events).decode()})
    connection.execute(folding_of_costs(takes_off=False), which)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk through the events of a scope in order of time, those up to `until_seq`."""

    given: Mapping[str, Any]

    @classmethod
    def through(cls, connection: Connection, scope: Scope, until_seq: int = _LAST_SEQ) -> "_Walk":
        def keys(kind: str, name: str | None) -> str | None:
            if name is None:
                return None
            return array_text(
                connection.execute(statement("repricing", "keys"), {"kind": kind, "name": name}).scalars()
            )

        return cls(
            {
                "lower_time": scope.lower or "-infinity",
                "upper_time": scope.upper or "infinity",
                "until_seq": until_seq,
                "provider_keys": keys("provider", scope.provider),
                "model_keys": keys("model", scope.model),
            }
        )

    def batch(self, connection: Connection, place: Mapping[str, Any], events: int) -> list[dict[str, Any]]:
        """The next events behind a place."""
        text = connection.execute(statement("repricing", "batch"), {**self.given, **place, "events": events})
        found: list[dict[str, Any]] = jsontext.parse(text.scalar_one().encode())
        return found


def _place(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"at_time": events[-1]["time"], "at_seq": events[-1]["seq"]}


def _codes(connection: Connection) -> dict[int, str]:
    """The currency of a cost by its key; a sender may have given amounts in others beside it."""
    return {key: value[:3] for key, value in connection.execute(statement("repricing", "currencies"))}


def _is_given(event: Mapping[str, Any]) -> bool:
    """Whether the sender said what an event costs."""
    return "list_cost" in event or ("cost" in event and "price_id" not in event)


def _now(event: Mapping[str, Any], codes: Mapping[int, str]) -> _Costs:
    """What an event costs as it is stored."""
    amounts: list[Amount | None] = []
    for name, key in (("cost", "currency_key"), ("list_cost", "list_currency_key")):
        amounts.append((Decimal(event[name]), codes[event[key]]) if name in event else None)
    return _Costs(amounts[0], amounts[1], event.get("price_id"))


def _then(event: Mapping[str, Any], now: _Costs, pricing: Pricing) -> _Costs:
    """What it costs with other prices. A cost that the sender gave stays."""
    priced = pricing.price(cast(UsageEvent, event), datetime.fromisoformat(event["time"]))
    amount = None if priced is None else (priced.amount, priced.currency)
    price_id = None if priced is None else priced.price_id
    return _Costs(now.cost, amount, price_id) if _is_given(event) else _Costs(amount, None, price_id)


def _note(changes: Changes, event: Mapping[str, Any], now: _Costs, then: _Costs) -> None:
    if now.cost != then.cost:
        changes.add(event, now.cost, then.cost)


def _columns(event: Mapping[str, Any], then: _Costs, pricing: Pricing) -> dict[str, Any]:
    columns = {"time": event["time"], "seq": event["seq"], "price_id": then.price_id}
    for name, key, given in (("cost", "currency_key", then.cost), ("list_cost", "list_currency_key", then.list_cost)):
        if given is None or (name == "cost" and _is_given(event)):
            continue
        amount, currency = given
        columns[name], columns[key] = str(amount), pricing.currency_keys[currency]
        if name == "cost" and currency in OWN_CURRENCIES:
            columns[f"cost_{currency.lower()}"] = str(amount)
    return columns


def _repricing(row: RowMapping) -> Repricing:
    scope = Scope(row["provider"], row["model"], row["lower_time"], row["upper_time"])
    return Repricing(
        row["id"],
        scope,
        row["created_at"],
        row["created_by"],
        row["events"],
        jsontext.parse(row["changes"].encode()),
        row["finished_at"],
    )
