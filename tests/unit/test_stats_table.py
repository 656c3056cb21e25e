"""How figures look in the terminal."""

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len
from rich.console import Console

from tally.usage.stats import METRICS, SHOWN_VALUES, By, Stats, stats
from tally.usage.table import lines, names, notes, rendered

NOW = datetime(2026, 4, 5, 23, 30, tzinfo=UTC)
NO_FIGURES: Mapping[str, Any] = {
    "requests": 0, "errors": 0, "success_rate": None, "avg_response_time_ms": None, "p95_response_time_ms": None,
    "total_tokens": 0, "cost": Decimal(0), "unpriced_requests": 0,
}  # fmt: skip
SOME: Mapping[str, Any] = {
    "requests": 12_345, "errors": 3, "success_rate": Decimal("99.9757"), "avg_response_time_ms": Decimal("1234.25"),
    "p95_response_time_ms": Decimal(7), "total_tokens": 9_876_543_210, "cost": Decimal("1234.56785"),
    "unpriced_requests": 0,
}  # fmt: skip
Asked = list[dict[str, str]]


def made(
    by: By, rows: Sequence[Mapping[str, Any]], total: Mapping[str, Any] = SOME, cursor: str | None = None
) -> Stats:
    """What comes of these rows of an answer."""

    def ask(parameters: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        is_total = not {"group_by", "window"} & dict(parameters).keys()
        return {"rows": [total] if is_total else rows, "next_cursor": cursor, "currency": "USD"}

    return stats(ask, NOW, by=by, days=7, zone=ZoneInfo("UTC"), currency="usd")


def printed(figures: Stats, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, markup=False, highlight=False).print(rendered(figures))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def questions(by: By, zone: str = "UTC", days: int = 7) -> Asked:
    """The parameters of what is asked."""
    asked: Asked = []

    def ask(parameters: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        asked.append(dict(parameters))
        return {"rows": [NO_FIGURES], "next_cursor": None, "currency": "USD"}

    stats(ask, NOW, by=by, days=days, zone=ZoneInfo(zone), currency="USD")
    return asked


def test_the_days_are_those_of_the_zone_and_the_last_is_today() -> None:
    for asked in questions("route", "Asia/Kathmandu", days=2):
        assert (asked["from"], asked["to"], asked["timezone"]) == ("2026-04-05", "2026-04-07", "Asia/Kathmandu")


def test_days_without_events_are_asked_for_too() -> None:
    by_day, total = questions("day")
    assert (by_day["window"], by_day["fill"]) == ("day", "zero")
    assert by_day["metrics"].split(",") == [*METRICS]
    assert not {"window", "group_by"} & total.keys()


@pytest.mark.parametrize(
    ("by", "order"), [("model", "-total_tokens"), ("agent", "-total_tokens"), ("route", "-requests")]
)
def test_values_come_largest_first(by: By, order: str) -> None:
    assert questions(by)[0]["order_by"] == order


def test_numbers_have_separators_and_few_decimals() -> None:
    figures = made("route", [{"route": "/v1/chat", **SOME}])
    assert names(figures) == ["route", "requests", "errors", "success", "avg ms", "p95 ms", "tokens", "cost USD"]
    assert lines(figures)[0] == [
        "/v1/chat", "12,345", "3", "100.0%", "1,234.3", "7.0", "9,876,543,210", "1,234.5678",
    ]  # fmt: skip


def test_what_there_is_nothing_of_is_a_dash() -> None:
    [total] = lines(made("model", [], NO_FIGURES))
    assert total == ["total", "0", "0", "-", "-", "-", "0", "0.0000"]


def test_a_tiny_credit_is_not_a_negative_zero() -> None:
    [total] = lines(made("model", [], {**SOME, "cost": Decimal("-0.00001")}))
    assert total[-1] == "0.0000"


def test_events_without_a_value_are_a_line() -> None:
    assert lines(made("agent", [{"agent_id": None, **SOME}]))[0][0] == "(none)"


def test_days_are_dates_of_the_calendar_whenever_they_begin() -> None:
    figures = made("day", [{"window_start": "2026-09-06T01:00:00-03:00", **SOME}])
    assert lines(figures)[0][0] == "2026-09-06"


def test_a_token_is_its_name_and_the_begin_of_its_hash() -> None:
    rows = [
        {"token": "ab12cd34" * 8, "token_name": "gateway", **SOME},
        {"token": "ef56ab78" * 8, "token_name": None, **SOME},
        {"token": None, "token_name": None, **SOME},
    ]
    assert [line[0] for line in lines(made("token", rows))] == ["gateway ab12cd34…", "ef56ab78…", "(none)", "total"]


def test_a_user_id_of_two_organizations_shows_them() -> None:
    found = [("ann", "acme"), ("ann", "globex"), ("bob", "acme"), (None, None), (None, "acme")]
    rows = [{"user_id": user, "organization_id": organization, **SOME} for user, organization in found]
    assert [line[0] for line in lines(made("user", rows))] == [
        "ann in acme", "ann in globex", "bob", "(none) in (none)", "(none) in acme", "total",
    ]  # fmt: skip


def test_a_user_id_shows_its_organization_even_where_the_other_is_left_out() -> None:
    users = ["ann", *(f"user-{number}" for number in range(SHOWN_VALUES)), "ann"]
    rows = [{"user_id": user, "organization_id": f"org-{place}", **SOME} for place, user in enumerate(users)]
    assert lines(made("user", rows))[0][0] == "ann in org-0"


def test_values_past_the_first_20_are_counted() -> None:
    rows = [{"route": f"/{number}", **SOME} for number in range(SHOWN_VALUES)]
    assert len(lines(made("route", rows))) == SHOWN_VALUES + 1
    *shown, more, total = lines(made("route", [*rows, {"route": "/x", **SOME}]))
    assert len(shown) == SHOWN_VALUES
    assert (more[0], total[0]) == ("… and 1 more", "total")
    assert lines(made("route", [*rows * 100], cursor="next"))[-2][0] == "… and more than 1,980 more"


def test_every_day_is_shown() -> None:
    rows = [{"window_start": "2026-04-05T00:00:00+00:00", **SOME}] * 400
    assert len(lines(made("day", rows))) == 401


def test_costs_that_requests_are_missing_from_are_marked_and_the_notes_say_why() -> None:
    rows = [{"model": "a", **SOME}, {"model": "b", **SOME, "unpriced_requests": 1}]
    total = {**SOME, "unpriced_requests": 1, "unconverted_requests": 4_000}
    figures = made("model", rows, total)
    assert [line[-1] for line in lines(figures)] == ["1,234.5678 ", "1,234.5678*", "1,234.5678*"]
    assert notes(figures) == [
        "* not in the cost: 1 request with a model or tokens but no cost",
        "* not in the cost: 4,000 requests with a cost that has no rate to USD",
    ]
    assert notes(made("model", rows[:1])) == []


def test_the_table_begins_with_its_days_and_ends_with_the_total() -> None:
    figures = made("route", [{"route": "/a", **SOME}, {"route": "/long/route", **SOME}])
    assert printed(figures, 200) == [
        "2026-03-30 to 2026-04-05, UTC",
        "",
        "route        requests  errors  success   avg ms  p95 ms         tokens    cost USD",
        "/a             12,345       3   100.0%  1,234.3     7.0  9,876,543,210  1,234.5678",
        "/long/route    12,345       3   100.0%  1,234.3     7.0  9,876,543,210  1,234.5678",
        "total          12,345       3   100.0%  1,234.3     7.0  9,876,543,210  1,234.5678",
    ]


def test_no_values_are_a_total_of_nothing() -> None:
    assert printed(made("route", [], NO_FIGURES), 200)[2:] == [
        "route  requests  errors  success  avg ms  p95 ms  tokens  cost USD",
        "total         0       0        -       -       -       0    0.0000",
    ]


@pytest.mark.parametrize("value", ["/api/v1/" + "very-long/" * 30, "路由" * 60, "many words in a value " * 10])
def test_a_wide_value_is_cut_where_the_terminal_ends(value: str) -> None:
    figures = made("route", [{"route": value, **SOME}])
    narrow = printed(figures, 100)
    assert len(narrow) == 5
    assert all(cell_len(line) <= 100 for line in narrow)
    assert "…" in narrow[3]
    assert narrow[3].endswith("1,234.5678")
    assert value.strip() in printed(figures, 10_000)[3]


def test_no_line_is_broken_however_narrow_the_terminal_is() -> None:
    figures = made("route", [{"route": "/some/route", **SOME}])
    narrow = printed(figures, 35)
    assert len(narrow) == 5
    assert narrow[4].endswith("…")


@pytest.mark.parametrize("value", ["two\nlines", "\x1b[31mred", "[bold]", "\u202ereversed"])
def test_a_value_cannot_command_the_terminal(value: str) -> None:
    figures = made("route", [{"route": value, **SOME}])
    [label, *_] = lines(figures)[0]
    assert label.isprintable()
    assert len(label) == len(value)
    assert label in printed(figures, 200)[3]
