"""query: answers questions about usage, exactly and at once, in the caller's time zone and currency."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import functions_framework.aio
from fastapi import Depends, FastAPI, Query, Request
from sqlalchemy import Connection
from starlette.requests import Request as RawRequest

from tally.clock import Clock
from tally.database import Store
from tally.http.api import JsonAnswer, application
from tally.http.auth import Authenticator
from tally.http.parameters import ContentPlatformParameters, GatewayStatsParameters, usage_parameters
from tally.principal import Principal
from tally.process import settle
from tally.schema import REVISIONS, SchemaGuard
from tally.settings import settings
from tally.tokens import Verifier
from tally.usage import content_platform, gateway_stats
from tally.usage.answer import answer
from tally.usage.question import parse_question, parse_zone


@cache
def _store() -> Store:
    milliseconds = str(int(settings().query_timeout_seconds * 1000))
    return Store(settings(), "tally query", pool_size=10, options={"statement_timeout": milliseconds})


@cache
def _guard() -> SchemaGuard:
    return SchemaGuard(_store())


@cache
def _clock() -> Clock:
    return Clock(_store())


@cache
def _authenticator() -> Authenticator:
    return Authenticator(Verifier(_store(), settings().token_ttl_seconds), _guard())


async def reader(request: Request) -> Principal:
    """The caller, who may read."""
    return await _authenticator().authenticate(request, "read")


Reader = Annotated[Principal, Depends(reader)]


def _ask(question: Callable[[Connection], dict[str, Any]]) -> dict[str, Any]:
    """The answer from one snapshot. Nothing in `question` may take a second connection: the pool would run dry."""
    _guard().check()
    with _store().snapshot() as connection:
        return question(connection)


def live() -> dict[str, str]:
    """The process answers. Never asks the database."""
    return {"status": "alive"}


def ready() -> dict[str, str]:
    """The database has the migration that this code needs; else 503 says which is missing and how to run it."""
    _guard().check()
    return {"status": "ready", "migration": REVISIONS[-1]}


def usage(request: Request, caller: Reader) -> JsonAnswer:
    """Any figures of any events, by any dimension, in windows of any time zone."""
    question = parse_question(request.query_params.multi_items(), _clock().now())
    return JsonAnswer(_ask(lambda connection: answer(connection, caller, question)))


def tokens_summary(caller: Reader, parameters: Annotated[ContentPlatformParameters, Query()]) -> JsonAnswer:
    """System A: totals of AI tokens today, this month and of all time."""
    where, filters, now = parse_zone(parameters.timezone), parameters.filters(), _clock().now()
    data = _ask(lambda connection: content_platform.summary(connection, caller, where, filters, now))
    return JsonAnswer({"success": True, "data": data})


def gateway_usage(caller: Reader, parameters: Annotated[GatewayStatsParameters, Query()]) -> JsonAnswer:
    """System D: calls of the last hours, by hour, by token and by route."""
    now = _clock().now()
    return JsonAnswer(_ask(lambda connection: gateway_stats.stats(connection, caller, parameters.hours, now)))


@cache
def _app() -> FastAPI:
    app = application("query", "Who used what, how much, how fast, how often it failed, and what it cost.")
    app.get("/health/live", tags=["health"])(live)
    app.get("/health/ready", tags=["health"])(ready)
    app.get("/v1/usage", tags=["usage"], openapi_extra=usage_parameters())(usage)
    app.get("/api/v1/billing/usage/tokens/summary", tags=["system A"])(tokens_summary)
    app.get("/api/usage/stats", tags=["system D"])(gateway_usage)
    settle()
    return app


@functions_framework.aio.http
async def query(_request: RawRequest) -> Any:
    """The function: the framework calls what is returned as an ASGI application."""
    return _app()
