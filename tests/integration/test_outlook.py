"""What `/v1/forecast` learns from is what was counted by hand, in every zone, half of it folded or not."""

import io
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from tally import jsontext
from tally.clock import Clock
from tally.database import Store
from tally.usage.exhaustion import BudgetState
from tally.usage.forecast_question import answer, parse_forecast_question
from tally.usage.forecast_table import rendered
from tally.usage.inquiry import Inquiry
from tally.usage.outlook import outlook
from tests.support.forecast_oracle import forecast_of
from tests.support.functions import read_json
from tests.support.half_folded import EVERYBODY, MOMENTS, NOW, ZONES, HalfFolded, half_folded
from tests.support.oracle import Fact
from tests.support.postgres import Server
from tests.support.store import record

NOWS = (NOW, *(MOMENTS[number] + timedelta(seconds=step) for number in (4, 7, 12, 17) for step in (-1, 0)))
FILTERS: tuple[dict[str, str], ...] = ({}, {"model": "gpt-4"}, {"organization_id": "acme"}, {"route": ""})


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    """The events of this module."""
    with half_folded(postgres) as made:
        yield made


def asked(store: Store, given: Mapping[str, str], now: Any = NOW) -> Any:
    """An answer as a client reads it."""
    with store.connect() as connection:
        inquiry = Inquiry(connection, EVERYBODY, now)
        question = parse_forecast_question(given.items(), now)
        return read_json(jsontext.dump_answer(answer(inquiry, question, question.currency)))


def is_chosen(fact: Fact, filters: Mapping[str, str]) -> bool:
    return all((fact.dimension(name) or "") == value for name, value in filters.items())


@pytest.mark.parametrize("zone", ZONES)
def test_the_forecast_is_as_counted_by_hand(half: HalfFolded, zone: str) -> None:
    turns = itertools.cycle(itertools.product(FILTERS, ("USD", "RUB"), ("84", "28", "9"), ("1", "30")))
    for now, (filters, currency, past, days) in zip(NOWS, itertools.islice(turns, len(zone), None), strict=False):
        given = {"days": days, "history_days": past, "timezone": zone, "currency": currency}
        found = asked(half.store, {**given, **filters}, now)
        expected = forecast_of([fact for fact in half.oracle.facts if is_chosen(fact, filters)], given, now)
        assert_same(found, expected)
        for day, counted in zip(found["days"], expected["days"], strict=True):
            assert_same(day, counted)


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if name == "cost":
            assert float(found[name]) == pytest.approx(value, rel=1e-12, abs=1.1e-10)
        elif name in ("tokens", "lower", "upper"):
            assert found[name] == pytest.approx(value, abs=1)
        elif name != "days":
            assert found[name] == value, name
    assert found.keys() == expected.keys()


def test_days_and_their_costs_add_up(half: HalfFolded) -> None:
    found = asked(half.store, {"days": "366", "currency": "RUB"})
    assert sum(day["tokens"] for day in found["days"]) == found["tokens"] > 0
    assert sum(day["cost"] for day in found["days"]) == found["cost"] > 0


def test_whether_usage_began_is_told_by_what_was_before(store: Store) -> None:
    def used(*days: str) -> None:
        record(
            store,
            [{"id": day, "source": "began", "time": f"{day}T12:00:00Z", "total_tokens": 80} for day in days],
            NOW,
        )

    used("2026-03-31", "2026-04-03")
    # From 1 to 5 April; what began on 31 March is seen in the five days before, and those without usage count.
    assert asked(store, {"days": "10", "history_days": "5"})["tokens"] == 160
    # From 30 March on, without anything before: since 1 April, the day after it began.
    assert asked(store, {"days": "10", "history_days": "7"})["tokens"] == 160
    # From 2 April on and since 28 March: it began on 31 March.
    assert asked(store, {"days": "10", "history_days": "4"})["tokens"] == 200
    # Since 4 April nothing, and on 3 April something.
    assert asked(store, {"days": "10", "history_days": "2"})["tokens"] == 0


def test_the_first_budget_to_run_out_is_told(store: Store) -> None:
    record(
        store,
        [
            {"id": str(back), "source": "spent", "time": (NOW - timedelta(days=back)).isoformat(), "cost_usd": "2"}
            | {"total_tokens": 1}
            for back in range(1, 30)
        ],
        NOW,
    )
    today = date(2026, 4, 6)

    def ends(*budgets: tuple[str, str, str]) -> str | None:
        states = [
            BudgetState(Decimal(amount), window, ZoneInfo("UTC"), Decimal(spent))  # type: ignore[arg-type]
            for amount, window, spent in budgets
        ]
        with store.connect() as connection:
            found = outlook(
                Inquiry(connection, EVERYBODY, NOW), {}, zone=ZoneInfo("UTC"), days=30, history_days=28,
                currency="USD", budgets=states,
            )  # fmt: skip
        return None if found["budget_exhausted_on"] is None else str(found["budget_exhausted_on"])

    assert ends() is None
    assert ends(("100", "total", "70")) == str(today + timedelta(days=15))
    assert ends(("100", "total", "70"), ("20", "total", "15"), ("3", "day", "0")) == str(today + timedelta(days=3))
    assert ends(("3", "day", "0"), ("1000", "month", "0")) is None


def tally_forecast(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the command."""
    return subprocess.run(
        [sys.executable, "-m", "tally.cli", "forecast", *options],
        env=os.environ | {"TALLY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_prints_what_the_interface_answers(half: HalfFolded) -> None:
    with half.store.connect() as connection:
        today = Clock(half.store).now().astimezone(ZoneInfo("Asia/Tokyo")).date()
        inquiry = Inquiry(connection, EVERYBODY, datetime.combine(today, time(12), ZoneInfo("Asia/Tokyo")))
        options = [("history_days", "366"), ("timezone", "Asia/Tokyo"), ("currency", "RUB"), ("model", "gpt-4")]
        question = parse_forecast_question([*options, ("model", "gpt-4o")], NOW)
        expected = answer(inquiry, question, question.currency)
    assert expected["tokens"] > 0
    given = [part for name, value in options for part in (f"--{name.replace('_', '-')}", value)]
    done = tally_forecast(half.url, *given, "--model", "gpt-4o")
    assert (done.returncode, done.stderr) == (0, "")
    out = io.StringIO()
    Console(file=out, width=10_000, markup=False, highlight=False).print(rendered(question, expected))
    assert done.stdout == out.getvalue()


def test_a_database_without_the_migrations_is_one_line_with_the_command(empty_database_url: str) -> None:
    done = tally_forecast(empty_database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "tally migrate" in done.stderr
    assert done.stderr.count("\n") == 1
