"""OpenAPI's description of the parameters that `tally.usage` reads itself: of usage, single events and forecasts."""

from collections.abc import Sequence
from typing import Any

from tally.usage import event_question, forecast_question, question
from tally.usage.outlook import FURTHEST_DAYS, LEAST_HISTORY_DAYS
from tally.usage.question import DIMENSIONS, FORMATS, METRICS
from tally.usage.spec import LABEL
from tally.usage.windows import WINDOWS

Schema = dict[str, Any]
_LABEL: Schema = {"type": "string", "pattern": f"^{LABEL}[^,]{{1,200}}$"}
_VALUES_OF_DIMENSION: dict[str, Schema] = {
    "status": {"type": "string", "pattern": "^([1-5][0-9]{2})?$"},
    "status_class": {"type": "string", "enum": ["1xx", "2xx", "3xx", "4xx", "5xx", ""]},
}


def usage_parameters() -> list[Schema]:
    """Those of `GET /v1/usage`."""
    return [
        _listed("metrics", "What to count.", _one_of(METRICS), ["requests", "total_tokens", "cost"]),
        _listed(
            "group_by",
            f"By what to tell apart: dimensions and labels ({LABEL}NAME).",
            {"anyOf": [_one_of(DIMENSIONS), _LABEL]},
            ["model"],
        ),
        _parameter(
            "window",
            "Cuts the range at calendar starts of the time zone; a week begins on Monday.",
            _one_of(WINDOWS),
            "day",
        ),
        *_range(),
        _currency(),
        _parameter(
            "order_by",
            "A metric or dimension that is asked for, or window_start; with - before it the largest first.",
            _text(),
            "-requests",
        ),
        _limit(f"Rows a page, at most {question.MAX_LIMIT}, and so many if not given; a file has all if not given."),
        _cursor(),
        _parameter("fill", "zero: windows without events are rows too.", _one_of(("none", "zero"))),
        _format(),
        _parameter(
            "explain",
            "true, for the scope admin: which cubes and how many rows of each table were read.",
            {"type": "boolean"},
        ),
        *_filters(),
    ]


def event_parameters() -> list[Schema]:
    """Those of `GET /v1/usage/events`."""
    most, default = event_question.MAX_LIMIT, event_question.DEFAULT_LIMIT
    return [
        *_range(),
        _limit(f"Events a page, at most {most}, {default} if not given; a file has all if not given."),
        _cursor(),
        _format(),
        *_filters(),
    ]


def forecast_parameters() -> list[Schema]:
    """Those of `GET /v1/forecast`."""
    days, history = forecast_question.DEFAULT_DAYS, forecast_question.DEFAULT_HISTORY_DAYS
    return [
        _parameter("days", f"How many days, from tomorrow on; {days} if not given.", _whole(1, FURTHEST_DAYS), 7),
        _parameter(
            "history_days",
            f"How many days up to yesterday to learn from; {history} if not given.",
            _whole(LEAST_HISTORY_DAYS, forecast_question.MOST_HISTORY_DAYS),
        ),
        _timezone("IANA time zone of the days; UTC if not given."),
        _currency(),
        *_filters(),
    ]


def _range() -> list[Schema]:
    accepted = "RFC 3339 with offset, epoch seconds or milliseconds, or a date (the midnight of timezone)"
    return [
        _parameter("from", f"Where the range begins, included: {accepted}.", _text(), "2026-05-01"),
        _parameter(
            "to", "Where it ends, excluded. Without both: the 30 local days ending today.", _text(), "2026-06-01"
        ),
        _timezone("IANA time zone of dates, windows and answers; UTC if not given."),
    ]


def _filters() -> list[Schema]:
    return [
        {
            "name": name,
            "in": "query",
            "description": "Only events with this value; repeat for several, empty for no value.",
            "schema": {"type": "array", "items": _VALUES_OF_DIMENSION.get(name, _text())},
        }
        for name in DIMENSIONS
    ]


def _timezone(description: str) -> Schema:
    return _parameter("timezone", description, _text(), "Europe/Moscow")


def _currency() -> Schema:
    return _parameter("currency", "ISO 4217 code that costs are reported in; USD if not given.", _text("^[A-Za-z]{3}$"))


def _limit(description: str) -> Schema:
    return _parameter("limit", description, _whole(1, question.MAX_LIMIT_OF_FILE))


def _cursor() -> Schema:
    return _parameter("cursor", "next_cursor of the page before; the other parameters as they were.", _text())


def _format() -> Schema:
    return _parameter("format", "json is a page; csv and ndjson are a file, sent while it is read.", _one_of(FORMATS))


def _parameter(name: str, description: str, schema: Schema, example: object = None) -> Schema:
    described = {"name": name, "in": "query", "description": description, "schema": schema}
    return described if example is None else described | {"example": example}


def _listed(name: str, description: str, items: Schema, example: Sequence[str]) -> Schema:
    schema = {"type": "array", "items": items}
    described = _parameter(name, f"{description} Separated by commas, or repeated.", schema, example)
    return described | {"style": "form", "explode": False}


def _one_of(values: Sequence[str]) -> Schema:
    return {"type": "string", "enum": [*values]}


def _whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _text(pattern: str | None = None) -> Schema:
    return {"type": "string", "pattern": pattern} if pattern else {"type": "string"}
