"""`/health/live`: the process answers. `/health/ready`: its database has the migration that this code needs."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tally import jsontext
from tally.http.service import Handler
from tally.schema import REVISIONS, SchemaGuard


async def live(_request: Request) -> Response:
    """Never asks the database: one slow query would restart every instance."""
    return Response(jsontext.dump({"status": "alive"}), media_type="application/json")


def ready(guard: SchemaGuard) -> Handler:
    """The handler of `/health/ready`; 503 says which migration is missing and how to run it."""

    async def answer(_request: Request) -> Response:
        await run_in_threadpool(guard.check)
        return Response(jsontext.dump({"status": "ready", "migration": REVISIONS[-1]}), media_type="application/json")

    return answer


def health_routes(guard: SchemaGuard) -> dict[str, dict[str, Handler]]:
    """Both, for `tally.http.service.service`."""
    check = ready(guard)
    return {
        "/health/live": {"GET": live, "HEAD": live},
        "/health/ready": {"GET": check, "HEAD": check},
    }
