"""rollup: the job that folds new events into the cubes and keeps partitions. Run every minute; harmless beside itself.

As a job: `python functions/rollup/main.py`. As a function, for a scheduler that can only call an address: POST.
"""

from dataclasses import asdict

import functions_framework.aio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tally import jsontext
from tally.http.service import service
from tally.job import job
from tally.log import logger
from tally.rollup import RollupReport, run_once
from tally.settings import settings


def run() -> RollupReport:
    """One run, logged."""
    report = run_once(settings())
    logger("rollup").info("rolled up", **asdict(report))
    return report


async def _run(_request: Request) -> Response:
    report = await run_in_threadpool(run)
    return Response(jsontext.dump(asdict(report)), media_type="application/json")


_target = service("rollup", {"/": {"POST": _run}})


@functions_framework.aio.http
async def rollup(request: Request) -> Response:
    """The job, started by a request."""
    return await _target(request)


if __name__ == "__main__":
    with job("rollup"):
        run()
