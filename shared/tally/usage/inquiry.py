"""What every question comes with: who asks, when, and the snapshot of the database that it is answered from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from tally.errors import Forbidden
from tally.principal import Principal
from tally.usage.keys import filter_keys, scoped_key


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Who asks and when.

    Attributes:
        connection: an open connection; all that is read on it is of one snapshot.
        principal: the caller, who has at least the scope `read`.
        now: the database's time, UTC.
    """

    connection: Connection
    principal: Principal
    now: datetime

    def filters(self, given: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[Any]]:
        """The filters of an engine's `Spec`: those `given` by dimension, and those that keep a caller to its own.

        Raises:
            Forbidden: the token may read only its own and is bound to nobody, or a filter names somebody else.
        """
        given = given or {}
        return filter_keys(self.connection, given) | self._own(given)

    def own_keys(self) -> dict[str, int | None]:
        """The keys that keep a fixed statement to the caller's own, by column; None where nothing restricts it.

        Raises:
            Forbidden: the token may read only its own and is bound to nobody.
        """
        own = self._own({})
        return {column: own[column][0] if column in own else None for column in ("organization_key", "user_key")}

    def _own(self, given: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
        if "read:all" in self.principal.scopes:
            return {}
        own = {"organization_id": self.principal.organization_id, "user_id": self.principal.user_id}
        if not any(own.values()):
            raise Forbidden(
                'This token has the scope "read" but is bound to no organization or user, so nothing is its own; '
                'a token with the scope "read:all" sees everything.'
            )
        for name, mine in own.items():
            if mine is not None and any(value != mine for value in given.get(name, ())):
                raise Forbidden(f"This token sees only its own {name}.")
        keys: dict[str, list[Any]] = {}
        organization = 0
        if self.principal.organization_id is not None:
            organization = scoped_key(self.connection, "organization", self.principal.organization_id)
            keys["organization_key"] = [organization]
        if self.principal.user_id is not None:
            keys["user_key"] = [scoped_key(self.connection, "user", self.principal.user_id, organization)]
        return keys
