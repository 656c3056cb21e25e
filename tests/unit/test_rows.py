"""From an event to a row: what follows from other fields is filled in, and ids become keys that cannot meet."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.dimensions import Value
from tally.estimation import Estimation
from tally.event import UsageEvent
from tally.rows import Costing, Received, dedupe_key, scoped_values, to_row, unscoped_values

RECEIVED = datetime(2026, 5, 1, 12, tzinfo=UTC)


def keys_of(values: Iterable[Value], start: int) -> dict[Value, int]:
    return dict(zip(dict.fromkeys(values), count(start)))


def row_of(tenant: str = "", **event: Any) -> dict[str, Any]:
    received = Received(cast(UsageEvent, {"id": "1", "source": "s", "route": "/a"} | event), tenant, RECEIVED)
    keys = keys_of(unscoped_values(received), 10)
    return to_row(received, keys | keys_of(scoped_values(received, keys), 100), Costing(Estimation({}), None))


def tokens_of(**event: Any) -> tuple[Any, ...]:
    row = row_of(**event)
    names = ("input_tokens", "output_tokens", "total_tokens", "tokens_estimated")
    return tuple(row.get(name) for name in names)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, (None, None, None, None)),
        ({"input_tokens": 3, "output_tokens": 4}, (3, 4, 7, None)),
        ({"input_tokens": 3}, (3, None, 3, None)),
        ({"output_tokens": 0}, (None, 0, 0, None)),
        ({"input_tokens": 3, "output_tokens": 4, "total_tokens": 9}, (3, 4, 9, None)),
        ({"total_tokens": 9}, (None, None, 9, None)),
        ({"input_text_length": 10, "output_text_length": 11}, (4, 5, 9, True)),
        ({"output_text_length": 1}, (None, 1, 1, True)),
        ({"input_text_length": 0}, (0, None, 0, True)),
        ({"input_text_length": 100, "input_tokens": 3}, (3, None, 3, None)),
        ({"input_text_length": 100, "total_tokens": 3}, (None, None, 3, None)),
    ],
)
def test_the_total_is_the_sum_and_counts_are_estimated_only_where_none_is_given(
    event: dict[str, int], expected: tuple[Any, ...]
) -> None:
    assert tokens_of(**event) == expected


@pytest.mark.parametrize(
    ("event", "currencies", "cost", "usd", "rub"),
    [
        ({"cost": {"amount": Decimal("1.5"), "currency": "EUR"}}, "EUR", "1.5", None, None),
        ({"cost": {"amount": Decimal(2), "currency": "USD"}}, "USD", "2", "2", None),
        ({"cost_rub": Decimal("99.90")}, "RUB", "99.90", None, "99.90"),
        ({"cost_usd": Decimal(1), "cost_rub": Decimal(90)}, "USD,RUB", "1", "1", "90"),
        ({"cost": {"amount": Decimal(3), "currency": "EUR"}, "cost_rub": Decimal(300)}, "EUR,RUB", "3", None, "300"),
        ({"cost_usd": Decimal(-1)}, "USD", "-1", "-1", None),
        ({"cost_usd": Decimal(0)}, "USD", "0", "0", None),
    ],
)
def test_a_cost_keeps_every_currency_that_it_was_given_in(
    event: dict[str, Any], currencies: str, cost: str, usd: str | None, rub: str | None
) -> None:
    received = Received(cast(UsageEvent, {"id": "1", "source": "s", **event}), "", RECEIVED)
    assert ("currency", 0, currencies) in set(unscoped_values(received))
    row = row_of(**event)
    assert str(row["cost"]) == cost
    assert [None if value is None else str(value) for value in (row.get("cost_usd"), row.get("cost_rub"))] == [usd, rub]


def test_without_a_time_an_event_happened_when_it_was_received() -> None:
    assert row_of()["time"] == RECEIVED
    earlier = datetime(2026, 4, 1, tzinfo=UTC)
    assert (row_of(time=earlier)["time"], row_of(time=earlier)["received_at"]) == (earlier, RECEIVED)


def scoped(tenant: str = "", **event: Any) -> set[Value]:
    received = Received(cast(UsageEvent, {"id": "1", "source": "s"} | event), tenant, RECEIVED)
    return set(scoped_values(received, keys_of(unscoped_values(received), 10)))


def test_the_same_user_in_two_organizations_is_two_users() -> None:
    organization = ("organization", 0, "acme")
    received = Received({"id": "1", "source": "s", "user_id": "anna", "organization_id": "acme"}, "", RECEIVED)
    assert ("user", 7, "anna") in set(scoped_values(received, {organization: 7}))
    assert ("user", 0, "anna") in scoped(user_id="anna")


def test_a_sender_belongs_to_the_tenant_of_its_token_not_to_what_its_event_says() -> None:
    received = Received({"id": "1", "source": "s", "organization_id": "said"}, "bound", RECEIVED)
    keys = {("organization", 0, "bound"): 5, ("organization", 0, "said"): 6}
    assert ("sender", 5, "s") in set(scoped_values(received, keys))
    assert ("sender", 0, "s") in scoped()


def test_a_uuid_in_small_letters_is_its_own_key() -> None:
    for version in (uuid.uuid1(), uuid.uuid4(), uuid.UUID(int=0)):
        assert dedupe_key(str(version)) == str(version)
    assert dedupe_key("01890a5d-ac96-774b-bcce-b302099a8057") == "01890a5d-ac96-774b-bcce-b302099a8057"


OTHERS = ["1", "", "ы", "01890A5D-AC96-774B-BCCE-B302099A8057", "{01890a5d-ac96-774b-bcce-b302099a8057}"]
OTHERS += ["01890a5dac96774bbcceb302099a8057", "01890a5d-ac96-874b-bcce-b302099a8057", " 1", "1 "]


def test_any_other_id_becomes_a_key_of_version_8_that_no_uuid_can_meet() -> None:
    keys = [dedupe_key(text) for text in OTHERS]
    assert len(set(keys)) == len(OTHERS)
    assert {uuid.UUID(key).version or key[14] for key in keys} <= {8, "8"}


@given(st.text(max_size=200) | st.uuids().map(str))
def test_a_key_depends_on_the_id_alone_and_is_a_uuid(event_id: str) -> None:
    assert dedupe_key(event_id) == dedupe_key(event_id)
    assert str(uuid.UUID(dedupe_key(event_id))) == dedupe_key(event_id)
