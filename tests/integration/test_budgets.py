"""What budgets have spent is exact at any moment, in their own window and currency; each crossing is noticed once."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import Connection

from tally import tokens
from tally.budgets import hard, storage
from tally.budgets.budget import Standing, Subject
from tally.budgets.crossings import notice
from tally.budgets.forecast import forecasts
from tally.budgets.spending import Alike, alike, standings
from tally.database import Store
from tally.errors import NotFound, Unprocessable
from tally.rollup import fold_step, run_once
from tally.settings import Settings
from tally.watching import watch_once
from tests.support.budgets import change, make, remove
from tests.support.half_folded import NOW, HalfFolded, half_folded
from tests.support.logs import Log
from tests.support.oracle import left_out_of_costs
from tests.support.postgres import Server, execute, rows, scalar
from tests.support.store import record

D = Decimal
_numbers = itertools.count()


@pytest.fixture(scope="module")
def made_up(postgres: Server) -> Iterator[HalfFolded]:
    with half_folded(postgres) as made:
        yield made


@pytest.fixture(autouse=True)
def no_budgets_stay(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "made_up" in request.fixturenames:
        execute(request.getfixturevalue("made_up").url, "TRUNCATE budgets CASCADE")


def call(time: datetime, cost: str, currency: str = "USD", **fields: Any) -> dict[str, Any]:
    amount = {"cost": {"amount": cost, "currency": currency}}
    return {"id": str(next(_numbers)), "source": "s", "route": "/", "time": time.isoformat(), **amount, **fields}


def stand(store: Store, now: datetime = NOW) -> dict[str, Standing]:
    """How all budgets stand, by name."""
    with store.connect() as connection:
        groups = alike(storage.every(connection), now)
        return {one.budget.name: one for group in groups for one in standings(connection, group)}


def spent(store: Store, now: datetime = NOW) -> dict[str, Decimal]:
    return {name: one.spent for name, one in stand(store, now).items()}


def noticed(store: Store, now: datetime = NOW) -> int:
    return notice(store, now, "tests", None)


# --- What was spent ---------------------------------------------------------------------------------------------------

SUBJECTS: dict[str, dict[str, str]] = {
    "everything": {},
    "acme": {"organization_id": "acme"},
    "globex": {"organization_id": "globex"},
    "anna wherever": {"user_id": "anna"},
    "anna of acme": {"organization_id": "acme", "user_id": "anna"},
    "boris of acme": {"organization_id": "acme", "user_id": "boris"},
    "writer": {"agent_id": "writer"},
    "gpt-4": {"model": "gpt-4"},
    "gpt-4 of acme": {"organization_id": "acme", "model": "gpt-4"},
    "anna's gpt-4 by writer": {"organization_id": "acme", "user_id": "anna", "agent_id": "writer", "model": "gpt-4"},
    "nobody": {"user_id": "nobody"},
}


@pytest.mark.parametrize("currency", ["USD", "RUB", "EUR"])
@pytest.mark.parametrize(
    ("window", "timezone"),
    [
        ("day", "America/Havana"),
        ("week", "Asia/Kathmandu"),
        ("month", "Asia/Kolkata"),
        ("month", "Pacific/Chatham"),
        ("total", "UTC"),
    ],
)
def test_it_is_the_sum_of_all_calls_of_the_subject_in_the_window(
    made_up: HalfFolded, window: str, timezone: str, currency: str
) -> None:
    for name, subject in SUBJECTS.items():
        make(made_up.store, name=name, window=window, timezone=timezone, currency=currency, **subject)
    found = stand(made_up.store)
    for name, subject in SUBJECTS.items():
        span = found[name].span
        facts = [
            fact
            for fact in made_up.oracle.facts
            if (span.lower is None or span.lower <= fact.time)
            and (span.upper is None or fact.time < span.upper)
            and all(fact.dimension(field) == value for field, value in subject.items())
        ]
        expected = sum((fact.worth(currency) or Fraction(0) for fact in facts), Fraction(0))
        assert abs(Fraction(found[name].spent) - expected) < Fraction(1, 10**10), name
        assert found[name].left_out == left_out_of_costs(facts, currency), name
    assert found["nobody"].spent == 0
    if window == "total":
        assert len({one.spent for one in found.values()}) > len(SUBJECTS) / 2


def test_asked_together_or_each_alone_is_the_same(made_up: HalfFolded) -> None:
    for name, subject in SUBJECTS.items():
        make(made_up.store, name=name, window="total", **subject)
        make(made_up.store, name=f"{name} again", window="total", **subject)
    with made_up.store.connect() as connection:
        groups = alike(storage.every(connection), NOW)
        assert len(groups) < len(SUBJECTS)
        together = [one for group in groups for one in standings(connection, group)]
        alone = [one for group in groups for each in group.each() for one in standings(connection, each)]
    assert together == alone


def test_a_token_is_named_by_its_id_and_known_in_calls_by_its_hash(store: Store) -> None:
    token, other = tokens.create(store, "app", ["ingest"]), tokens.create(store, "other", ["ingest"])
    own = {"token_hash": tokens.hash_of(token.secret)}
    record(store, [call(NOW, "1.5", **own), call(NOW, "2", token_hash=tokens.hash_of(other.secret))], NOW)
    make(store, name="app", token_id=token.id)
    make(store, name="unused", token_id=tokens.create(store, "unused", ["ingest"]).id)
    assert spent(store) == {"app": D("1.5"), "unused": 0}


def test_what_is_stored_counts_at_once_folded_or_not(store: Store) -> None:
    make(store, organization_id="acme")
    for number in range(1, 6):
        record(store, [call(NOW, "0.1", organization_id="acme")], NOW)
        assert spent(store) == {"b": D("0.1") * number}
        if number % 2:
            fold_step(store)
            assert spent(store) == {"b": D("0.1") * number}


@pytest.mark.parametrize(
    ("timezone", "first", "after"),
    [
        ("Asia/Kolkata", "2026-03-31T18:30Z", "2026-04-30T18:30Z"),
        ("Pacific/Chatham", "2026-03-31T10:15Z", "2026-04-30T11:15Z"),
    ],
)
def test_a_month_is_that_of_the_budgets_own_zone(store: Store, timezone: str, first: str, after: str) -> None:
    begin, end, instant = datetime.fromisoformat(first), datetime.fromisoformat(after), timedelta(microseconds=1)
    make(store, timezone=timezone)
    times = {begin - instant: "1", begin: "10", end - instant: "100", end: "1000"}
    record(store, [call(time, cost) for time, cost in times.items()], end)
    for _ in range(2):
        assert spent(store, begin - instant) == {"b": 1}
        assert spent(store, begin) == spent(store, end - instant) == {"b": 110}
        assert spent(store, end) == {"b": 1000}
        fold_step(store)


def test_calls_whose_cost_has_no_amount_in_the_currency_are_counted(store: Store) -> None:
    make(store, name="roubles", currency="RUB")
    both = call(NOW, "2") | {"cost_rub": "160"}
    record(store, [call(NOW, "80", "RUB"), call(NOW, "1"), both, {**call(NOW, "3"), "cost": None}], NOW)
    [one] = stand(store).values()
    assert (one.spent, one.left_out) == (D(240), {"unconverted_requests": 1})


def test_what_is_expected_at_the_end_learns_from_whole_days_before_today(store: Store) -> None:
    now = datetime(2026, 4, 20, 18, tzinfo=UTC)  # the evening: a quarter of today is to come, and ten days
    make(store, name="month", organization_id="acme")
    make(store, name="day", organization_id="acme", window="day")
    make(store, name="of all time", organization_id="acme", window="total")
    make(store, name="new", organization_id="globex")
    days = [now - timedelta(days=days) for days in (1, 2, 3, 4)]
    events = [call(day, "8", organization_id="acme") for day in days]
    events += [call(now, "3", organization_id=name) for name in ("acme", "globex")]
    record(store, events, now)
    found = stand(store, now)
    with store.connect() as connection:
        ends = forecasts(connection, found.values(), now)
    assert {name: ends[one.budget.id] for name, one in found.items()} == {
        "month": 35 + 2 + 80,
        "day": 3 + 2,
        "of all time": None,
        "new": None,
    }


# --- Noticing ---------------------------------------------------------------------------------------------------------


def crossings(url: str) -> list[tuple[Any, ...]]:
    return rows(
        url,
        "SELECT name, threshold, budget_crossings.amount, spent FROM budget_crossings"
        " JOIN budgets ON budgets.id = budget_id ORDER BY crossed_at, name, threshold",
    )


def test_each_threshold_is_noticed_once_when_it_is_reached(store: Store, database_url: str) -> None:
    make(store, thresholds=[50, 80, 100])
    seen = []
    for cost in ("49.99", "0.01", "20", "0", "40"):  # the last one jumps over two
        record(store, [call(NOW, cost)], NOW)
        seen.append(noticed(store))
        assert noticed(store) == 0
    assert seen == [0, 1, 0, 0, 2]
    assert crossings(database_url) == [
        ("b", 50, 100, 50),
        ("b", 80, 100, 110),
        ("b", 100, 100, D("109.99") + D("0.01")),
    ]
    assert scalar(database_url, "SELECT count(*) FROM notifications") == 3


def test_the_next_window_is_crossed_anew_and_all_of_time_once(store: Store) -> None:
    make(store, name="day", window="day", thresholds=[50])
    make(store, name="of all time", window="total", thresholds=[50])
    for number in range(3):
        day = NOW + timedelta(days=number)
        record(store, [call(day, "60")], day)
        assert noticed(store, day) == (1 if number else 2)
        assert noticed(store, day) == 0


def test_another_amount_is_crossed_anew_and_the_same_one_is_not(store: Store) -> None:
    budget = make(store, thresholds=[50, 100]).budget
    record(store, [call(NOW, "60")], NOW)
    assert noticed(store) == 1
    change(store, budget, name="another name", thresholds=[50, 60, 100])
    assert noticed(store) == 1
    change(store, budget, amount="200")
    assert noticed(store) == 0
    record(store, [call(NOW, "60")], NOW)
    assert noticed(store) == 2
    change(store, budget, amount="100")
    assert noticed(store) == 1


def test_a_budget_of_something_else_begins_anew(store: Store) -> None:
    budget = make(store, thresholds=[50], organization_id="acme").budget
    record(store, [call(NOW, "60", organization_id=name) for name in ("acme", "globex")], NOW)
    assert noticed(store) == 1
    change(store, budget, organization_id="globex")
    assert noticed(store) == 1
    assert noticed(store) == 0


def test_a_budget_that_was_changed_since_it_was_read_is_left_to_the_next_run(store: Store) -> None:
    budget = make(store, thresholds=[50]).budget
    standing = Standing(budget, budget.span_at(NOW), D(60))
    change(store, budget, amount="1000")
    with store.transaction() as connection:
        assert storage.cross(connection, standing, D(50), "n") is None
    remove(store, budget)
    with store.transaction() as connection:
        assert storage.cross(connection, standing, D(50), "n") is None


def test_noticed_by_many_at_once_it_is_one_crossing_with_one_notification(store: Store, database_url: str) -> None:
    for number in range(10):
        make(store, name=str(number), thresholds=[10, 20, 30])
    record(store, [call(NOW, "30")], NOW)
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: noticed(store), range(4)))
    assert sum(counts) == 30
    assert len(crossings(database_url)) == scalar(database_url, "SELECT count(*) FROM notifications") == 30
    assert scalar(database_url, "SELECT count(*) FROM deliveries") == 30


def test_one_that_cannot_be_evaluated_is_logged_and_the_others_go_on(store: Store, database_url: str, log: Log) -> None:
    bad = make(store, name="bad", thresholds=[50]).budget
    make(store, name="good", thresholds=[50])
    execute(database_url, "UPDATE budgets SET timezone = 'Nowhere/City' WHERE name = 'bad'")
    record(store, [call(NOW, "60")], NOW)
    assert noticed(store) == 1
    [line] = log()
    assert (line["severity"], line["message"], line["budget_id"]) == ("ERROR", "budget not evaluated", bad.id)
    assert "Nowhere/City" in line["reason"]


def test_one_that_takes_too_long_is_logged_and_those_that_it_was_asked_with_go_on(
    store: Store, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    heavy = make(store, name="heavy", organization_id="acme", thresholds=[50]).budget
    for name in ("light", "another"):
        make(store, name=name, organization_id=name, thresholds=[50])
    record(store, [call(NOW, "60", organization_id=name) for name in ("acme", "light", "another")], NOW)

    def impatient(connection: Connection, group: Alike) -> list[Standing]:
        if heavy.id in {budget.id for budget in group.budgets}:
            connection.exec_driver_sql("SET statement_timeout = 10")
            connection.exec_driver_sql("SELECT pg_sleep(5)")
        connection.exec_driver_sql("RESET statement_timeout")
        return standings(connection, group)

    monkeypatch.setattr("tally.budgets.crossings.standings", impatient)
    assert notice(store, NOW, "tests", None) == 2
    [line] = log()
    assert (line["severity"], line["message"], line["budget_id"]) == ("ERROR", "budget not evaluated", heavy.id)


# --- Hard budgets -----------------------------------------------------------------------------------------------------


def forbidding(store: Store, call_of: Subject) -> list[str]:
    with store.connect() as connection:
        found = hard.counting(connection, storage.every(connection), call_of, NOW)
        return [one.budget.name for one in found if one.is_exhausted]


def test_a_hard_budget_forbids_calls_of_its_subject_from_when_all_of_it_is_spent(store: Store) -> None:
    make(store, name="acme", organization_id="acme", hard=True)
    make(store, name="anna", organization_id="acme", user_id="anna", hard=True)
    make(store, name="soft", organization_id="acme")
    make(store, name="globex", organization_id="globex", hard=True)
    make(store, name="gpt-4", model="gpt-4", hard=True)
    anna, boris = Subject(organization_id="acme", user_id="anna"), Subject(organization_id="acme", user_id="boris")
    record(store, [call(NOW, "99.99", organization_id="acme", user_id="anna")], NOW)
    assert forbidding(store, anna) == []
    record(store, [call(NOW, "0.01", organization_id="acme", user_id="boris", model="gpt-4")], NOW)
    assert forbidding(store, anna) == forbidding(store, boris) == ["acme"]
    record(store, [call(NOW, "100", organization_id="acme", user_id="anna", model="gpt-4")], NOW)
    assert forbidding(store, anna) == ["acme", "anna"]
    assert forbidding(store, boris) == ["acme"]
    assert forbidding(store, Subject(organization_id="acme", model="gpt-4")) == ["acme", "gpt-4"]
    assert forbidding(store, Subject(organization_id="globex")) == []
    assert forbidding(store, Subject()) == []


# --- Managing ---------------------------------------------------------------------------------------------------------


def test_a_secret_is_shown_when_it_is_new_and_stands_nowhere_but_with_its_webhook(
    store: Store, database_url: str
) -> None:
    made = make(store, webhook_url="https://example.com/a")
    assert make(store).webhook_secret is None
    assert change(store, made.budget, webhook_url="https://example.com/b").webhook_secret is None
    rotated = change(store, made.budget, rotate_secret=True)
    again = change(store, change(store, made.budget, webhook_url=None).budget, webhook_url="https://example.com/b")
    secrets = [made.webhook_secret, rotated.webhook_secret, again.webhook_secret]
    assert len({*secrets}) == 3
    assert rows(database_url, "SELECT secret FROM webhooks") == [(secrets[-1],)]
    assert not any(str(secret) in str(rows(database_url, "SELECT * FROM audit_log")) for secret in secrets)
    remove(store, made.budget)
    assert rows(database_url, "SELECT secret FROM webhooks") == []


def test_every_change_is_in_the_audit_log(store: Store, database_url: str) -> None:
    made = make(store, webhook_url="https://example.com/a").budget
    change(store, made, amount="250.5", rotate_secret=True)
    remove(store, made)
    log = rows(
        database_url,
        "SELECT actor, action, before ->> 'amount', after ->> 'amount' FROM audit_log"
        " WHERE kind = 'budget' AND subject_id = %s ORDER BY id",
        (made.id,),
    )
    assert log == [
        ("tests", "create", None, "100"),
        ("tests", "rotate webhook secret", None, None),
        ("tests", "change", "100", "250.5"),
        ("tests", "delete", "250.5", None),
    ]


def test_what_is_not_there_is_said(store: Store) -> None:
    made = make(store).budget
    with pytest.raises(Unprocessable, match="rotate_webhook_secret: there is no webhook_url"):
        change(store, made, rotate_secret=True)
    remove(store, made)
    with pytest.raises(NotFound, match=made.id):
        remove(store, made)
    with pytest.raises(NotFound, match=made.id):
        change(store, made)


# --- The job ----------------------------------------------------------------------------------------------------------


def test_the_job_folds_notices_and_logs_in_one_run(settings: Settings, store: Store, log: Log) -> None:
    now = datetime.now(UTC)
    made = make(store, name="a month", thresholds=[50], organization_id="acme", user_id="anna").budget
    record(store, [call(now, "60.50", organization_id="acme", user_id="anna")], now)
    assert run_once(settings).folded == 1
    assert watch_once(settings).crossings == 1
    [line, _] = log()
    said = {"message": "budget crossed", "budget_id": made.id, "name": "a month", "currency": "USD"}
    assert line | said == line
    assert (D(line["spent"]), D(line["amount"]), D(line["threshold"])) == (D("60.5"), D(100), D(50))
    assert "anna" not in str(line)
    assert watch_once(settings).crossings == 0
    assert log() == []
