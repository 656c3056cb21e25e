"""What `tally stats` prints is what was counted by hand, and what `GET /v1/usage` answers."""

import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from tally import tokens
from tally.usage.answer import answer
from tally.usage.inquiry import Inquiry
from tally.usage.question import parse_question
from tally.usage.stats import SHOWN_VALUES, By, Stats, stats
from tally.usage.table import lines, notes, rendered
from tests.support.functions import ADMIN, Function, Functions
from tests.support.half_folded import EVERYBODY, NAMES, NOW, HalfFolded, half_folded
from tests.support.oracle import PERCENTILE_BOUND, Fact, metric, one_decimal, shown
from tests.support.postgres import Server

P95 = 5


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    """The events of this module."""
    with half_folded(postgres) as made:
        yield made


@pytest.fixture(scope="module")
def query(half: HalfFolded, module_functions: Functions) -> Iterator[Function]:
    """The function on the same events."""
    tokens.register_admin(half.store, ADMIN)
    yield module_functions.start("query", half.url)
    module_functions.stop_all()


def found(half: HalfFolded, by: By, days: int, zone: str, currency: str) -> Stats:
    with half.store.snapshot() as connection:
        inquiry = Inquiry(connection, EVERYBODY, NOW)
        return stats(
            lambda parameters: answer(inquiry, parse_question(parameters, NOW)),
            NOW, by=by, days=days, zone=ZoneInfo(zone), currency=currency,
        )  # fmt: skip


def facts_by_day(half: HalfFolded, days: int, zone: str) -> dict[str, list[Fact]]:
    """The events of each local day."""
    where = ZoneInfo(zone)
    today = NOW.astimezone(where).date()
    by_day: dict[str, list[Fact]] = {str(today - timedelta(days=back)): [] for back in reversed(range(days))}
    for fact in half.oracle.facts:
        by_day.get(str(fact.time.astimezone(where).date()), []).append(fact)
    return by_day


def counted(label: str, facts: Sequence[Fact], currency: str) -> list[str | Fraction]:
    """The line of these events; p95 as it is, since the one printed may differ by its bound."""

    def rounded(name: str, unit: str = "") -> str:
        value = metric(name, facts, currency)
        return "-" if value is None else f"{one_decimal(Fraction(value)):,}{unit}"

    p95 = metric("p95_response_time_ms", facts, currency)
    return [
        label,
        f"{len(facts):,}",
        f"{metric('errors', facts, currency):,}",
        rounded("success_rate", "%"),
        rounded("avg_response_time_ms"),
        "-" if p95 is None else Fraction(p95),
        f"{metric('total_tokens', facts, currency):,}",
        f"{shown(metric('cost', facts, currency)):z,.4f}{'*' if left_out(facts, currency) else ' '}",
    ]


def left_out(facts: Sequence[Fact], currency: str) -> list[str]:
    """Why the costs of these events are not all."""
    unpriced = metric("unpriced_requests", facts, currency)
    unconverted = sum(fact.is_unconverted(currency) for fact in facts)
    return [f"not in the cost: {count:,} request" for count in (unpriced, unconverted) if count]


def assert_printed(printed: Sequence[Sequence[str]], expected: Sequence[Sequence[str | Fraction]]) -> None:
    assert [without_p95(line) for line in printed] == [without_p95(line) for line in expected]
    for line, counted_line in zip(printed, expected, strict=True):
        text, exact = line[P95], counted_line[P95]
        if isinstance(exact, str):
            assert text == exact
        else:
            assert abs(Fraction(text.replace(",", "")) - exact) <= PERCENTILE_BOUND * exact + Fraction("0.05")


def without_p95(line: Sequence[str | Fraction]) -> list[str | Fraction]:
    return [*line[:P95], *line[P95 + 1 :]]


@pytest.mark.parametrize(
    ("zone", "days", "currency"),
    [
        ("UTC", 7, "USD"),
        ("Asia/Kathmandu", 70, "USD"),  # +05:45
        ("America/New_York", 40, "RUB"),  # the clocks go forward on 8 March
        ("Australia/Lord_Howe", 3, "EUR"),  # they go back by half an hour on 5 April
        ("America/Santiago", 7, "CHF"),  # they go back at midnight of 5 April
    ],
)
def test_each_local_day_is_as_counted_by_hand(half: HalfFolded, zone: str, days: int, currency: str) -> None:
    by_day = facts_by_day(half, days, zone)
    everything = [fact for facts in by_day.values() for fact in facts]
    figures = found(half, "day", days, zone, currency)
    expected = [counted(day, facts, currency) for day, facts in by_day.items()]
    assert_printed(lines(figures), [*expected, counted("total", everything, currency)])
    for note, reason in zip(notes(figures), left_out(everything, currency), strict=True):
        assert reason in note


def of(name: str) -> Callable[[Fact], tuple[Any, ...]]:
    return lambda fact: (fact.dimension(name),)


KEYS: Mapping[By, Callable[[Fact], tuple[Any, ...]]] = {
    "operation": of("operation"),
    "agent": of("agent_id"),
    "model": of("model"),
    "user": lambda fact: (fact.dimension("user_id"), fact.dimension("organization_id")),
    "token": of("token"),
    "route": of("route"),
}


def labels(by: By, keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    def text(value: str | None) -> str:
        return "(none)" if value is None else value

    if by == "user":
        times = Counter(user for user, _ in keys)
        return {key: f"{text(key[0])} in {text(key[1])}" if times[key[0]] > 1 else text(key[0]) for key in keys}
    if by == "token":
        named = {token: f"{name} " for token, (name, _) in NAMES.items()}
        return {key: f"{named.get(key[0], '')}{key[0][:8]}…" if key[0] else "(none)" for key in keys}
    return {key: text(key[0]) for key in keys}


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
@pytest.mark.parametrize("by", KEYS)
def test_each_value_is_as_counted_by_hand_and_the_largest_come_first(half: HalfFolded, by: By, zone: str) -> None:
    groups: dict[tuple[Any, ...], list[Fact]] = {}
    everything = [fact for facts in facts_by_day(half, 60, zone).values() for fact in facts]
    for fact in everything:
        groups.setdefault(KEYS[by](fact), []).append(fact)
    ranked_by = "total_tokens" if by in ("operation", "agent", "model") else "requests"

    def rank(key: tuple[Any, ...]) -> tuple[Any, ...]:
        texts = [(value is None, (value or "").encode()) for value in key]
        return (-Fraction(metric(ranked_by, groups[key], "USD") or 0), *texts)

    ranked = sorted(groups, key=rank)
    shown = labels(by, ranked)
    expected = [counted(shown[key], groups[key], "USD") for key in ranked[:SHOWN_VALUES]]
    if len(ranked) > SHOWN_VALUES:
        expected.append([f"… and {len(ranked) - SHOWN_VALUES} more", *[""] * 7])
    assert_printed(lines(found(half, by, 60, zone, "USD")), [*expected, counted("total", everything, "USD")])


def tally_stats(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    return subprocess.run(
        [sys.executable, "-m", "tally.cli", "stats", *options],
        env=os.environ | {"TALLY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("by", ["model", "user"])
def test_the_command_prints_what_the_interface_answers(half: HalfFolded, query: Function, by: By) -> None:
    done = tally_stats(half.url, "--days", "3000", "--by", by, "--timezone", "Asia/Kathmandu", "--currency", "rub")
    assert (done.returncode, done.stderr) == (0, "")
    today = re.findall(r"\d{4}-\d\d-\d\d", done.stdout.partition("\n")[0])[-1]
    now = datetime.fromisoformat(f"{today}T12:00:00+05:45")

    def over_http(parameters: Sequence[tuple[str, str]]) -> Any:
        response = query.get("/v1/usage", params=parameters)
        return json.loads(response.content, parse_float=Decimal, parse_int=Decimal)

    figures = stats(over_http, now, by=by, days=3000, zone=ZoneInfo("Asia/Kathmandu"), currency="RUB")
    assert figures.total["requests"] == len(half.oracle)
    out = io.StringIO()
    Console(file=out, width=10_000, markup=False, highlight=False).print(rendered(figures))
    assert done.stdout == out.getvalue()


def test_an_empty_database_is_days_of_zeros(database_url: str) -> None:
    done = tally_stats(database_url, "--days", "2")
    assert (done.returncode, done.stderr) == (0, "")
    below = [line.split() for line in done.stdout.splitlines()[3:]]
    assert [line[1:] for line in below] == [["0", "0", "-", "-", "-", "0", "0.0000"]] * 3


def test_a_database_without_the_migrations_is_one_line_with_the_command(empty_database_url: str) -> None:
    done = tally_stats(empty_database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "tally migrate" in done.stderr
    assert done.stderr.count("\n") == 1
