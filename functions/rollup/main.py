"""rollup: the job that folds new events into the cubes, keeps partitions, notices crossed budgets and tells of them.

Run every minute; harmless beside itself.

As a job: `python functions/rollup/main.py`. As a function, for a scheduler that can only call an address: POST.
"""

from dataclasses import asdict
from typing import Any

import functions_framework.aio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tally import jsontext
from tally.http.service import service
from tally.job import job
from tally.log import logger
from tally.rollup import run_once
from tally.settings import settings
from tally.watching import watch_once


def run() -> dict[str, Any]:
    """One run, logged; returns what it did."""
    folded = asdict(run_once(settings()))
    logger("rollup").info("rolled up", **folded)
    return {**folded, **asdict(watch_once(settings()))}


async def _run(_request: Request) -> Response:
    return Response(jsontext.dump(await run_in_threadpool(run)), media_type="application/json")


_target = service("rollup", {"/": {"POST": _run}})


@functions_framework.aio.http
async def rollup(request: Request) -> Response:
    """The job, started by a request."""
    return await _target(request)


if __name__ == "__main__":
    with job("rollup"):
        run()
