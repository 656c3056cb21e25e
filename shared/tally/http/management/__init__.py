"""The endpoints that manage Tally: a module for each kind of thing. Every change is in the audit log."""

from fastapi import FastAPI

from tally.errors import (
    Forbidden,
    Malformed,
    NotFound,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)
from tally.http.management import audit_log, budgets, exchange_rates, prices, repricing
from tally.http.refusals import refusals

ROUTERS = (repricing.router, prices.router, exchange_rates.router, budgets.router, audit_log.router)
# Of every endpoint.
_REFUSALS = refusals(
    Malformed, Unauthenticated, Forbidden, NotFound, PayloadTooLarge, UnsupportedMediaType, Unprocessable, Unavailable
)


def include(app: FastAPI) -> None:
    """Adds every endpoint to `app`."""
    for router in ROUTERS:
        app.include_router(router, responses=_REFUSALS)
