"""What a price makes of an event: worked by hand, and what holds for all of them."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tally.event import UsageEvent
from tally.pricing.price import KINDS, Price, Rates, cost_of

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "prices.yml").read_text("utf-8"))

# Up to 10^15 with 30 decimals.
_rates = st.integers(0, 10**45).map(lambda digits: Decimal(f"{digits}e-30"))
_counts = st.integers(0, 10**12)


def _price(rates: dict[str, Any]) -> Price:
    return Price(1, "own", "openai", "gpt-x", {}, "USD", datetime(2026, 1, 1, tzinfo=UTC), Rates.of(rates))


@st.composite
def _prices(draw: st.DrawFn) -> Price:
    per_million = draw(st.dictionaries(st.sampled_from(KINDS), _rates))
    above = sorted(draw(st.sets(_counts, max_size=3)))
    tiers = [{"above": limit, "per_million": draw(st.dictionaries(st.sampled_from(KINDS), _rates))} for limit in above]
    return _price({"per_million": per_million, "tiers": tiers, "per_request": draw(st.none() | _rates)})


@st.composite
def _calls(draw: st.DrawFn) -> UsageEvent:
    received, made = draw(_counts), draw(_counts)
    cached = draw(st.integers(0, received))
    return {
        "input_tokens": received,
        "output_tokens": made,
        "cached_input_tokens": cached,
        "cache_write_tokens": draw(st.integers(0, received - cached)),
        "reasoning_tokens": draw(st.integers(0, made)),
        "status": draw(st.sampled_from((200, 500))),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_worked_by_hand(case: dict[str, Any]) -> None:
    cost = cost_of(_price(case["rates"]), case["event"])
    assert cost == (None if case["cost"] is None else Decimal(case["cost"]))


@given(_prices(), _calls())
def test_a_cost_is_the_sum_of_its_parts_and_never_below_0(price: Price, event: UsageEvent) -> None:
    rates = dict(price.rates.per_million)
    for tier in price.rates.tiers:
        if event["input_tokens"] > tier.above:
            rates |= tier.per_million
    parts = {
        "cached_input": event["cached_input_tokens"],
        "cache_write": event["cache_write_tokens"],
        "input": event["input_tokens"] - event["cached_input_tokens"] - event["cache_write_tokens"],
        "reasoning": event["reasoning_tokens"],
        "output": event["output_tokens"] - event["reasoning_tokens"],
    }
    general = {"cached_input": "input", "cache_write": "input", "reasoning": "output"}
    expected = Fraction(0)
    for kind, tokens in parts.items():
        rate = rates.get(kind, rates.get(general.get(kind, kind), Decimal(0)))
        expected += tokens * Fraction(rate) / 1_000_000
    if price.rates.per_request is not None and event["status"] == 200:
        expected += Fraction(price.rates.per_request)
    cost = cost_of(price, event)
    assert cost is not None
    assert Fraction(cost) == expected >= 0


@given(_prices(), _calls(), _counts)
def test_more_output_never_costs_less(price: Price, event: UsageEvent, more: int) -> None:
    cost = cost_of(price, event)
    larger = cost_of(price, {**event, "output_tokens": event["output_tokens"] + more})
    assert cost is not None
    assert larger is not None
    assert larger >= cost


@given(_calls(), _rates, _rates)
def test_cached_input_is_never_charged_twice(event: UsageEvent, rate: Decimal, cached_rate: Decimal) -> None:
    low, high = sorted((rate, cached_rate))
    discounted = _price({"per_million": {"input": str(high), "cached_input": str(low)}})
    plain = _price({"per_million": {"input": str(high)}})
    cost, whole = cost_of(discounted, event), cost_of(plain, event)
    assert cost is not None
    assert whole is not None
    assert cost <= whole
    assert Fraction(whole) == event["input_tokens"] * Fraction(high) / 1_000_000


@given(_prices())
def test_the_json_form_brings_back_the_same_rates(price: Price) -> None:
    assert Rates.of(price.rates.form()) == price.rates


def test_equal_rates_have_equal_forms_however_they_are_written() -> None:
    one = Rates({"output": Decimal("10.00"), "input": Decimal("2.5")}, per_request=Decimal("0E-5"))
    other = Rates({"input": Decimal("2.50"), "output": Decimal(10)}, per_request=Decimal(0))
    assert one.form() == other.form() == {"per_million": {"input": "2.5", "output": "10"}, "per_request": "0"}


def test_rates_of_the_hour_hold_from_their_start_to_before_their_end_in_utc() -> None:
    price = _price(
        {
            "per_million": {"input": "2", "output": "3"},
            "hours": [{"from": "16:30", "to": "00:30", "per_million": {"input": "1"}}],
        }
    )
    costs = {}
    for clock in ("16:29:59.999999", "16:30", "23:59", "00:00", "00:29:59.999999", "00:30"):
        moment = datetime.fromisoformat(f"2026-05-01T{clock}+00:00")
        costs[clock] = cost_of(price.at(moment), {"input_tokens": 1_000_000, "output_tokens": 1_000_000})
    assert costs == {
        "16:29:59.999999": 5,
        "16:30": 4,
        "23:59": 4,
        "00:00": 4,
        "00:29:59.999999": 4,
        "00:30": 5,
    }
