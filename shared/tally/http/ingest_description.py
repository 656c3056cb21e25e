"""OpenAPI's description of the function ingest, as data: it is a plain function, for speed. Schemas are the model's."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from tally.dialects.native import MAX_EVENTS
from tally.errors import (
    Forbidden,
    Malformed,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
    Unprocessable,
    UnsupportedMediaType,
)
from tally.event import ALIASES, MAX_INTEGER, SUBJECTS, UsageEvent
from tally.http.examples import example
from tally.http.refusals import refusals

Schema = dict[str, Any]
TAG = "ingest"
_EVENT = {"$ref": "#/components/schemas/UsageEvent"}
_CLOUD_EVENT = {"$ref": "#/components/schemas/CloudEvent"}
_REFUSALS = refusals(
    Malformed, Unauthenticated, Forbidden, PayloadTooLarge, UnsupportedMediaType, Unprocessable, Unavailable
)
_DECIMAL: Schema = {
    "anyOf": [
        {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        {"type": "string", "pattern": r"^[+-]?([0-9]{1,15}\.?[0-9]{0,30}|\.[0-9]{1,30})$"},
    ]
}
# What pydantic cannot know of fields that `tally.event` reads itself.
_READ_BY_HAND: Mapping[str, Schema] = {
    "time": {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "date"},
            {"type": "number"},
        ]
    },
    "response_time_ms": {"type": "number", "minimum": 0, "maximum": MAX_INTEGER},
    "cost_usd": _DECIMAL,
    "cost_rub": _DECIMAL,
}
_MEANING = {
    "id": "The sender's id of this event; with source it is what makes repetitions count once. A UUIDv7 if not given.",
    "source": "Who sent it; the name of the API token if not given.",
    "time": "When the call happened, RFC 3339 with an offset, a date (its UTC midnight), or epoch seconds or "
    "milliseconds (above 10^11); when it was received if not given.",
    "organization_id": "Whose call it was.",
    "team_id": "Which team called.",
    "user_id": "Who called; the same user_id in two organizations is two users.",
    "user_name": "What the user is called.",
    "token_hash": "SHA-256 of the API token that the call was made with.",
    "token_type": "Kind of access token.",
    "route": "Path or endpoint that was called.",
    "method": "HTTP method.",
    "status": "HTTP status of the answer.",
    "response_time_ms": "How long it took.",
    "error_message": "What went wrong.",
    "error_type": "What kind of thing went wrong.",
    "ip_address": "Address of the caller; personal data.",
    "user_agent": "Program of the caller; personal data.",
    "provider": "AI provider.",
    "model": "AI model.",
    "agent_id": "Which agent called.",
    "operation": "Which kind of operation it was.",
    "input_tokens": "Tokens read, cached ones included.",
    "output_tokens": "Tokens written, those of reasoning included.",
    "total_tokens": "The sum of both if not given.",
    "cached_input_tokens": "Part of input_tokens.",
    "cache_write_tokens": "Tokens written to the cache.",
    "reasoning_tokens": "Part of output_tokens.",
    "input_text_length": "Characters read; tokens are estimated from them where no count is given.",
    "output_text_length": "Characters written; tokens are estimated from them where no count is given.",
    "cost": "What it cost; negative is a credit.",
    "cost_usd": "What it cost in US dollars.",
    "cost_rub": "What it cost in roubles.",
    "workflow_id": "Which workflow it was part of.",
    "content_id": "Which content it was for.",
    "request_id": "Which request it was.",
    "platform": "Platform that it was for.",
    "content_type": "Kind of content.",
    "task_type": "Kind of task.",
    "topic": "What it was about.",
    "labels": "Anything to filter and group by.",
    "request_metadata": "Kept as it is.",
    "response_metadata": "Kept as it is.",
}
_EXAMPLE = {
    "id": "order-4711",
    "route": "/v1/chat",
    "method": "POST",
    "status": 200,
    "response_time_ms": 812.5,
    "organization_id": "acme",
    "user_id": "anna",
    "model": "gpt-4o",
    "input_tokens": 1200,
    "output_tokens": 350,
    "cost": {"amount": "0.0065", "currency": "USD"},
    "labels": {"campaign": "spring"},
}
_CLOUD_EXAMPLE = {
    "specversion": "1.0",
    "id": "order-4711",
    "source": "/apps/chat",
    "type": "prompt",
    "subject": "anna",
    "data": {"model": "gpt-4o", "input_tokens": 1200, "output_tokens": 350},
}
_CALL_EXAMPLE = {
    "token_hash": "cd" * 32,
    "route": "/v1/chat",
    "response_status": 200,
    "response_time_ms": 84.2,
    "ip_address": "192.0.2.7",
    "user_agent": "curl/8.5",
    "request_method": "POST",
    "error_message": None,
}
_TAKEN = {"accepted": 1, "ids": ["order-4711"], "rejected": []}
_TAKEN_IN_PART = {
    "accepted": 1,
    "ids": ["order-4711"],
    "rejected": [
        {
            "index": 1,
            "id": None,
            "errors": [
                {"field": "rout", "message": 'is not a field of a usage event; did you mean "route"?', "value": "/"}
            ],
        }
    ],
}
_ACCEPTED: Schema = {
    "type": "object",
    "required": ["accepted", "ids", "rejected"],
    "properties": {
        "accepted": {"type": "integer", "description": "How many events were taken."},
        "ids": {"type": "array", "items": {"type": "string"}, "description": "Their ids, in the order sent."},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "id", "errors"],
                "properties": {
                    "index": {"type": "integer", "description": "Place in the request, from 0."},
                    "id": {"type": ["string", "null"]},
                    "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
                },
            },
        },
    },
}


def paths() -> dict[str, Any]:
    """The endpoints, by path and method."""
    return {"/v1/events": {"post": _events()}, "/api/usage-log": {"post": _usage_log()}}


def schemas() -> dict[str, Schema]:
    """What `paths` refers to, by name."""
    event = TypeAdapter(UsageEvent).json_schema(ref_template="#/components/schemas/{model}")
    cost = event.pop("$defs")["Cost"]
    cost["properties"]["amount"] = _DECIMAL
    fields = {name: _field(name, schema) for name, schema in event["properties"].items()}
    other_names = {
        alias: {**fields[name], "description": f"Another name of {name}."} for alias, name in ALIASES.items()
    }
    subjects = [name for name in (*fields, *other_names) if ALIASES.get(name, name) in SUBJECTS]
    described = {
        "description": "One call of an API or a model. It names at least one of route, model, operation or a token "
        "count. null and an empty text count as not given. At most 64 KB.",
        "properties": fields | other_names,
        "anyOf": [{"required": [name]} for name in subjects],
    }
    return {"UsageEvent": event | described, "Cost": cost, "CloudEvent": _cloud_event(), "Accepted": _ACCEPTED}


def _field(name: str, schema: Schema) -> Schema:
    described = _READ_BY_HAND.get(name, {key: value for key, value in schema.items() if key != "title"})
    return {**described, "description": _MEANING[name]}


def _cloud_event() -> Schema:
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "description": "CloudEvents 1.0. Extensions, and what in data is not a field of a usage event, become labels.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": text,
            "id": {**text, "maxLength": 200},
            "source": {**text, "maxLength": 200},
            "type": {**text, "description": "Becomes the label type."},
            "subject": {"type": "string", "description": "The user."},
            "time": {"type": "string", "format": "date-time"},
            "data": {"type": "object", "description": "The fields of a usage event."},
        },
    }


def _events() -> dict[str, Any]:
    return {
        "operationId": "events",
        "tags": [TAG],
        "summary": "Takes usage events",
        "description": (
            "One event or up to 1,000, at most 5 MB; `Content-Encoding: gzip` is understood. With `ce-` headers "
            "(binary mode of CloudEvents) the body is the event's data. `application/ndjson` and `application/jsonl` "
            "are understood too. Scope `ingest`."
        ),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [_EVENT, _list_of(_EVENT)]},
                    "examples": {"one": {"value": _EXAMPLE}, "several": {"value": [_EXAMPLE, {"route": "/v1/orders"}]}},
                },
                "application/x-ndjson": {
                    "schema": {"type": "string"},
                    "example": '{"route": "/v1/orders", "status": 200}\n{"model": "gpt-4o", "total_tokens": 1550}\n',
                },
                "application/cloudevents+json": {"schema": _CLOUD_EVENT, "example": _CLOUD_EXAMPLE},
                "application/cloudevents-batch+json": {"schema": _list_of(_CLOUD_EVENT), "example": [_CLOUD_EXAMPLE]},
            },
        },
        "responses": {
            "202": _taken("All events are durable.", _TAKEN),
            "207": _taken("Some events are bad; the others are durable.", _TAKEN_IN_PART),
            **_by_text(_REFUSALS),
        },
    }


def _usage_log() -> dict[str, Any]:
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The id of the call where the body has none; repetitions of it count once.",
        "schema": {"type": "string", "maxLength": 200},
    }
    return {
        "operationId": "usage_log",
        "tags": [TAG],
        "summary": "Takes one call of the API gateway (system D)",
        "description": (
            "Numbers may be numeric strings here. Without an id, in the "
            "body or as `Idempotency-Key`, each post is a call of its own. Scope `ingest`."
        ),
        "parameters": [key],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _EVENT, "example": _CALL_EXAMPLE}},
        },
        "responses": _by_text(example({"status": "logged"}) | _REFUSALS),
    }


def _taken(description: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Accepted"}
    return {"description": description, "content": {"application/json": {"schema": schema, "example": answer}}}


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_EVENTS}


def _by_text(responses: Mapping[int | str, Any]) -> dict[str, Any]:
    return {str(status): response for status, response in responses.items()}
