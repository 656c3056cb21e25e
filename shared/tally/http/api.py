"""FastAPI applications with Tally's manners: problem+json, bad parameters are 400, `Allow` on 405, one log."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tally import jsontext
from tally.errors import FieldError, Malformed, MethodNotAllowed, NotFound, RequestError, SchemaMismatch, Unavailable
from tally.http import problem
from tally.http.examples import example
from tally.http.refusals import refusals
from tally.http.service import request_fields
from tally.log import logger
from tally.schema import REVISIONS, SchemaGuard

health = APIRouter(tags=["health"])
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_NO_TOKEN: dict[str, Any] = {"security": []}


class JsonAnswer(JSONResponse):
    """JSON whose decimals are numbers with up to 10 decimals."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return jsontext.dump_answer(content)


@health.get("/health/live", responses=example({"status": "alive"}), openapi_extra=_NO_TOKEN)
async def live() -> dict[str, str]:
    """The process answers. Never asks the database."""
    return {"status": "alive"}


@health.get(
    "/health/ready",
    responses=example({"status": "ready", "migration": REVISIONS[-1]}) | refusals(SchemaMismatch),
    openapi_extra=_NO_TOKEN,
)
def ready(request: Request) -> dict[str, str]:
    """The database has the migration that this code needs; else 503 says which is missing and how to run it."""
    guard: SchemaGuard = request.app.state.guard
    guard.check()
    return {"status": "ready", "migration": REVISIONS[-1]}


def application(function: str, guard: SchemaGuard) -> FastAPI:
    """An application that answers for its health; the function adds its own endpoints."""
    # Its endpoints are described together with those of the other functions: `tally.http.description`.
    app = FastAPI(default_response_class=JsonAnswer, openapi_url=None, redirect_slashes=False)
    app.state.guard = guard
    app.include_router(health)

    @app.exception_handler(RequestError)
    def refused(_request: Request, error: RequestError) -> Response:
        return problem.of_request_error(error)

    @app.exception_handler(Unavailable)
    def unavailable(request: Request, error: Unavailable) -> Response:
        logger(function).warning("unavailable", reason=str(error), **request_fields(request))
        return problem.of_unavailable(error)

    @app.exception_handler(RequestValidationError)
    def bad_parameter(_request: Request, error: RequestValidationError) -> Response:
        return problem.of_request_error(_bad_parameters(error))

    @app.exception_handler(HTTPException)
    def routing(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return problem.of_request_error(MethodNotAllowed(request.method, _methods(request)))
        return problem.of_request_error(NotFound(f"There is nothing at {request.scope['path'][:200]}; see /docs."))

    app.add_middleware(_Outermost, function=function)
    return app


class _Outermost:
    """The outermost boundary: what nobody expected is logged, and answered honestly where nothing was sent yet."""

    def __init__(self, app: ASGIApp, function: str) -> None:
        self._app = app
        self._function = function

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            if not started:
                await Response(status_code=499)(scope, receive, send)
        except Exception:
            request = Request(scope)
            logger(self._function).exception("unexpected error", **request_fields(request))
            if started:
                raise  # only a broken connection tells the client that the answer is not whole
            await problem.unexpected()(scope, receive, send)


def _methods(request: Request) -> list[str]:
    """What the path takes, of all its endpoints; what lies below a mount is files."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]

    def takes(method: str) -> bool:
        return any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)

    return [method for method in _METHODS if takes(method)] or ["GET"]


def _bad_parameters(error: RequestValidationError) -> RequestError:
    faults: list[FieldError] = [
        {"field": str(fault["loc"][-1]), "message": fault["msg"], "value": str(fault.get("input"))[:100]}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return Malformed(f"Bad parameter. {detail}.", faults)
