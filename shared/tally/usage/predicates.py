"""Conditions on raw events with their values bound: what the filters and the range of a question let through."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, false, literal, literal_column, or_, true
from sqlalchemy.dialects.postgresql import TIMESTAMP

from tally.cubes import IS_AI, key_of_event, usage_events
from tally.usage.coverage import Span
from tally.usage.spec import LABEL, STATUS_CLASS

_HUNDRED: ColumnElement[Any] = literal_column("100", Integer())


def of_event(key: str) -> ColumnElement[Any]:
    """What an event has under a key of a `Spec`; NULL is "no value"."""
    if key.startswith(LABEL):
        label: ColumnElement[Any] = usage_events.c.labels[key.removeprefix(LABEL)].astext
        return label
    if key == IS_AI:
        return key_of_event(IS_AI)
    return usage_events.c.status // _HUNDRED if key == STATUS_CLASS else usage_events.c[key]


def among(key: str, values: Sequence[Any]) -> ColumnElement[bool]:
    """Whether an event has one of `values`; None among them is "no value"."""
    of, given = of_event(key), [value for value in values if value is not None]
    choices: list[ColumnElement[bool]] = [of.in_(given)] if given else [false()]
    return or_(*choices, of.is_(None)) if None in values else choices[0]


def within(span: Span) -> ColumnElement[bool]:
    """Whether an event's time is in a range."""
    bounds = [usage_events.c.time >= literal(span.lower, TIMESTAMP(timezone=True))] if span.lower is not None else []
    bounds += [usage_events.c.time < literal(span.upper, TIMESTAMP(timezone=True))] if span.upper is not None else []
    return and_(true(), *bounds)
