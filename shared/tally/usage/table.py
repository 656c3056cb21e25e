"""Figures as a table for the terminal. Pure."""

from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from tally.usage.figures import one_decimal
from tally.usage.stats import DIMENSIONS, Row, Stats

_NOTHING = "-"
_NO_VALUE = "(none)"
# Beside a cost that some requests are not in; a note says why.
_INCOMPLETE = "*"
_HASH_DIGITS = 8


def rendered(stats: Stats) -> RenderableType:
    """The range of days, the table with the total as its last line, and notes on what costs leave out."""
    days = str(stats.first) if stats.first == stats.last else f"{stats.first} to {stats.last}"
    return Group(f"{days}, {stats.zone}", "", _table(stats), *notes(stats))


def names(stats: Stats) -> list[str]:
    """The names of the columns."""
    return [stats.by, "requests", "errors", "success", "avg ms", "p95 ms", "tokens", f"cost {stats.currency}"]


def lines(stats: Stats) -> list[list[str]]:
    """The texts of each line under `names`; the last is the total."""
    found = [_line(stats, label_of(stats, row), row) for row in stats.rows]
    if stats.left_out:
        more = "more than " if stats.is_bound else ""
        found.append([f"… and {more}{stats.left_out:,} more", *[""] * 7])
    return [*found, _line(stats, "total", stats.total)]


def label_of(stats: Stats, row: Row) -> str:
    """What a row is about: a local day or a value; a token's name and hash, a shared user id's organization."""
    if stats.by == "day":
        return str(datetime.fromisoformat(row["window_start"]).date())
    first = DIMENSIONS[stats.by][0]
    value = _shown(row[first])
    if stats.by == "token" and row["token"] is not None:
        short = f"{value[:_HASH_DIGITS]}…"
        return short if row["token_name"] is None else f"{_shown(row['token_name'])} {short}"
    if stats.by == "user" and row["user_id"] in stats.shared:
        return f"{value} in {_shown(row['organization_id'])}"
    return value


def notes(stats: Stats) -> list[str]:
    """What the costs leave out, a line for each reason."""
    left_out = [
        (stats.total["unpriced_requests"], "with a model or tokens but no cost"),
        (
            stats.total.get("unconverted_requests", 0),
            f"with a cost that has no rate to {stats.currency}",
        ),
    ]
    return [
        f"{_INCOMPLETE} not in the cost: {count:,} request{'' if count == 1 else 's'} {which}"
        for count, which in left_out
        if count
    ]


def _line(stats: Stats, label: str, row: Row) -> list[str]:
    is_marked = row["unpriced_requests"] or row.get("unconverted_requests")
    unmarked = " " if notes(stats) else ""
    return [
        label,
        f"{row['requests']:,}",
        f"{row['errors']:,}",
        _rounded(row["success_rate"], "%"),
        _rounded(row["avg_response_time_ms"]),
        _rounded(row["p95_response_time_ms"]),
        f"{row['total_tokens']:,}",
        f"{row['cost']:z,.4f}{_INCOMPLETE if is_marked else unmarked}",
    ]


def _table(stats: Stats) -> Table:
    *above, total = lines(stats)
    first, *others = names(stats)
    figures = (
        Column(name, footer, justify="right", no_wrap=True) for name, footer in zip(others, total[1:], strict=True)
    )
    table = Table(Column(_cut(first), _cut(total[0])), *figures, box=None, pad_edge=False, show_footer=True)
    for label, *texts in above:
        table.add_row(_cut(label), *texts)
    return table


def _cut(label: str) -> Text:
    """A text that is cut at the width of its column. The column itself may wrap, which makes it the first to shrink."""
    return Text(label, no_wrap=True, overflow="ellipsis")


def _rounded(value: Decimal | None, unit: str = "") -> str:
    return _NOTHING if value is None else f"{one_decimal(value):,}{unit}"


def _shown(value: str | None) -> str:
    """A value as it may be printed: senders choose it, and control characters would be commands to the terminal."""
    if value is None:
        return _NO_VALUE
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value)
