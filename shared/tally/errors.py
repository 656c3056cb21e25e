"""Every error that Tally raises on purpose.

TallyError
├── ConfigurationError          a setting is unknown or malformed; a retry does not help
├── RequestError                the caller's fault; a retry does not help
│   ├── Malformed          400  ├── NotFound         404  ├── UnsupportedMediaType 415
│   ├── Unauthenticated    401  ├── MethodNotAllowed 405  └── Unprocessable        422
│   └── Forbidden          403  └── PayloadTooLarge  413
├── DataRefused                 the database refused a value; a retry does not help
└── Unavailable            503  something is away for now; a retry helps
    ├── StoreUnavailable        no database
    ├── SchemaMismatch          the database is at another migration than the code
    └── PublisherUnavailable    Pub/Sub did not confirm
"""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class FieldError(TypedDict):
    """One fault of one field of one event (or of one parameter, without `index`)."""

    index: NotRequired[int]
    field: str
    message: str
    value: NotRequired[object]


class TallyError(Exception):
    """Anything that Tally itself reports; `str(error)` is fit for the person who has to act on it."""


class ConfigurationError(TallyError):
    """A TALLY_ setting is missing, unknown or malformed."""


class DataRefused(TallyError):
    """The database refused a value of a statement (SQLSTATE class 22 or 23)."""


class RequestError(TallyError):
    """The request cannot be served as it is; answered as problem+json with `status`."""

    status = 400
    title = "Bad request"

    def __init__(
        self, detail: str, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


class Malformed(RequestError):
    """The body or a parameter cannot be read."""


class Unauthenticated(RequestError):
    """No token, or one that is unknown, expired or revoked."""

    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="tally"'})


class Forbidden(RequestError):
    """The token is good but does not reach so far."""

    status = 403
    title = "Forbidden"


class NotFound(RequestError):
    """No such path or thing, or it belongs to somebody else."""

    status = 404
    title = "Not found"


class MethodNotAllowed(RequestError):
    """The path is known, the method is not; `Allow` lists those that are."""

    status = 405
    title = "Method not allowed"

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        allow = ", ".join(sorted(allowed))
        super().__init__(f"{method} is not possible here; allowed: {allow}.", headers={"Allow": allow})


class PayloadTooLarge(RequestError):
    """More bytes or more events than one request may hold."""

    status = 413
    title = "Payload too large"


class UnsupportedMediaType(RequestError):
    """A content type or encoding that is not understood."""

    status = 415
    title = "Unsupported media type"


class Unprocessable(RequestError):
    """Readable, but not a single event in it is good."""

    status = 422
    title = "Unprocessable content"


class Unavailable(TallyError):
    """Something that the request needs is away; nothing was changed, the same request may be sent again."""

    title = "Service unavailable"
    retry_after_seconds = 2


class StoreUnavailable(Unavailable):
    """The database cannot be reached, or ended the connection before the commit was confirmed."""


class SchemaMismatch(Unavailable):
    """The database is behind (or ahead of) the migration that this code needs."""

    title = "Database schema is not the one this version needs"
    retry_after_seconds = 10


class PublisherUnavailable(Unavailable):
    """Pub/Sub (or the embedded recorder) did not confirm the message."""
