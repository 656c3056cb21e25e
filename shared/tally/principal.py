"""Who a request comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """A token, what it may do (with what its scopes imply), and to whom it is bound."""

    token_id: str
    name: str
    scopes: frozenset[str]
    organization_id: str | None = None
    team_id: str | None = None
    user_id: str | None = None
