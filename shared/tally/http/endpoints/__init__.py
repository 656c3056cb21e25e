"""The endpoints that answer questions about usage: a module for the general ones and one for each of the four systems.

Each describes and checks its parameters, turns them into a question, and shows the answer. What is asked and how it
is counted is in `tally.usage`.
"""

from fastapi import FastAPI

from tally.database import QuestionTooLarge
from tally.errors import Forbidden, Malformed, Unauthenticated, Unavailable
from tally.http.endpoints import (
    bot_platform,
    content_platform,
    event_lists,
    events,
    forecast,
    gateway,
    generator,
    limits,
    usage,
)
from tally.http.refusals import refusals

ROUTERS = (
    usage.router,
    events.router,
    forecast.router,
    content_platform.router,
    bot_platform.router,
    generator.router,
    gateway.router,
    event_lists.router,
    limits.router,
)
# Of every endpoint; some have more.
_REFUSALS = refusals(Malformed, Unauthenticated, Forbidden, QuestionTooLarge, Unavailable)


def include(app: FastAPI) -> None:
    """Adds every endpoint to `app`."""
    for router in ROUTERS:
        app.include_router(router, responses=_REFUSALS)
