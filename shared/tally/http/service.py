"""A small function as an ASGI target: paths to handlers, errors to problems, one request id for the logs."""

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tally.errors import MethodNotAllowed, NotFound, RequestError, Unavailable
from tally.http import problem
from tally.log import logger

Handler = Callable[[Request], Awaitable[Response]]
Routes = Mapping[str, Mapping[str, Handler]]
_REQUEST_ID = re.compile(r"[\w./=+:;-]{1,128}")


def service(function: str, routes: Routes) -> Handler:
    """The target of a function that answers `routes`: handlers by path and then by method."""

    async def target(request: Request) -> Response:
        try:
            return await _handler(routes, request)(request)
        except RequestError as error:
            return problem.of_request_error(error)
        except Unavailable as error:
            logger(function).warning("unavailable", reason=str(error), **request_fields(request))
            return problem.of_unavailable(error)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:  # noqa: BLE001 - the outermost boundary: logged, and answered honestly
            logger(function).exception("unexpected error", **request_fields(request))
            return problem.unexpected()

    target.__name__ = function
    return target


def request_fields(request: Request) -> dict[str, str]:
    """What a log line may say of a request: its path and its trace (made up if none came), never body or token."""
    given = request.headers.get("x-cloud-trace-context") or request.headers.get("traceparent")
    given = given or request.headers.get("x-request-id") or ""
    trace = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    bound = {str(key): str(value) for key, value in structlog.contextvars.get_contextvars().items()}
    return {"method": request.method, "path": request.scope["path"][:200], "request_id": trace, **bound}


def _handler(routes: Routes, request: Request) -> Handler:
    path = request.scope["path"]
    methods = routes.get(path)
    if methods is None:
        raise NotFound(f"There is nothing at {path[:200]}; this function answers {', '.join(routes)}.")
    handler = methods.get(request.method)
    if handler is None:
        raise MethodNotAllowed(request.method, [*methods])
    return handler
