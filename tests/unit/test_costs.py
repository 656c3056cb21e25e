"""The cost page says what its prices and loads come to."""

import tomllib
from datetime import date
from decimal import Decimal

import pytest

from docs.costs.table import DOCUMENT, Case, Model, cents, model, read, tables, written

REAL = read()
SIZES = REAL.load["sizes"]

# Round figures, so that what is expected can be worked out in the head.
LOAD = """
[measured]
message_bytes = 400
raw_bytes = 400
key_bytes = 100
cube_bytes = 50
ingest_cpu = { 1 = 300, 100 = 30 }
record_cpu = { 1 = 150, 100 = 30 }
database_cpu = { 1 = 50, 100 = 25 }

[assumed]
cpu_factor = 2
busy_share = 0.5
request_seconds = 0.1
starts = 100
admin_requests = 10_000
start_seconds = 5
message_overhead_bytes = 100
request_head_bytes = 400
answer_bytes = 300
answer_event_bytes = 40
question_bytes = 4000
log_entry_bytes = 1000
disk_room = 1.5
cube_days = 365
image_gb = 2
alert_conditions = 10
alert_seconds = 30
armor_rules = 6
topic_days = 7
key_extra_days = 120
job_run_seconds = 60
job_gib = 0.5

[dedicated]
vcpu = 1
memory_gib = 3.75

[environments.small]
gib = { ingest = 0.5, record = 1, query = 0.5, admin = 0.5 }
warm = []
domain = false
regional = false
disk_gib = 10
backups = 7
rollup_minutes = 10

[environments.production]
gib = { ingest = 1, record = 2, query = 1, admin = 0.5 }
warm = ["ingest", "record", "query"]
domain = true
regional = true
disk_gib = 100
backups = 30
rollup_minutes = 1
"""
SMALL = {"events": 1_000_000, "questions": 50_000, "environment": "small"}
LARGE = {"events": 1_000_000_000, "questions": 1_000_000, "environment": "production", "vcpu": 8, "memory_gib": 32}
FREE = {"run_requests": 2, "logging": 50}


@pytest.fixture
def round_model() -> Model:
    """Everything costs a dollar."""
    prices = {
        name: {
            "what": name, "dollars": 1, "unit": "one", "free": FREE.get(name, 0),
            "source": "https://cloud.google.com/pricing", "read": date(2026, 1, 1),
        }
        for name in REAL.prices
    }  # fmt: skip
    return model(prices, tomllib.loads(LOAD, parse_float=Decimal))


def quantities(found: Model, case: Case) -> dict[str, Decimal]:
    return {line.price.what: line.quantity for line in found.bill(case)}


def test_the_page_holds_what_is_computed() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert written(document, tables(REAL)) == document, "run: python -m docs.costs.table"


def test_a_price_has_a_public_source_and_the_day_it_was_read() -> None:
    for name, price in REAL.prices.items():
        assert price.source.startswith("https://cloud.google.com/"), name
        assert isinstance(price.read, date), name
        assert price.dollars > 0, name


def test_every_price_is_used() -> None:
    cases = [Case(size, warehouse=True, dedicated=dedicated) for size in SIZES for dedicated in (False, True)]
    used = {line.price.what + line.price.unit for case in cases for line in REAL.bill(case)}
    free_of_charge = {"Cloud Scheduler"}  # fewer jobs than are free
    assert {price.what + price.unit for price in REAL.prices.values() if price.what not in free_of_charge} == used


def test_money_is_exact() -> None:
    for size in SIZES:
        for line in REAL.bill(Case(size)):
            assert isinstance(line.quantity, Decimal)
            assert isinstance(line.price.dollars, Decimal)
            assert line.amount == cents(line.amount)


def test_a_small_request_is_billed_for_a_tenth_of_a_second(round_model: Model) -> None:
    # 1,000,000 × 0.1 s twice, 50,000 × 0.1 s, 10,000 × 0.1 s, and 4 × 100 starts of 5 s.
    assert quantities(round_model, Case(SMALL))["run_cpu"] == 100_000 + 100_000 + 5_000 + 1_000 + 4 * 500


def test_many_requests_share_an_instance_until_cpu_needs_more(round_model: Model) -> None:
    month = 730 * 3600
    # 10^9 × 300 µs × 2 / 0.5 = 1,200,000 s are less than one instance has in a month.
    assert round_model.working_seconds(Case(LARGE), "ingest") == month
    assert round_model.working_seconds(Case({**LARGE, "events": 4_000_000_000}), "ingest") == 4_800_000
    # 10^7 requests × 0.1 s.
    assert round_model.working_seconds(Case(LARGE, each=100), "ingest") == 1_000_000


def test_a_warm_instance_is_billed_for_the_rest_of_the_month(round_model: Model) -> None:
    found = quantities(round_model, Case(LARGE))
    # ingest and record work all month, query for 1,000,000 × 0.1 s.
    assert found["run_warm_cpu"] == 730 * 3600 - 100_000
    # admin is never warm: it works for 10,000 × 0.1 s, and starts 100 times.
    assert found["run_memory"] == 730 * 3600 * (1 + 2 + 1) + (1_000 + 500) / 2
    assert "run_warm_cpu" not in quantities(round_model, Case(SMALL))


def test_a_run_of_a_job_is_billed_for_a_minute(round_model: Model) -> None:
    assert quantities(round_model, Case(SMALL))["job_cpu"] == 730 * 6 * 60
    assert quantities(round_model, Case(LARGE))["job_cpu"] == 730 * 60 * 60
    assert quantities(round_model, Case(LARGE, rollup_minutes=10))["job_cpu"] == 730 * 6 * 60


def test_free_shares_are_taken_off_once(round_model: Model) -> None:
    amounts = {line.price.what: line.amount for line in round_model.bill(Case(SMALL))}
    assert amounts["run_cpu"] == 208_000 - 180_000
    assert amounts["run_memory"] == 0  # 500 MB and 1 GB: 155,000 of 360,000 GiB-s
    assert amounts["run_requests"] == Decimal("0.06")  # of 2.06 million
    assert amounts["logging"] == 0


def test_keys_are_kept_longer_and_cubes_for_ever(round_model: Model) -> None:
    year = Decimal(1_000_000_000) * 12 / 365  # events a day
    kept = year * (365 * 400 + (365 + 120) * 100 + 365 * 50)
    assert round_model.data_gib(Case(LARGE, raw_days=365)) == pytest.approx(kept / 2**30)
    less = year * (35 * 400 + (35 + 120) * 100 + 365 * 50)
    assert round_model.data_gib(Case(LARGE, raw_days=35)) == pytest.approx(less / 2**30)


def test_a_disk_has_room_and_its_first_size_at_least(round_model: Model) -> None:
    assert round_model.disk_gib(Case(SMALL, raw_days=35)) == 10
    data = round_model.data_gib(Case(LARGE))
    assert abs(round_model.disk_gib(Case(LARGE)) - data * Decimal("1.5")) <= Decimal("0.5")


def test_a_small_message_counts_as_a_thousand_bytes_each_way(round_model: Model) -> None:
    assert quantities(round_model, Case(LARGE))["pubsub"] == Decimal(2 * 10**9 * 1000) / 2**40
    assert quantities(round_model, Case(LARGE, each=100))["pubsub"] == Decimal(2 * 10**7 * 40_100) / 2**40


def test_the_topic_keeps_a_week(round_model: Model) -> None:
    month = Decimal(730) / 24
    assert quantities(round_model, Case(LARGE))["pubsub_kept"] == Decimal(10**9 * 500) / 2**30 * 7 / month


def test_each_request_is_logged_by_cloud_run_and_by_the_load_balancer(round_model: Model) -> None:
    small = quantities(round_model, Case(SMALL))
    assert small["logging"] == Decimal((2 * 1_000_000 + 50_000 + 10_000) * 1000) / 2**30
    large = quantities(round_model, Case(LARGE))
    assert large["logging"] == Decimal((3 * 10**9 + 2 * (10**6 + 10**4)) * 1000) / 2**30
    assert large["armor_requests"] == Decimal("1001.01")
    assert "logging" not in quantities(round_model, Case(LARGE, request_logs=False))


def test_backups_are_a_copy_and_the_new_data_of_the_days_kept(round_model: Model) -> None:
    found = round_model.data_gib(Case(LARGE)) + 30 * Decimal(10**9) * 12 / 365 * (400 + 100 + 50) / 2**30
    assert quantities(round_model, Case(LARGE))["sql_backup"] == pytest.approx(730 * found)


def test_a_regional_database_is_billed_by_cpu_and_memory_a_small_one_by_the_hour(round_model: Model) -> None:
    large, small = quantities(round_model, Case(LARGE)), quantities(round_model, Case(SMALL))
    assert large["sql_cpu_ha"] == 730 * 8
    assert large["sql_memory_ha"] == 730 * 32
    assert small["sql_small"] == 730
    assert "sql_small" not in large


def test_a_small_database_with_a_cpu_of_its_own_is_billed_by_cpu_and_memory(round_model: Model) -> None:
    found = quantities(round_model, Case(SMALL, dedicated=True))
    assert (found["sql_cpu"], found["sql_memory"]) == (Decimal(730), Decimal("2737.5"))
    assert "sql_small" not in found
    assert quantities(round_model, Case(LARGE, dedicated=True)) == quantities(round_model, Case(LARGE))


def test_an_alert_is_billed_by_condition_and_by_what_it_looks_at(round_model: Model) -> None:
    found = quantities(round_model, Case(SMALL))
    # 10 conditions look at a time series each, twice a minute, 43,800 minutes.
    assert (found["alerts"], found["alert_series"]) == (Decimal(10), Decimal("0.876"))


def test_a_price_that_is_not_confirmed_says_so_wherever_it_is_shown() -> None:
    doubtful = [price for price in REAL.prices.values() if price.doubt]
    assert doubtful
    for price in doubtful:
        assert f"| {price.what} | {price.dollars} ? | {price.unit} |" in tables(REAL)["prices"]
    for name in ("one", "hundred"):
        assert f"| Alerts: conditions | condition | {REAL.prices['alerts'].dollars} ? |" in tables(REAL)[name]


def test_answers_go_to_the_internet_and_bodies_through_the_load_balancer(round_model: Model) -> None:
    found = quantities(round_model, Case(LARGE))
    answered = 10**9 * (300 + 40) + (10**6 + 10**4) * 4000
    received = 10**9 * 400 + (10**9 + 10**6 + 10**4) * 400
    assert found["internet"] == Decimal(answered) / 2**30
    assert found["balancer_data"] == Decimal(answered + received) / 2**30


def test_bigquery_keeps_what_was_published_90_days_of_it_at_the_higher_price(round_model: Model) -> None:
    assert "warehouse" not in quantities(round_model, Case(LARGE))
    found = quantities(round_model, Case(LARGE, warehouse=True))
    daily = Decimal(10**9) * 12 / 365 * 500 / 2**30
    assert found["warehouse"] == Decimal(10**9 * 1000) / 2**40
    assert found["warehouse_recent"] == pytest.approx(730 * daily * 90)
    assert found["warehouse_old"] == pytest.approx(730 * daily * (365 - 90))


def test_the_example_of_the_page() -> None:
    amounts = {line.name: line.amount for line in REAL.bill(Case(SIZES[0]))}
    assert amounts["Services: working"] == Decimal("1.08")
    assert amounts["Rollup: working"] == Decimal("4.73")
    assert amounts["Database: `db-g1-small`"] == Decimal("25.55")
    assert amounts["Database: disk"] == Decimal("1.70")


def test_the_page_says_what_is_most_in_doubt() -> None:
    series, conditions = (
        next(line.amount for line in REAL.bill(Case(SIZES[0])) if line.name == name)
        for name in ("Alerts: time series", "Alerts: conditions")
    )
    reported = series + REAL.load["assumed"]["alert_conditions"] * Decimal("0.10")
    assert f"Alerts are ${series + conditions} a month" in DOCUMENT.read_text("utf-8")
    assert f"they are ${reported}." in DOCUMENT.read_text("utf-8")


def test_a_document_without_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table one"):
        written("", {"one": "| |\n"})
