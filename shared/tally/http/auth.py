"""Authentication: `Authorization: Bearer …`, `Authorization: …` without Bearer, or `X-API-Key: …`."""

import asyncio
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from tally.errors import Forbidden, StoreUnavailable, Unauthenticated
from tally.principal import Principal
from tally.schema import SchemaGuard
from tally.tokens import Verifier

_LONGEST_SECRET = 8192


class Authenticator:
    """Asks the verifier once for however many requests of one token are waiting for its answer."""

    def __init__(self, verifier: Verifier, guard: SchemaGuard) -> None:
        self._verifier = verifier
        self._guard = guard
        self._asked: dict[str, asyncio.Task[Principal]] = {}

    async def authenticate(self, request: HTTPConnection, scope: str) -> Principal:
        """Who sends the request, having `scope`.

        Raises:
            Unauthenticated: no token, or a bad one.
            Forbidden: a good token without `scope`.
            StoreUnavailable: the database is away, and the token is not remembered.
            SchemaMismatch: the database is at another migration; the message names the missing one.
        """
        secret = _secret(request)
        principal = self._verifier.remembered(secret)
        if principal is None:
            task = self._asked.get(secret)
            if task is None:
                task = asyncio.create_task(run_in_threadpool(self._verify, secret))
                self._asked[secret] = task
                task.add_done_callback(lambda _: self._asked.pop(secret, None))
            principal = await asyncio.shield(task)
        if scope not in principal.scopes:
            raise Forbidden(f'This token lacks the scope "{scope}".')
        return principal

    def _verify(self, secret: str) -> Principal:
        # Without a database nothing is known of its schema; the verifier decides whether what it remembers is enough.
        with suppress(StoreUnavailable):
            self._guard.check()
        return self._verifier.verify(secret)


def _secret(request: HTTPConnection) -> str:
    header = request.headers.get("authorization", "").strip()
    kind, _, rest = header.partition(" ")
    secret = rest.strip() if kind.lower() == "bearer" else header
    secret = secret or request.headers.get("x-api-key", "").strip()
    if not secret or len(secret) > _LONGEST_SECRET:
        raise Unauthenticated("Send an API token: Authorization: Bearer tly_… or X-API-Key: tly_…")
    return secret
