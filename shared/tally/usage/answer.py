"""From a question to its answer: whose events may be seen, which figures, in which shape and order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tally.usage import engine
from tally.usage.figures import Figures, average, percentage, success, whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import Known, column_of, is_keyed, known_values
from tally.usage.question import Question, cursor_of
from tally.usage.spec import PERCENTILES, STATUS_CLASS, Spec


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric of the API: the measures it needs, and its figure from them."""

    measures: tuple[str, ...]
    figure: Callable[[Figures], object]


def _metric(name: str, currency: str) -> _Metric:
    if name == "cost":
        return _Metric(
            (f"cost:{currency}", f"unconverted:{currency}"),
            lambda row: row.get(f"cost:{currency}") or Decimal(0),
        )
    if name == "error_rate":
        return _Metric(("errors", "requests"), lambda row: percentage(whole(row, "errors"), whole(row, "requests")))
    if name == "success_rate":
        return _Metric(("errors", "requests"), success)
    if name == "avg_response_time_ms":
        return _Metric(("response_time_ms", "timed_requests"), average)
    if name.endswith("_response_time_ms"):
        measure = name[:3] if name[:3] in PERCENTILES else name
        return _Metric((measure,), lambda row: row.get(measure))
    return _Metric((name,), lambda row: whole(row, name))


def answer(inquiry: Inquiry, question: Question) -> dict[str, Any]:
    """The answer of `GET /v1/usage` (shape: "Queries" of the API's description).

    Raises:
        Forbidden: as `Inquiry.filters`.
        QuestionTooLarge: too many rows, or the time limit.
    """
    metrics = {name: _metric(name, question.currency) for name in question.metrics}
    measures = tuple(dict.fromkeys(part for metric in metrics.values() for part in metric.measures))
    spec = Spec(
        measures=measures,
        keys=tuple(column_of(name) for name in question.group_by),
        span=question.span,
        cuts=[window.lower for window in question.windows],
        filters=inquiry.filters(question.filters),
    )
    figures = engine.run(inquiry.connection, spec)
    keyed = [column_of(name) for name in question.group_by if is_keyed(name)]
    known = known_values(inquiry.connection, (row[column] for row in figures for column in keyed))
    rows = [
        _Row(
            row["piece"],
            tuple(row[key] for key in spec.keys),
            _dimensions(question, row, known),
            _figures(question, metrics, row),
        )
        for row in figures
    ]
    rows = _ordered(question, _filled(question, metrics, rows))
    page = rows[question.offset : question.offset + question.limit]
    more = len(rows) > question.offset + question.limit
    return {
        "from": _shown(question.span.lower, question),
        "to": _shown(question.span.upper, question),
        "timezone": str(question.zone),
        "currency": question.currency,
        "window": question.window,
        "rows": [_shown_row(question, row) for row in page],
        "next_cursor": cursor_of(question.offset + question.limit) if more else None,
    }


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the answer. `keys` tell rows apart that look alike: one user id in two organizations is two users."""

    piece: int
    keys: tuple[Any, ...]
    dimensions: dict[str, Any]
    figures: dict[str, Any]


def _dimensions(question: Question, row: Figures, known: Mapping[int, Known]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in question.group_by:
        value = row[column_of(name)]
        if is_keyed(name):
            meant = known.get(value)
            found[name] = meant.value if meant else None
            if name == "token":
                found["token_name"] = meant.token_name if meant else None
        elif name == STATUS_CLASS:
            found[name] = f"{value}xx" if value else None
        else:
            found[name] = None if value == 0 else value
    return found


def _figures(question: Question, metrics: Mapping[str, _Metric], row: Figures) -> dict[str, Any]:
    figures = {name: metric.figure(row) for name, metric in metrics.items()}
    unconverted = whole(row, f"unconverted:{question.currency}")
    return figures | {"unconverted_requests": unconverted} if unconverted else figures


def _filled(question: Question, metrics: Mapping[str, _Metric], rows: list[_Row]) -> list[_Row]:
    """With a row of zeros where there is no event: for every window if asked, and for a total of nothing."""
    nothing = {name: metric.figure({}) for name, metric in metrics.items()}
    if not question.group_by and question.window == "none" and not rows:
        return [_Row(0, (), {}, nothing)]
    if not question.fill or question.window == "none":
        return rows
    groups = {row.keys: row.dimensions for row in rows} or ({(): {}} if not question.group_by else {})
    present = {(row.piece, row.keys) for row in rows}
    missing = [
        _Row(piece, keys, found, nothing)
        for keys, found in groups.items()
        for piece in range(1, len(question.windows) + 1)
        if (piece, keys) not in present
    ]
    return rows + missing


def _ordered(question: Question, rows: list[_Row]) -> list[_Row]:
    """By window and dimensions (no value last), so that pages never overlap; before that by `order_by`."""

    def place(row: _Row) -> Any:
        return row.piece, [(value is None, str(value)) for value in row.dimensions.values()], [*map(str, row.keys)]

    rows = sorted(rows, key=place)
    if question.order_by is None:
        return rows
    name = question.order_by.removeprefix("-")
    largest_first = question.order_by.startswith("-")

    def rank(row: _Row) -> Any:
        value = row.piece if name == "window_start" else {**row.dimensions, **row.figures}[name]
        if value is None:
            return (not largest_first, 0)
        return (largest_first, value)

    return sorted(rows, key=rank, reverse=largest_first)


def _shown_row(question: Question, row: _Row) -> dict[str, Any]:
    if question.window == "none":
        return row.dimensions | row.figures
    return {"window_start": question.windows[row.piece - 1].start.isoformat(), **row.dimensions, **row.figures}


def _shown(instant: Any, question: Question) -> str | None:
    return instant.astimezone(question.zone).isoformat() if instant is not None else None
