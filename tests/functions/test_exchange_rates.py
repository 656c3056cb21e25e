"""Exchange rates as whoever manages them meets them: set, listed, converted with, taken away, and refused."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tally import tokens
from tally.database import Store
from tests.support.functions import ADMIN, Stack, read_json, write_json
from tests.support.postgres import scalar, settings_of

USD_RUB = {"base": "USD", "quote": "RUB", "rate": "80.5", "date": "2026-05-01", "source": "Bank of Russia"}


def post(stack: Stack, body: object, token: str | None = ADMIN) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return stack.admin.post("/v1/exchange-rates", token, content=write_json(body), headers=headers)


def put(stack: Stack, **fields: object) -> Any:
    answer = post(stack, {**USD_RUB, **fields})
    assert answer.status_code == 201, answer.text
    return read_json(answer.content)


def asked(stack: Stack, path: str = "", *, status: int = 200, **parameters: Any) -> Any:
    given = {name.rstrip("_"): str(value) for name, value in parameters.items()}
    answer = stack.admin.get(f"/v1/exchange-rates{path}", params=given)
    assert answer.status_code == status, answer.text
    return read_json(answer.content)


def faults(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(fault["field"], fault["message"]) for fault in answer.json()["errors"]]


def history(stack: Stack, key: str) -> list[Any]:
    answer = stack.admin.get("/v1/audit-log", params={"kind": "exchange rate", "subject_id": key})
    return [(one["action"], one["before"], one["after"]) for one in read_json(answer.content)["items"]]


def test_a_rate_is_answered_as_it_is_now_in_force(stack: Stack) -> None:
    set_now = put(stack, quote="THB")
    created_at = datetime.fromisoformat(set_now.pop("created_at"))
    assert timedelta() <= datetime.now(UTC) - created_at < timedelta(minutes=1)
    assert set_now == {**USD_RUB, "quote": "THB", "rate": Decimal("80.5"), "id": "USD/THB/2026-05-01"}
    [listed] = asked(stack, base="USD", quote="THB")["items"]
    del listed["created_at"]
    assert listed == set_now


def test_every_digit_of_a_rate_is_kept(stack: Stack) -> None:
    rate = "0.012345678901234567890123456789"
    assert put(stack, base="VND", rate=rate)["rate"] == Decimal(rate)
    assert asked(stack, base="VND")["items"][0]["rate"] == Decimal(rate)
    assert history(stack, "VND/RUB/2026-05-01")[0][2]["rate"] == Decimal(rate)


def test_a_rate_of_the_same_pair_and_day_is_replaced_and_the_audit_log_has_both(stack: Stack) -> None:
    first = put(stack, base="CHF", rate=90)
    second = put(stack, base="chf", rate="91.25", source="mended")
    assert second["created_at"] > first["created_at"]
    assert [one["rate"] for one in asked(stack, base="CHF")["items"]] == [Decimal("91.25")]
    was, now = (
        {**USD_RUB, "base": "CHF", **one} for one in ({"rate": 90}, {"rate": Decimal("91.25"), "source": "mended"})
    )
    assert history(stack, "CHF/RUB/2026-05-01") == [("update", was, now), ("create", None, was)]


def test_what_does_not_change_anything_is_not_noted(stack: Stack) -> None:
    first = put(stack, base="SEK", rate="7.50")
    assert put(stack, base="SEK", rate=7.5) == {**first, "rate": Decimal("7.5")}
    assert len(history(stack, "SEK/RUB/2026-05-01")) == 1


def test_a_list_is_set_in_its_order_all_or_none(stack: Stack) -> None:
    days = [f"2026-03-{day:02d}" for day in (3, 1, 2)]
    rates = [{**USD_RUB, "base": "PLN", "date": day, "rate": index + 20} for index, day in enumerate(days)]
    answer = post(stack, rates)
    assert (answer.status_code, answer.json().keys()) == (201, {"items"})
    assert [(one["date"], one["rate"]) for one in answer.json()["items"]] == [*zip(days, (20, 21, 22), strict=True)]

    other = [{**one, "base": "HUF"} for one in rates]
    other[2]["rate"] = 0
    assert [fault["index"] for fault in post(stack, other).json()["errors"]] == [2]
    assert asked(stack, base="HUF")["items"] == []


def test_a_list_has_a_pair_and_day_once(stack: Stack) -> None:
    answer = post(stack, [USD_RUB, {**USD_RUB, "quote": "EUR"}, {**USD_RUB, "rate": 81}])
    assert faults(answer) == [("date", "is there already, at index 0: a pair has one rate a day")]
    assert [(fault["index"], fault["value"]) for fault in answer.json()["errors"]] == [(2, "USD/RUB/2026-05-01")]


def test_a_list_has_one_to_a_thousand(stack: Stack) -> None:
    assert faults(post(stack, [])) == [("", "the list is empty")]
    first = datetime(2020, 1, 1, tzinfo=UTC)
    rates = [{**USD_RUB, "base": "NOK", "date": str((first + timedelta(days=n)).date())} for n in range(1001)]
    too_many = post(stack, rates)
    assert (too_many.status_code, "at most 1000" in too_many.json()["detail"]) == (413, True)
    assert len(post(stack, rates[1:]).json()["items"]) == 1000


TOMORROW = datetime.now(UTC).date() + timedelta(days=1)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"rate": 0}, "rate", "must be above 0"),
        ({"rate": "0.000"}, "rate", "must be above 0"),
        ({"rate": -80}, "rate", "must be above 0"),
        ({"rate": "1e-31"}, "rate", "at most 30 decimals"),
        ({"rate": 10**15 + 1}, "rate", "at most 10^15"),
        ({"rate": "1e999999999"}, "rate", "expected a decimal number"),
        ({"rate": "NaN"}, "rate", "expected a decimal number such as"),
        ({"rate": "80,5"}, "rate", "expected a decimal number such as"),
        ({"rate": True}, "rate", "expected a decimal number such as"),
        ({"rate": None}, "rate", "expected a decimal number such as"),
        ({"quote": "USD"}, "quote", "another currency than base"),
        ({"base": "RUR"}, "base", 'did you mean "RUB"'),
        ({"base": "XXX"}, "base", "is not a currency"),
        ({"base": "dollars"}, "base", "is not a currency"),
        ({"base": 840}, "base", "valid string"),
        ({"date": "2026-02-30"}, "date", "is not in the calendar"),
        ({"date": "1989-12-31"}, "date", "must not be before 1990-01-01"),
        ({"date": str(TOMORROW + timedelta(days=2))}, "date", "a day ahead at most"),
        ({"date": "2026-05-01T00:00:00Z"}, "date", "expected a date such as 2026-05-01"),
        ({"date": 1777593600}, "date", "expected a date such as 2026-05-01"),
        ({"source": ""}, "source", "at least 1 character"),
        ({"source": "  "}, "source", "at least 1 character"),
        ({"source": "x" * 201}, "source", "at most 200 characters"),
        ({"source": "a\0b"}, "source", "NUL"),
        ({"qoute": "EUR"}, "qoute", 'did you mean "quote"'),
    ],
)  # fmt: skip
def test_a_bad_rate_is_a_422_that_names_the_field(
    stack: Stack, fields: dict[str, object], field: str, message: str
) -> None:
    [(named, said)] = faults(post(stack, {**USD_RUB, **fields}))
    assert named == field
    assert message in said


@pytest.mark.parametrize("field", [*USD_RUB])
def test_every_field_is_needed(stack: Stack, field: str) -> None:
    given = {name: value for name, value in USD_RUB.items() if name != field}
    assert faults(post(stack, given)) == [(field, "is missing")]


@pytest.mark.parametrize("body", [5, None, "USD"])
def test_what_is_no_rate_at_all_is_a_422(stack: Stack, body: object) -> None:
    [(field, _)] = faults(post(stack, body))
    assert field == ""


def test_a_rate_is_known_a_day_ahead(stack: Stack) -> None:
    assert put(stack, base="ISK", date=str(TOMORROW))["date"] == str(TOMORROW)


def test_pages_go_through_all_rates_newest_first_and_lose_none(stack: Stack) -> None:
    rates = [
        {**USD_RUB, "base": base, "quote": quote, "date": f"2001-01-{day:02d}"}
        for base, quote, day in (
            ("AUD", "NZD", 1), ("AUD", "CAD", 1), ("CAD", "NZD", 1), ("AUD", "NZD", 3), ("NZD", "AUD", 2),
        )
    ]  # fmt: skip
    assert post(stack, rates).status_code == 201
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = asked(stack, from_="2001-01-01", to="2001-01-04", limit=2, **cursor)
        found += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == [
        "AUD/NZD/2001-01-03", "NZD/AUD/2001-01-02", "AUD/CAD/2001-01-01", "AUD/NZD/2001-01-01", "CAD/NZD/2001-01-01",
    ]  # fmt: skip
    assert [one["id"] for one in asked(stack, base="AUD", quote="NZD", to="2001-01-03")["items"]] == [
        "AUD/NZD/2001-01-01"
    ]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"base": "RUR"}, 'did you mean "RUB"'),
        ({"cursor": "nonsense"}, "expected the next_cursor"),
        ({"cursor": "YS9iL2M"}, "expected the next_cursor"),
        ({"limit": "1001"}, "1000"),
        ({"from": "yesterday"}, "expected a date"),
        ({"currency": "USD"}, "Extra inputs"),
    ],
)
def test_a_bad_parameter_of_the_list_is_a_400(stack: Stack, parameters: dict[str, str], message: str) -> None:
    assert message in asked(stack, status=400, **parameters)["detail"]


def test_a_rate_that_is_taken_away_no_longer_counts(stack: Stack) -> None:
    put(stack, base="DKK", date="2026-04-30", rate=11)
    put(stack, base="DKK", date="2026-05-01", rate=12)
    path = "/v1/exchange-rates/DKK/RUB/2026-05-01"
    gone = stack.admin.request("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert asked(stack, "/convert", from_="DKK", to="RUB", date="2026-05-02")["rate"] == 11
    assert history(stack, "DKK/RUB/2026-05-01")[0] == ("delete", {**USD_RUB, "base": "DKK", "rate": 12}, None)
    again = stack.admin.request("DELETE", path)
    assert (again.status_code, again.json()["detail"]) == (404, "There is no exchange rate DKK/RUB of 2026-05-01.")
    assert stack.admin.request("DELETE", "/v1/exchange-rates/DKK/RUB/May").status_code == 400


def test_who_reads_sees_rates_and_changes_none(stack: Stack) -> None:
    store = Store(settings_of(stack.database_url), "tests", pool_size=1)
    reader = tokens.create(store, "reader", ["read"], organization_id="acme")
    sender = tokens.create(store, "sender", ["ingest"])
    store.dispose()
    put(stack)
    assert stack.admin.get("/v1/exchange-rates", reader.secret).status_code == 200
    assert stack.admin.get("/v1/exchange-rates/convert?from=USD&to=RUB", reader.secret).status_code == 200
    assert stack.admin.get("/v1/exchange-rates", sender.secret).status_code == 403
    assert post(stack, USD_RUB, reader.secret).status_code == 403
    assert stack.admin.request("DELETE", "/v1/exchange-rates/USD/RUB/2026-05-01", reader.secret).status_code == 403
    assert post(stack, USD_RUB, None).status_code == 401


def test_the_audit_log_has_who_did_it(stack: Stack) -> None:
    put(stack, base="MXN")
    who = "SELECT actor FROM audit_log WHERE subject_id = 'MXN/RUB/2026-05-01'"
    assert scalar(stack.database_url, who) == "admin"


def test_an_amount_is_converted_without_losing_a_digit(stack: Stack) -> None:
    put(stack, base="TRY", rate="3", date="2026-05-01")
    there = asked(stack, "/convert", amount="0.1", from_="TRY", to="RUB", date="2026-05-03")
    assert there == {"amount": Decimal("0.3"), "currency": "RUB", "rate": 3, "dated": "2026-05-01", "way": "direct"}
    back = asked(stack, "/convert", amount="-1000000000000000", from_="rub", to="try", date="2026-05-03")
    assert back == {
        "amount": Decimal("-333333333333333.3333333333"), "currency": "TRY", "rate": Decimal("0.33333333333333333333"),
        "dated": "2026-05-01", "way": "inverse",
    }  # fmt: skip


def test_an_amount_in_its_own_currency_stays_as_it_is(stack: Stack) -> None:
    same = asked(stack, "/convert", amount="7.25", from_="BRL", to="BRL", date="2026-05-03")
    assert same == {"amount": Decimal("7.25"), "currency": "BRL", "rate": 1, "dated": "2026-05-03", "way": "same"}


def test_today_is_the_day_if_none_is_given(stack: Stack) -> None:
    put(stack, base="ZAR", rate=4, date=str(TOMORROW - timedelta(days=2)))
    put(stack, base="ZAR", rate=5, date=str(TOMORROW))
    before = datetime.now(UTC).date()
    today = asked(stack, "/convert", from_="ZAR", to="RUB")
    after = datetime.now(UTC).date()  # another one at midnight
    assert today in [asked(stack, "/convert", from_="ZAR", to="RUB", date=day) for day in (before, after)]


def test_what_is_missing_is_named_with_how_to_set_it(stack: Stack) -> None:
    put(stack, base="KZT", quote="USD", date="2020-01-01")
    detail = asked(stack, "/convert", status=404, from_="KZT", to="GEL", date="2026-05-03")["detail"]
    assert detail == (
        "No exchange rate from KZT to GEL is known for 2026-05-03 or a day before it. Missing is KZT/GEL, or else "
        "USD/GEL (or the same the other way round). Set one by POST /v1/exchange-rates, or: "
        "tally rates set KZT GEL RATE --date 2026-05-03"
    )
    before = asked(stack, "/convert", status=404, from_="KZT", to="GEL", date="2019-12-31")["detail"]
    assert "or else KZT/USD and USD/GEL" in before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"from": "USD"}, "to: Field required"),
        ({"from": "USD", "to": "RUR"}, 'did you mean "RUB"'),
        ({"from": "USD", "to": "RUB", "amount": "much"}, "expected a decimal number"),
        ({"from": "USD", "to": "RUB", "amount": "1e16"}, "at most 10^15"),
        ({"from": "USD", "to": "RUB", "date": "May"}, "expected a date"),
        ({"from": "USD", "to": "RUB", "rate": "1"}, "Extra inputs"),
    ],
)
def test_a_bad_parameter_of_a_conversion_is_a_400(stack: Stack, parameters: dict[str, str], message: str) -> None:
    assert message in asked(stack, "/convert", status=400, **parameters)["detail"]
