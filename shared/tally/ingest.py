"""Ingest: what a client sent becomes durable in Pub/Sub, or is refused with the reason."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import uuid_utils

from tally import intake, jsontext
from tally.dialects import gateway
from tally.errors import FieldError, Unprocessable
from tally.event import MAX_EVENT_BYTES, MAX_PUBLISHED_EVENT_BYTES, InvalidEvent, UsageEvent, Window
from tally.groupcommit import GroupCommit
from tally.intake import Rejected
from tally.message import TENANT
from tally.principal import Principal
from tally.publisher import Publisher

_BYTES_PER_WEIGHT = 4096
_MESSAGE_WEIGHT = 1000
_QUEUE_WEIGHT = 50_000
_IN_FLIGHT = 2
_BOUND = ("organization_id", "team_id", "user_id")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became durable (the ids in the order sent) and what was refused."""

    ids: list[str]
    rejected: list[Rejected]


class Ingest:
    """Takes events for one process. Events of several requests and one tenant share a message."""

    def __init__(self, publisher: Publisher, retention_days: int) -> None:
        self._publisher = publisher
        self._retention_days = retention_days
        self._group = GroupCommit(self._publish, capacity=_MESSAGE_WEIGHT, writers=_IN_FLIGHT, queue=_QUEUE_WEIGHT)

    async def events(
        self, body: bytes, headers: Mapping[str, str], principal: Principal, received_at: datetime
    ) -> Accepted:
        """Takes the events of a request in any of Tally's formats.

        Raises:
            RequestError: the request cannot be read, or holds no good event.
            PublisherUnavailable, Overloaded: not confirmed; the client should send the same ids again.
        """
        body = intake.inflate(body, headers.get("content-encoding", ""))
        items = intake.read_items(body, headers.get("content-type", ""), headers)
        return await self._accept(items, body, principal, received_at)

    async def gateway_call(
        self, body: bytes, headers: Mapping[str, str], principal: Principal, received_at: datetime
    ) -> Accepted:
        """Takes the one call of system D's `POST /api/usage-log`. Raises as `events`."""
        body = intake.inflate(body, headers.get("content-encoding", ""))
        intake.require_json(headers.get("content-type", ""))
        return await self._accept([gateway.read(body, headers)], body, principal, received_at)

    async def _accept(
        self, items: Iterable[object], body: bytes, principal: Principal, received_at: datetime
    ) -> Accepted:
        window = Window.at_receipt(received_at, self._retention_days)
        batch = intake.take(items, body, window, MAX_EVENT_BYTES)
        ids: list[str] = []
        good: list[bytes] = []
        rejected = list(batch.rejected)
        for index, event in batch.events:
            try:
                text = _published(event, principal)
            except InvalidEvent as error:
                rejected.append(Rejected(index, event.get("id"), error.errors, b""))
                continue
            ids.append(event["id"])
            good.append(text)
        rejected.sort(key=lambda one: one.index)
        if not good:
            raise Unprocessable(
                "No event was taken." if rejected else "There is no event in the request.",
                [{"index": one.index, **error} for one in rejected for error in one.errors],
            )
        tenant = principal.organization_id or ""
        await asyncio.gather(*(self._group.submit(part, weight, tenant) for part, weight in _parts(good)))
        return Accepted(ids, rejected)

    async def _publish(self, tenant: str, parts: Sequence[bytes]) -> None:
        await self._publisher.publish(b"[" + b",".join(parts) + b"]", {TENANT: tenant} if tenant else {})


def _published(event: UsageEvent, principal: Principal) -> bytes:
    """The event as it is published: with an id, a source, and whom the token is bound to.

    Raises:
        InvalidEvent: it names somebody else than the token is bound to, or has become too large to be stored.
    """
    if faults := _bind(event, principal):
        raise InvalidEvent(faults)
    event.setdefault("source", principal.name)
    if "id" not in event:
        event["id"] = str(uuid_utils.uuid7())
    text = jsontext.dump(event)
    intake.require_small(len(text), MAX_PUBLISHED_EVENT_BYTES)
    return text


def _bind(event: UsageEvent, principal: Principal) -> list[FieldError]:
    """Sets what the token is bound to; faults where the event says otherwise."""
    faults: list[FieldError] = []
    for field in _BOUND:
        bound = getattr(principal, field)
        if bound is None:
            continue
        if event.setdefault(field, bound) != bound:  # type: ignore[misc]
            value = str(event.get(field))[:100]
            faults.append({"field": field, "message": f'this token sends for "{bound}" only', "value": value})
    return faults


def _parts(events: Iterable[bytes]) -> list[tuple[bytes, int]]:
    """Events, each JSON, separated by commas and cut so that each part fits into a message, with its weight."""
    parts: list[tuple[bytes, int]] = []
    texts: list[bytes] = []
    weight = 0
    for text in events:
        heavy = 1 + len(text) // _BYTES_PER_WEIGHT
        if texts and weight + heavy > _MESSAGE_WEIGHT:
            parts.append((b",".join(texts), weight))
            texts, weight = [], 0
        texts.append(text)
        weight += heavy
    return [*parts, (b",".join(texts), weight)]
