"""FastAPI applications with Tally's manners: problem+json, bad parameters are 400, `Allow` on 405, one log."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tally import __version__, jsontext
from tally.errors import FieldError, Malformed, MethodNotAllowed, NotFound, RequestError, Unavailable
from tally.http import problem
from tally.http.service import request_fields
from tally.log import logger

_PROBLEM: dict[str, Any] = {
    "content": {
        problem.MEDIA_TYPE: {
            "schema": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "errors": {"type": "array", "items": {"type": "object"}},
                },
            }
        }
    },
}


class JsonAnswer(JSONResponse):
    """JSON whose decimals are numbers with up to 10 decimals."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return jsontext.dump_answer(content)


def application(function: str, description: str) -> FastAPI:
    """An application without routes; the function adds its own."""
    app = FastAPI(
        title=f"Tally {function}",
        version=__version__,
        description=description,
        default_response_class=JsonAnswer,
        responses={
            "4XX": {"description": "What is wrong with the request, and what is expected.", **_PROBLEM},
            "503": {"description": "Something is away for now; try again after Retry-After.", **_PROBLEM},
        },
        redoc_url=None,
    )

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
            allowed = (error.headers or {}).get("Allow", "GET").split(", ")
            return problem.of_request_error(MethodNotAllowed(request.method, allowed))
        return problem.of_request_error(NotFound(f"There is nothing at {request.scope['path'][:200]}; see /docs."))

    @app.middleware("http")
    async def outermost(request: Request, following: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            return await following(request)
        except Exception:  # noqa: BLE001 - the outermost boundary: logged, and answered honestly
            logger(function).exception("unexpected error", **request_fields(request))
            return problem.unexpected()

    return app


def _bad_parameters(error: RequestValidationError) -> RequestError:

    faults: list[FieldError] = [
        {"field": str(fault["loc"][-1]), "message": fault["msg"], "value": str(fault.get("input"))[:100]}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
    return Malformed(f"Bad parameter. {detail}.", faults)
