"""ingest: takes usage events over HTTP and answers when they are durable in Pub/Sub."""

from datetime import UTC, datetime
from functools import cache

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from tally import jsontext
from tally.database import Store
from tally.http.auth import Authenticator
from tally.http.body import read_body
from tally.http.health import health_routes
from tally.http.service import Handler, service
from tally.ingest import Ingest
from tally.intake import MAX_BODY_BYTES
from tally.process import settle
from tally.publisher import publisher
from tally.schema import SchemaGuard
from tally.settings import settings
from tally.tokens import Verifier


@cache
def _store() -> Store:
    return Store(settings(), "tally ingest")


@cache
def _guard() -> SchemaGuard:
    return SchemaGuard(_store())


@cache
def _authenticator() -> Authenticator:
    return Authenticator(Verifier(_store(), settings().token_ttl_seconds, without_store=True), _guard())


@cache
def _ingest() -> Ingest:
    made = Ingest(publisher(settings()), settings().raw_retention_days)
    settle()
    return made


async def events(request: Request) -> Response:
    """POST /v1/events: 202 when all events are taken, 207 when some are."""
    principal = await _authenticator().authenticate(request, "ingest")
    body = await read_body(request, MAX_BODY_BYTES)
    accepted = await _ingest().events(body, request.headers, principal, datetime.now(UTC))
    answer = {
        "accepted": len(accepted.ids),
        "ids": accepted.ids,
        "rejected": [{"index": one.index, "id": one.id, "errors": one.errors} for one in accepted.rejected],
    }
    return Response(jsontext.dump(answer), 207 if accepted.rejected else 202, media_type="application/json")


async def usage_log(request: Request) -> Response:
    """POST /api/usage-log (system D): 200 when the call is taken."""
    principal = await _authenticator().authenticate(request, "ingest")
    body = await read_body(request, MAX_BODY_BYTES)
    await _ingest().gateway_call(body, request.headers, principal, datetime.now(UTC))
    return Response(b'{"status":"logged"}', media_type="application/json")


@cache
def _target() -> Handler:
    _ingest()  # loads Pub/Sub's client: the startup probe waits for it, so that no event has to
    health = health_routes(_guard())
    return service("ingest", {"/v1/events": {"POST": events}, "/api/usage-log": {"POST": usage_log}, **health})


@functions_framework.aio.http
async def ingest(request: Request) -> Response:
    """The function."""
    return await _target()(request)
