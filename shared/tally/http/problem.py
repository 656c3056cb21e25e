"""Errors as `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from tally import jsontext
from tally.errors import FieldError, RequestError, Unavailable

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int,
    title: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem answer; `errors` only where fields are at fault."""
    body: dict[str, object] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return Response(jsontext.dump(body), status, headers, media_type=MEDIA_TYPE)


def of_request_error(error: RequestError) -> Response:
    """The answer to a request that cannot be served as it is."""
    return problem(error.status, error.title, error.detail, error.errors, error.headers)


def of_unavailable(error: Unavailable) -> Response:
    """503, and when to try again."""
    return problem(503, error.title, str(error), headers={"Retry-After": str(error.retry_after_seconds)})


def unexpected() -> Response:
    """500 without details; they are in the log."""
    detail = "Tally failed on this request and has logged why; nothing was taken in part without being told."
    return problem(500, "Internal error", detail)
