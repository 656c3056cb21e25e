"""Text to small integer keys: which text fields of an event are dimensions, and the keys of their values.

A key is made once, committed by itself, and never changes, so that processes may remember it for as long as they
like. What is remembered is bounded.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from sqlalchemy import Connection

from tally import jsontext
from tally.database import Store, statement

# kind of dimension by the event's field; the column of a kind is `<kind>_key`
KIND_OF_FIELD: Mapping[str, str] = {
    "source": "source",
    "organization_id": "organization",
    "team_id": "team",
    "user_id": "user",
    "token_hash": "token",
    "token_type": "token_type",
    "route": "route",
    "method": "method",
    "error_type": "error_type",
    "provider": "provider",
    "model": "model",
    "agent_id": "agent",
    "operation": "operation",
    "platform": "platform",
    "content_type": "content_type",
    "task_type": "task_type",
}
SENDER = "sender"
CURRENCY = "currency"


# kind, scope, text. The scope is the organization's key for users and senders, else 0. A plain tuple, because a
# recorder makes a dozen for every event.
Value: TypeAlias = tuple[str, int, str]


def digest(text: str) -> str:
    """Half of the SHA-256 of `text`, in the form of a UUID: what `dimensions.digest` holds."""
    hexadecimal = hashlib.sha256(text.encode()).hexdigest()
    return f"{hexadecimal[:8]}-{hexadecimal[8:12]}-{hexadecimal[12:16]}-{hexadecimal[16:20]}-{hexadecimal[20:32]}"


class Dimensions:
    """The keys of dimension values. Remembers up to `capacity` of them; then it forgets the oldest.

    Threads may share it: what is remembered is replaced, never changed.
    """

    def __init__(self, store: Store, capacity: int = 100_000) -> None:
        self._store = store
        self._capacity = capacity
        self._known: dict[Value, int] = {}

    @property
    def known(self) -> Mapping[Value, int]:
        """The keys that are remembered."""
        return self._known

    def keys(self, values: Iterable[Value]) -> Mapping[Value, int]:
        """The keys of `values`, and of others too; new values get one.

        Raises:
            StoreUnavailable: the database is away.
        """
        known = self._known
        unknown = [value for value in values if value not in known]
        if not unknown:
            return known
        with self._store.connect() as connection:
            found = _find(connection, unknown)
            if missing := [value for value in unknown if value not in found]:
                _add(connection, missing)
                found |= _find(connection, missing)
        # A new mapping: the caller still holds the old one when values are forgotten.
        merged = known | found
        excess = len(merged) - self._capacity
        self._known = dict(list(merged.items())[excess:]) if excess > 0 else merged
        return merged


def _find(connection: Connection, values: list[Value]) -> dict[Value, int]:
    wanted = [
        {"position": position, "kind": kind, "scope": scope, "digest": digest(text)}
        for position, (kind, scope, text) in enumerate(values)
    ]
    rows = connection.execute(statement("dimensions", "find_dimensions"), {"wanted": jsontext.dump(wanted).decode()})
    return {values[row.position]: row.key for row in rows}


def _add(connection: Connection, values: list[Value]) -> None:
    wanted = [{"kind": kind, "scope": scope, "digest": digest(text), "value": text} for kind, scope, text in values]
    connection.execute(statement("dimensions", "add_dimensions"), {"wanted": jsontext.dump(wanted).decode()})
