"""API tokens: made here, known by their SHA-256 only, with scopes and an organization, team or user to be bound to."""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

import uuid_utils

from tally import jsontext
from tally.database import Store, statement
from tally.errors import StoreUnavailable, Unauthenticated, Unprocessable
from tally.principal import Principal

_LONGEST_BOUND = 2000
_HASH = re.compile(r"[0-9a-f]{64}")
SCOPES = ("ingest", "read", "read:all", "limits", "admin")
_IMPLIED = {"admin": frozenset(SCOPES), "read:all": frozenset({"read", "read:all"})}
_WITHOUT_STORE_SECONDS = 24 * 3600
_REMEMBERED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is there now."""

    id: str
    name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreatedToken(Token):
    """A new token. `secret` is shown this once and kept nowhere."""

    secret: str


def hash_of(secret: str) -> str:
    """The SHA-256 of a secret in hexadecimal, which is what `api_tokens.token_hash` holds."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """`tly_` and 43 characters of base64url: 256 random bits."""
    return "tly_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def create(
    store: Store,
    name: str,
    scopes: Sequence[str],
    *,
    organization_id: str | None = None,
    team_id: str | None = None,
    user_id: str | None = None,
    expires_at: datetime | None = None,
) -> CreatedToken:
    """Makes a token.

    Raises:
        Unprocessable: no name, no scope, one that does not exist, or bound to what no event can name.
    """
    secret = new_secret()
    made = register(
        store,
        name,
        scopes,
        hash_of(secret),
        organization_id=organization_id,
        team_id=team_id,
        user_id=user_id,
        expires_at=expires_at,
    )
    return CreatedToken(made.id, made.name, made.scopes, secret)


def register(
    store: Store,
    name: str,
    scopes: Sequence[str],
    token_hash: str,
    *,
    organization_id: str | None = None,
    team_id: str | None = None,
    user_id: str | None = None,
    expires_at: datetime | None = None,
) -> Token:
    """Makes a token of a secret that was made elsewhere and never comes here; `token_hash` is its `hash_of`.

    Raises:
        Unprocessable: as `create`, and a hash that is none, or that another token has.
    """
    if not 1 <= len(name) <= 200 or "\0" in name:
        raise Unprocessable("A token needs a name of 1 to 200 characters.")
    if not scopes or (unknown := [scope for scope in scopes if scope not in SCOPES]):
        given = f"unknown scope {', '.join(unknown)}" if scopes else "no scope given"
        raise Unprocessable(f"{given}; a token has one or more of {', '.join(SCOPES)}.")
    for bound in (organization_id, team_id, user_id):
        if bound is not None and (not 1 <= len(bound) <= _LONGEST_BOUND or "\0" in bound):
            raise Unprocessable(f"What a token is bound to has 1 to {_LONGEST_BOUND} characters.")
    if not _HASH.fullmatch(token_hash):
        raise Unprocessable("The hash of a token is the SHA-256 of its secret: 64 digits of 0-9 and a-f.")
    token = Token(str(uuid_utils.uuid7()), name, tuple(dict.fromkeys(scopes)))
    with store.connect() as connection:
        added = connection.execute(
            statement("tokens", "add_token"),
            {
                "id": token.id,
                "name": name,
                "token_hash": token_hash,
                "scopes": _array(token.scopes),
                "organization_id": organization_id,
                "team_id": team_id,
                "user_id": user_id,
                "expires_at": expires_at,
            },
        )
    if added.rowcount == 0:
        raise Unprocessable("A token with this hash is there already; a new one needs another secret.")
    return token


def register_admin(store: Store, secret: str, name: str = "admin") -> None:
    """Makes `secret`, chosen by whoever runs this installation, a token with scope admin."""
    with store.connect() as connection:
        connection.execute(
            statement("tokens", "put_token"),
            {"id": str(uuid_utils.uuid7()), "name": name, "token_hash": hash_of(secret), "scopes": "{admin}"},
        )


def register_reported(store: Store, tokens: Iterable[tuple[str, str, str]]) -> None:
    """Gives names and teams to tokens issued elsewhere: triples of hash, name, team. Known ones stay as they are."""
    rows = [
        {"id": str(uuid_utils.uuid7()), "token_hash": token_hash, "name": name, "team_id": team_id}
        for token_hash, name, team_id in tokens
    ]
    with store.connect() as connection:
        connection.execute(statement("tokens", "report_tokens"), {"tokens": jsontext.dump(rows).decode()})


def revoke(store: Store, token_id: str) -> None:
    """Ends a token for good; one that has ended stays so.

    Raises:
        Unprocessable: there is no token of this id.
    """
    with store.connect() as connection:
        ended = connection.execute(statement("tokens", "revoke_token"), {"id": token_id}).one_or_none()
    if ended is None:
        raise Unprocessable(f"There is no token {token_id}; GET /api/usage/token/HASH tells the id of one.")


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A good token: when the database confirmed it, and until when it is not asked again (monotonic seconds)."""

    principal: Principal
    confirmed: float
    trusted_until: float


class Verifier:
    """From secrets to principals. A good answer is remembered for `ttl_seconds`.

    Args:
        without_store: whether a token that was good within the last day is good while the database is away, so
            that events are still taken. An unknown one never is.
    """

    def __init__(self, store: Store, ttl_seconds: float, *, without_store: bool = False) -> None:
        self._store = store
        self._ttl_seconds = ttl_seconds
        self._without_store = without_store
        self._good: dict[str, _Remembered] = {}
        self._lock = Lock()

    def remembered(self, secret: str) -> Principal | None:
        """The principal, where it is still remembered; asks nobody."""
        known = self._good.get(hash_of(secret))
        return known.principal if known is not None and time.monotonic() < known.trusted_until else None

    def verify(self, secret: str) -> Principal:
        """The principal of `secret`, from the database.

        Raises:
            Unauthenticated: unknown, revoked or expired; which of them is not told.
            StoreUnavailable: the database is away, and the token is not remembered.
        """
        token_hash = hash_of(secret)
        asked = time.monotonic()
        try:
            with self._store.connect() as connection:
                row = connection.execute(statement("tokens", "find_token"), {"token_hash": token_hash}).one_or_none()
        except StoreUnavailable:
            known = self._good.get(token_hash)
            if not self._without_store or known is None or asked - known.confirmed > _WITHOUT_STORE_SECONDS:
                raise
            # Not asked again for every request: a database that does not even refuse takes seconds to be given up.
            self._remember(token_hash, replace(known, trusted_until=time.monotonic() + self._ttl_seconds))
            return known.principal
        if row is None or row.revoked or row.expired:
            with self._lock:
                self._good.pop(token_hash, None)
            raise Unauthenticated("The token is unknown, expired or revoked.")
        scopes = frozenset().union(*(_IMPLIED.get(scope, {scope}) for scope in row.scopes))
        principal = Principal(row.id, row.name, scopes, row.organization_id, row.team_id, row.user_id)
        self._remember(token_hash, _Remembered(principal, confirmed=asked, trusted_until=asked + self._ttl_seconds))
        return principal

    def _remember(self, token_hash: str, known: "_Remembered") -> None:
        with self._lock:
            if len(self._good) >= _REMEMBERED_TOKENS:
                self._good.pop(next(iter(self._good)))
            self._good[token_hash] = known


def _array(values: Iterable[str]) -> str:
    return "{" + ",".join(f'"{value}"' for value in values) + "}"
