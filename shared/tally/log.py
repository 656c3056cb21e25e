"""Structured logs: one JSON object a line on standard output, in the fields that Cloud Logging reads.

Never in a log: secrets, bodies of events, names, addresses. What may be logged are ids of requests and messages,
counts, paths and errors.
"""

import logging
import sys
from collections.abc import MutableMapping
from functools import cache
from typing import Any

import orjson
import structlog

from tally.errors import ConfigurationError


@cache
def logger(function: str) -> structlog.stdlib.BoundLogger:
    """The log of one function. Cached, so that it is set up once a process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            _severity,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level()),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(function=function)
    return bound


def _level() -> int:
    from tally.settings import settings

    try:
        return logging.getLevelNamesMapping()[settings().log_level]
    except ConfigurationError:  # which then is what there is to log
        return logging.INFO


def _severity(_logger: Any, _name: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    entry["severity"] = entry.pop("level").upper()
    return entry


def _dump(entry: dict[str, Any], **_options: Any) -> str:
    return orjson.dumps(entry, default=str).decode()
