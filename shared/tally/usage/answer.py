"""From a question to its answer: whose events may be seen, which figures, in which shape and order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tally.database import explained, run_prepared, statement
from tally.errors import DataRefused, Forbidden
from tally.usage.cursor import Cursor
from tally.usage.figures import LEFT_OUT, Figures, average, cost_measures, left_out, percentage, success, whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import column_of
from tally.usage.pages import Order, PageShape, kind_of, number_of_places, page_statement
from tally.usage.plan import plan
from tally.usage.question import MAX_LIMIT, Question, bad_cursor
from tally.usage.shape import shape_of
from tally.usage.spec import AMOUNTS, PERCENTILES, STATUS_CLASS, Spec


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric of the API: the measures it needs, its figure from them, and the measures that it is ordered by.

    Of two measures that order, the first is divided by the second.
    """

    measures: tuple[str, ...]
    figure: Callable[[Figures], object]
    order: tuple[str, ...]


def _metric(name: str, currency: str) -> _Metric:
    if name in AMOUNTS:
        amount = f"{name}:{currency}"
        measures = cost_measures(currency) if name == "cost" else (amount,)
        return _Metric(measures, lambda row: row.get(amount) or Decimal(0), (amount,))
    if name in ("error_rate", "success_rate"):
        rate = success if name == "success_rate" else _error_rate
        return _Metric(("errors", "requests"), rate, ("errors", "requests"))
    if name == "avg_response_time_ms":
        measures = ("response_time_ms", "timed_requests")
        return _Metric(measures, average, measures)
    if name.endswith("_response_time_ms"):
        measure = name[:3] if name[:3] in PERCENTILES else name
        return _Metric((measure,), lambda row: row.get(measure), (measure,))
    return _Metric((name,), lambda row: whole(row, name), (name,))


def _error_rate(row: Figures) -> Decimal | None:
    return percentage(whole(row, "errors"), whole(row, "requests"))


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of an answer, and where the next ones begin.

    `explain` says which cubes were read and how many rows of each table: `{cubes: [name], rows_read: {table: number}}`.
    """

    rows: list[dict[str, Any]]
    next_cursor: Cursor | None
    explain: dict[str, Any] | None = None


def answer(inquiry: Inquiry, question: Question) -> dict[str, Any]:
    """The answer of `GET /v1/usage` as JSON (shape: "Queries" of the API's description).

    Raises:
        Forbidden: as `Inquiry.filters`; or `explain` without the scope `admin`.
        Malformed: the cursor is none that an answer had.
        QuestionTooLarge: the time limit.
    """
    page = page_of(inquiry, question)
    found = {
        "from": _shown(question.span.lower, question),
        "to": _shown(question.span.upper, question),
        "timezone": str(question.zone),
        "currency": question.currency,
        "window": question.window,
        "rows": page.rows,
        "next_cursor": str(page.next_cursor) if page.next_cursor else None,
    }
    return found | {"explain": page.explain} if page.explain is not None else found


def page_of(inquiry: Inquiry, question: Question) -> Page:
    """The page of a question that its cursor leads to, up to `limit` rows, but not more than a page may have.

    Raises:
        Forbidden, Malformed, QuestionTooLarge: as `answer`.
    """
    if question.explain and "admin" not in inquiry.principal.scopes:
        raise Forbidden('explain needs a token with the scope "admin".')
    metrics = {name: _metric(name, question.currency) for name in question.metrics}
    spec = Spec(
        measures=tuple(dict.fromkeys(part for metric in metrics.values() for part in metric.measures)),
        keys=tuple(column_of(name) for name in question.group_by),
        span=question.span,
        cuts=[window.lower for window in question.windows],
        filters=inquiry.filters(question.filters),
        as_of=question.cursor.as_of if question.cursor else None,
    )
    chosen = plan(spec)
    shape, parameters = shape_of(spec, chosen)
    kinds, order = tuple(map(kind_of, spec.keys)), _order(question, metrics)
    after = question.cursor.after if question.cursor else None
    if after is not None and len(after) != number_of_places(kinds, order):
        raise bad_cursor()
    page = PageShape(
        shape=shape,
        kinds=kinds,
        order=order,
        fill=question.fill and question.window != "none",
        after=None if after is None else tuple(value is not None for value in after),
    )
    limit = min(question.limit or MAX_LIMIT, MAX_LIMIT)
    parameters |= {"rows": str(limit + 1), "pieces": str(len(question.windows))}
    parameters |= {f"after_{number}": value for number, value in enumerate(after or ()) if value is not None}
    sql = page_statement(page)
    try:
        found = run_prepared(inquiry.connection, sql, parameters)
    except DataRefused as error:
        if question.cursor is None:
            raise
        raise bad_cursor() from error  # all else was checked
    rows = [_row(question, metrics, spec, row) for row in found[:limit]]
    if not rows and not question.group_by and question.window == "none":
        rows = [{name: metric.figure({}) for name, metric in metrics.items()}]
    cursor = None
    if len(found) > limit:
        columns = 1 + len(spec.keys) + kinds.count("token") + len(spec.measures)
        as_of = spec.as_of or _snapshot(inquiry)
        cursor = Cursor(question.digest, question.span, as_of, tuple(found[limit - 1][columns:]))
    explain = None
    if question.explain:
        cubes = [cube.table.name for cube in chosen.cubes]
        explain = {"cubes": cubes, "rows_read": explained(inquiry.connection, sql, parameters)}
    return Page(rows, cursor, explain)


def question_after(question: Question, page: Page) -> Question | None:
    """The question of the page after `page`; None where there is none, or as many rows as asked for were given."""
    left = None if question.limit is None else question.limit - len(page.rows)
    if page.next_cursor is None or left == 0:
        return None
    return replace(question, cursor=page.next_cursor, limit=left)


def columns_of(question: Question) -> list[str]:
    """The names of all that a row of the answer may have, in order."""
    names = [] if question.window == "none" else ["window_start"]
    for name in question.group_by:
        names += [name, "token_name"] if name == "token" else [name]
    return [*names, *question.metrics, *(LEFT_OUT if "cost" in question.metrics else ())]


def _order(question: Question, metrics: Mapping[str, _Metric]) -> Order | None:
    if question.order_by is None:
        return None
    name = question.order_by.removeprefix("-")
    largest_first = question.order_by.startswith("-")
    if name == "window_start":
        return Order("window", largest_first=largest_first)
    if name in metrics:
        # Where fewer errors are more success.
        return Order("metric", metrics[name].order, largest_first=largest_first != (name == "success_rate"))
    return Order("key", key=question.group_by.index(name), largest_first=largest_first)


def _row(question: Question, metrics: Mapping[str, _Metric], spec: Spec, row: Sequence[Any]) -> dict[str, Any]:
    """A row as it is shown, from the columns of the statement."""
    shown: dict[str, Any] = {}
    if question.window != "none":
        shown["window_start"] = question.windows[row[0] - 1].start.isoformat()
    names = iter(row[1 + len(spec.keys) :])
    for name, value in zip(question.group_by, row[1:], strict=False):
        shown[name] = f"{value}xx" if name == STATUS_CLASS and value is not None else value
        if name == "token":
            shown["token_name"] = next(names)
    figures = dict(zip(spec.measures, names, strict=False))
    shown |= {name: metric.figure(figures) for name, metric in metrics.items()}
    return shown | left_out([figures], question.currency)


def _snapshot(inquiry: Inquiry) -> str:
    return str(inquiry.connection.execute(statement("query", "snapshot")).scalar_one())


def _shown(instant: Any, question: Question) -> str | None:
    return instant.astimezone(question.zone).isoformat() if instant is not None else None
