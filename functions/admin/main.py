"""admin: manages prices, exchange rates and budgets; every change is in the audit log."""

from functools import cache
from typing import Any

import functions_framework.aio
from fastapi import FastAPI
from starlette.requests import Request

from tally.clock import Clock
from tally.database import Store
from tally.http import management
from tally.http.api import application
from tally.http.auth import Authenticator
from tally.http.managing import Managing
from tally.process import settle
from tally.schema import SchemaGuard
from tally.settings import settings
from tally.tokens import Verifier
from tally.usage.engine import QUERY_OPTIONS

# Pricing events again goes through many of them.
_OPTIONS = {**QUERY_OPTIONS, "statement_timeout": "60000"}


@cache
def _app() -> FastAPI:
    store = Store(settings(), "tally admin", options=_OPTIONS)
    guard = SchemaGuard(store)
    authenticator = Authenticator(Verifier(store, settings().token_ttl_seconds), guard)
    app = application("admin", guard)
    management.include(app)
    Managing(store, guard, Clock(store), authenticator, settings().private_webhooks).serve(app)
    settle()
    return app


@functions_framework.aio.http
async def admin(_request: Request) -> Any:
    """The function: the framework calls what is returned as an ASGI application."""
    return _app()
