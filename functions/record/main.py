"""record: takes pushes of Pub/Sub and stores their events exactly once. Answers 204 when they are committed."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from tally.database import Store
from tally.estimation import Estimation
from tally.groupcommit import GroupCommit
from tally.http.body import read_body
from tally.http.health import health_routes
from tally.http.service import Handler, service
from tally.log import logger
from tally.message import read_push
from tally.process import settle
from tally.recorder import RECORDER_OPTIONS, Contents, Recorder, read
from tally.schema import SchemaGuard
from tally.settings import settings

# Base64 and the envelope around the 10 MB that a message may have.
_MAX_PUSH_BYTES = 15 * 1024 * 1024
_EVENTS_A_TRANSACTION = 2000
_EVENTS_WAITING = 40_000
_STORED = Response(status_code=204)
# One batch is put together while PostgreSQL writes the other.
_WRITERS = 2


@cache
def _store() -> Store:
    return Store(settings(), "tally record", options=RECORDER_OPTIONS, check=False)


@cache
def _guard() -> SchemaGuard:
    return SchemaGuard(_store())


@cache
def _group() -> GroupCommit[Contents]:
    recorder = Recorder(_store(), settings().raw_retention_days, Estimation.of(settings()))
    thread = ThreadPoolExecutor(_WRITERS, thread_name_prefix="recorder")

    def write(batch: Sequence[Contents]) -> None:
        _guard().check()
        outcome = recorder.record(batch)
        if outcome.dead:
            logger("record").warning("dead letters", dead=outcome.dead, stored=outcome.stored)

    async def commit(_key: str, batch: Sequence[Contents]) -> None:
        await asyncio.get_running_loop().run_in_executor(thread, write, batch)

    return GroupCommit(commit, capacity=_EVENTS_A_TRANSACTION, writers=_WRITERS, queue=_EVENTS_WAITING)


async def push(request: Request) -> Response:
    """One push of Pub/Sub: 204 when stored, 503 when it should come again."""
    body = await read_body(request, _MAX_PUSH_BYTES)
    contents = read(read_push(body, request.headers), settings().raw_retention_days)
    await _group().submit(contents, max(1, len(contents.received)))
    return _STORED


@cache
def _target() -> Handler:
    settle()
    return service("record", {"/push": {"POST": push}, **health_routes(_guard())})


@functions_framework.aio.http
async def record(request: Request) -> Response:
    """The function."""
    return await _target()(request)
