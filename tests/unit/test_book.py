"""Which price an event falls under: hand-made books, and what holds for all of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tally.pricing.book import Book
from tally.pricing.price import Price, Rates

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "price_book.yml").read_text("utf-8"))
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def _price(number: int, form: Mapping[str, Any]) -> Price:
    return Price(
        number,
        form.get("origin", "own"),
        form.get("provider", "openai"),
        form.get("model", "gpt-x"),
        form.get("conditions", {}),
        "USD",
        _moment(form.get("valid_from", "2026-01-01T00:00:00Z")),
        Rates.of({"per_million": {"input": "1"}}),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _listed(provider: str | None, model: str) -> tuple[str, str] | None:
    """The data set of the cases."""
    return ("openai", "gpt-x") if provider in (None, "openai") and model.lower().startswith("gpt-x") else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_price_that_counts(case: dict[str, Any]) -> None:
    names = list(case["prices"])
    prices = [_price(number, form) for number, form in enumerate(case["prices"].values())]
    for book in (Book(1, prices, _listed), Book(1, reversed(prices), _listed)):
        for call in case["calls"]:
            time = _moment(call["time"]) if "time" in call else NOON
            found = book.price_for(call.get("provider", "openai"), call.get("model", "gpt-x"), time, call.get("labels"))
            assert (found and names[found.id]) == call["price"], call


def test_names_without_end_are_forgotten_again() -> None:
    asked: list[str] = []

    def listed(_provider: str | None, model: str) -> None:
        asked.append(model)

    book = Book(1, [_price(1, {"origin": "genai-prices 0.2.3"})], listed)
    assert book.price_for("openai", "one", NOON, None) is None
    assert book.price_for("openai", "one", NOON, None) is None
    assert asked == ["one"]
    for number in range(5000):
        book.price_for("openai", f"model {number}", NOON, None)
    book.price_for("openai", "one", NOON, None)
    assert asked.count("one") == 2


def test_the_data_set_is_not_asked_where_the_book_has_none_of_it() -> None:
    def listed(_provider: str | None, _model: str) -> None:
        raise AssertionError

    assert Book(1, [_price(1, {"model": "other"})], listed).price_for("openai", "gpt-x", NOON, None) is None


def test_a_price_by_the_hour_is_the_one_of_the_events_hour() -> None:
    rates = {"per_million": {"input": "2"}, "hours": [{"from": "09:00", "to": "17:00", "per_million": {"input": "3"}}]}
    price = Price(7, "own", "openai", "gpt-x", {}, "USD", _moment("2026-01-01T00:00:00Z"), Rates.of(rates))
    book = Book(1, [price], _listed)
    found = {hour: book.price_for("openai", "gpt-x", NOON.replace(hour=hour), None) for hour in (8, 9, 16, 17)}
    assert {hour: (one.id, one.rates.form()["per_million"]) for hour, one in found.items() if one is not None} == {
        8: (7, {"input": "2"}),
        9: (7, {"input": "3"}),
        16: (7, {"input": "3"}),
        17: (7, {"input": "2"}),
    }
