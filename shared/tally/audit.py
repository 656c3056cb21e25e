"""The audit log: who changed what and when, how it was before and is now."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from tally import jsontext
from tally.database import statement
from tally.principal import Principal


def write(
    connection: Connection,
    actor: Principal,
    action: str,
    kind: str,
    subject_id: object,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Notes a change in the transaction that makes it.

    Args:
        connection: an open transaction.
        actor: who changed it; on the command line a principal without id.
        action: what was done, such as `create`.
        kind: what it was done to, such as `price`.
        subject_id: which of them.
        before: its fields before, None where it is new.
        after: its fields now, None where it is gone. Neither may hold a secret.
    """
    connection.execute(
        statement("audit", "write"),
        {
            "actor": actor.name,
            "actor_id": actor.token_id or None,
            "action": action,
            "kind": kind,
            "subject_id": str(subject_id),
            "before": None if before is None else jsontext.dump(before).decode(),
            "after": None if after is None else jsontext.dump(after).decode(),
        },
    )
