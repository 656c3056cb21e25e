"""How requests are refused, as the description of the interface shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tally.database import QuestionTooLarge
from tally.errors import (
    FieldError,
    Forbidden,
    Malformed,
    NotFound,
    PayloadTooLarge,
    RequestError,
    SchemaMismatch,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)
from tally.http.problem import MEDIA_TYPE

Refusal = type[RequestError | Unavailable]


@dataclass(frozen=True, slots=True)
class _Case:
    detail: str
    errors: list[FieldError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Described:
    meaning: str
    cases: Mapping[str, _Case]
    headers: Mapping[str, str] = field(default_factory=dict)


def _described(meaning: str, detail: str, headers: Mapping[str, str] | None = None) -> _Described:
    return _Described(meaning, {"example": _Case(detail)}, headers or {})


_RETRY_AFTER = {"Retry-After": "Seconds after which to send the same request again."}
_DESCRIBED: Mapping[Refusal, _Described] = {
    Malformed: _Described(
        "The body or a parameter cannot be read, or there is no such parameter.",
        {
            "parameter": _Case(
                "Bad parameter. hours: expected a whole number of at most 9 digits.",
                [{"field": "hours", "message": "expected a whole number of at most 9 digits", "value": "ten"}],
            ),
            "body": _Case("The body is not valid JSON in UTF-8: expected value at line 1 column 1."),
        },
    ),
    Unauthenticated: _described(
        "No token, or one that is unknown, expired or revoked.",
        "Send an API token: Authorization: Bearer tly_… or X-API-Key: tly_…",
        {"WWW-Authenticate": "How to send a token."},
    ),
    Forbidden: _described(
        "The token lacks the scope, or asks for what belongs to somebody else.",
        'This token lacks the scope "read".',
    ),
    NotFound: _described(
        "There is no such thing, or it belongs to somebody else.",
        'There is no call of the route "/v1/chat" that you may see.',
    ),
    PayloadTooLarge: _described(
        "Over 1,000 events, over 5 MB, or over 10 MB after gunzip. Nothing was taken.",
        "1200 events in one request; at most 1000 are taken.",
    ),
    UnsupportedMediaType: _described(
        "No content type or one that is not understood, or another encoding than gzip.",
        "There is no Content-Type; expected one of application/json, application/x-ndjson.",
    ),
    Unprocessable: _Described(
        "Readable, but no event in it is good. Nothing was taken.",
        {
            "example": _Case(
                "No event was taken.",
                [
                    {
                        "index": 0,
                        "field": "rout",
                        "message": 'is not a field of a usage event; did you mean "route"?',
                        "value": "/v1/chat",
                    }
                ],
            )
        },
    ),
    QuestionTooLarge: _described("The question is too large for the time limit.", QuestionTooLarge.advice().detail),
    Unavailable: _described(
        "Something that the request needs is away for now. Nothing was taken.",
        "The database cannot be reached.",
        _RETRY_AFTER,
    ),
    SchemaMismatch: _described(
        "The database is away, or at another migration: says which is missing and how to run it.",
        'The database lacks migration 0002_cubes. Run "tally migrate" (in the cloud: the job "migrate").',
        _RETRY_AFTER,
    ),
}

PROBLEM_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Problem": {
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What was wrong, and what was expected."},
            "errors": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/FieldError"},
                "description": "Only where fields of events or parameters are at fault.",
            },
        },
    },
    "FieldError": {
        "type": "object",
        "description": "A fault of a field of an event, or of a parameter.",
        "required": ["field", "message"],
        "properties": {
            "index": {"type": "integer", "description": "Place of the event in the request, from 0."},
            "field": {"type": "string"},
            "message": {"type": "string"},
            "value": {"description": "What was given, cut short."},
        },
    },
}


def refusals(*kinds: Refusal) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` of an endpoint that refuses requests in so many ways, each another status."""
    return {_status(kind): {"$ref": f"#/components/responses/{kind.__name__}"} for kind in kinds}


def refusal_components() -> dict[str, dict[str, Any]]:
    """OpenAPI's `components.responses` that `refusals` refers to."""
    return {kind.__name__: _response(kind, described) for kind, described in _DESCRIBED.items()}


def _response(kind: Refusal, described: _Described) -> dict[str, Any]:
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {name: {"value": _problem(kind, case)} for name, case in described.cases.items()},
    }
    response: dict[str, Any] = {"description": described.meaning, "content": {MEDIA_TYPE: content}}
    if described.headers:
        response["headers"] = {
            name: {"description": meaning, "required": True, "schema": {"type": "string"}}
            for name, meaning in described.headers.items()
        }
    return response


def _problem(kind: Refusal, case: _Case) -> dict[str, Any]:
    shown = {"type": "about:blank", "title": kind.title, "status": _status(kind), "detail": case.detail}
    return {**shown, "errors": case.errors} if case.errors else shown


def _status(kind: Refusal) -> int:
    return kind.status if issubclass(kind, RequestError) else 503
