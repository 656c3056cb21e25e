"""migrate: the job that brings the database to the migration that this version needs, with prices where it has none.

Two at once do no harm.

As a job: `python functions/migrate/main.py`. As a function, for a scheduler that can only call an address: POST.
"""

import functions_framework.aio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tally import jsontext
from tally.http.service import service
from tally.job import job
from tally.log import logger
from tally.migrate import upgrade
from tally.price_import import seed
from tally.settings import settings


def run() -> str | None:
    """One run, logged; returns the migration reached."""
    reached = upgrade(settings())
    priced = seed(settings())
    logger("migrate").info("migrated", migration=reached, prices_added=priced)
    return reached


async def _run(_request: Request) -> Response:
    reached = await run_in_threadpool(run)
    return Response(jsontext.dump({"migration": reached}), media_type="application/json")


_target = service("migrate", {"/": {"POST": _run}})


@functions_framework.aio.http
async def migrate(request: Request) -> Response:
    """The job, started by a request."""
    return await _target(request)


if __name__ == "__main__":
    with job("migrate"):
        run()
