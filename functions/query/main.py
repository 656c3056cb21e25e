"""query: answers questions about usage, exactly and at once, in the caller's time zone and currency."""

from functools import cache
from typing import Any

import functions_framework.aio
from fastapi import FastAPI
from starlette.requests import Request

from tally.clock import Clock
from tally.database import Store
from tally.http import description, endpoints
from tally.http.api import application
from tally.http.asking import Asking
from tally.http.auth import Authenticator
from tally.process import settle
from tally.schema import SchemaGuard
from tally.settings import settings
from tally.tokens import Verifier
from tally.usage.engine import QUERY_OPTIONS


@cache
def _app() -> FastAPI:
    seconds = settings().query_timeout_seconds
    options = {**QUERY_OPTIONS, "statement_timeout": str(int(seconds * 1000))}
    store = Store(settings(), "tally query", pool_size=10, options=options)
    guard = SchemaGuard(store)
    authenticator = Authenticator(Verifier(store, settings().token_ttl_seconds), guard)
    app = application("query", guard)
    endpoints.include(app)
    description.serve(app)
    Asking(store, guard, Clock(store), authenticator, seconds).serve(app)
    settle()
    return app


@functions_framework.aio.http
async def query(_request: Request) -> Any:
    """The function: the framework calls what is returned as an ASGI application."""
    return _app()
