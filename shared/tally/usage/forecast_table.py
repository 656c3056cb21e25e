"""A forecast as a table for the terminal. Pure."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table

from tally.usage.forecast_question import ForecastQuestion

_METHODS = {
    "average": "every day is the average of the past ones",
    "weekday": "the pattern of the week, on a level that moves",
    "weekday_trend": "the pattern of the week, on a level with a trend",
}


def rendered(question: ForecastQuestion, found: Mapping[str, Any]) -> RenderableType:
    """The range of days, the table with the sum as its last line, and notes on where it comes from.

    `found` is an answer of `GET /v1/forecast`.
    """
    first, last = found["days"][0]["date"], found["days"][-1]["date"]
    days = first if first == last else f"{first} to {last}"
    return Group(f"{days}, {question.zone}", "", _table(question, found), "", *notes(question, found))


def lines(found: Mapping[str, Any]) -> list[list[str]]:
    """The texts of each line; the last is the sum."""
    days = [_line(f"{date.fromisoformat(day['date']):%a %Y-%m-%d}", day) for day in found["days"]]
    return [*days, _line("total", found)]


def notes(question: ForecastQuestion, found: Mapping[str, Any]) -> list[str]:
    """How it was made, how good that was, and what is not in it."""
    error = found["backtest_error_percent"]
    told = [
        f"{found['method']}: {_METHODS[found['method']]}, learnt from up to {question.history_days} days",
        "no week of the past to compare with"
        if error is None
        else f"past weeks forecast this way were off by {error} % of their tokens, day by day",
    ]
    if found["budget_exhausted_on"] is not None:
        told.append(f"a budget runs out on {found['budget_exhausted_on']}")
    unconverted = found.get("unconverted_requests", 0)
    if unconverted:
        requests = f"{unconverted:,} past request{'' if unconverted == 1 else 's'}"
        told.append(f"not in the cost: {requests} with a cost that has no rate to {question.currency}")
    return told


def _table(question: ForecastQuestion, found: Mapping[str, Any]) -> Table:
    *above, total = lines(found)
    names = ("tokens", "at least", "at most", f"cost {question.currency}")
    figures = (
        Column(name, footer, justify="right", no_wrap=True) for name, footer in zip(names, total[1:], strict=True)
    )
    table = Table(Column("day", total[0]), *figures, box=None, pad_edge=False, show_footer=True)
    for line in above:
        table.add_row(*line)
    return table


def _line(label: str, row: Mapping[str, Any]) -> list[str]:
    return [label, f"{row['tokens']:,}", f"{row['lower']:,}", f"{row['upper']:,}", f"{row['cost']:z,.4f}"]
