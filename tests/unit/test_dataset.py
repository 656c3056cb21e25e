"""The data set's prices as Tally stores them make of any usage what the data set's own package makes of it."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage
from genai_prices.data import providers
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ConditionalPrice, ModelInfo, PriceVariant, StartDateConstraint, TimeOfDateConstraint

from tally.event import UsageEvent
from tally.pricing import dataset
from tally.pricing.book import Book
from tally.pricing.price import Price, cost_of

_NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
_A_MOMENT = timedelta(microseconds=1)
_LARGEST = (10, 5_000, 150_000, 300_000, 2_000_000)


def _usage(rng: random.Random) -> UsageEvent:
    received, made = rng.randint(0, rng.choice(_LARGEST)), rng.randint(0, rng.choice(_LARGEST))
    cached = rng.randint(0, received)
    return {
        "input_tokens": received,
        "output_tokens": made,
        "cached_input_tokens": cached,
        "cache_write_tokens": rng.randint(0, received - cached),
        "reasoning_tokens": rng.randint(0, made),
    }


def _as_the_package_has_it(event: UsageEvent) -> Usage:
    return Usage(
        input_tokens=event["input_tokens"],
        output_tokens=event["output_tokens"],
        cache_read_tokens=event["cached_input_tokens"],
        cache_write_tokens=event["cache_write_tokens"],
        output_reasoning_tokens=event["reasoning_tokens"],
    )


def _moments(model: ModelInfo) -> Iterator[datetime]:
    """Noon today, and both sides of every time at which something about the price changes."""
    yield _NOON
    parts: list[ConditionalPrice | PriceVariant] = [*(model.price_variants or ())]
    if isinstance(model.prices, list):
        parts += model.prices
    for part in parts:
        if isinstance(part.constraint, StartDateConstraint):
            start = datetime.combine(part.constraint.start_date, time(), UTC)
            yield from (start - _A_MOMENT, start)
        elif isinstance(part.constraint, TimeOfDateConstraint):
            for clock in (part.constraint.start_time, part.constraint.end_time):
                moment = datetime.combine(date(2026, 11, 25), clock)
                yield from (moment - _A_MOMENT, moment)


def _conditions(model: ModelInfo) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{}]
    for variant in model.price_variants or ():
        if variant.when not in found:
            found.append(variant.when)
    return found


def test_every_model_at_every_time_on_every_condition_costs_what_the_package_says() -> None:
    rng = random.Random(20261125)
    prices = [Price(number, *row) for number, row in enumerate(dataset.rows())]
    compared = 0
    for provider in providers:
        for model in provider.models:
            names = (provider.id, model.id)
            of_model = [price for price in prices if (price.provider, price.model) == names]
            book = Book(1, of_model, lambda *_, names=names: names)
            for conditions in _conditions(model):
                for moment in _moments(model):
                    event = _usage(rng)
                    usage = _as_the_package_has_it(event)
                    said = model.calc_price(
                        usage, provider, genai_request_timestamp=moment, price_context=conditions
                    ).total_price
                    price = book.price_for(provider.id, model.id, moment, conditions)
                    cost = Decimal(0) if price is None else cost_of(price, event)
                    assert cost == said, (names, conditions, moment, event)
                    compared += 1
    assert compared > 4_000


def test_names_of_events_mean_what_the_package_takes_them_for() -> None:
    snapshot = get_snapshot()
    names = [(provider.id, model.id) for provider in providers for model in provider.models]
    for provider, model in random.Random(1).sample(names, 300):
        listed = dataset.listed(provider.upper(), model.upper())
        try:
            found = snapshot.find_provider_model(model, None, provider, None)[1]
        except LookupError:  # some of its models it does not find under their own ids
            assert listed is None
        else:
            assert listed is not None
            assert listed[1] == found.id


@pytest.mark.parametrize(
    ("provider", "model", "listed"),
    [
        ("OpenAI", "gpt-4o-2024-08-06", ("openai", "gpt-4o")),
        (None, "claude-sonnet-4-5-20250929", ("anthropic", "claude-sonnet-4-5")),
        ("litellm", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("azure", "gpt-4o", ("openai", "gpt-4o")),  # offered by one, priced as the other's
        ("openai", "no such model", None),
        ("nobody", "gpt-4o", None),
        (None, "no such model", None),
        ("openai", "gpt-4o" * 400, None),
        ("o" * 2000, "gpt-4o", None),
    ],
)
def test_who_and_what_an_event_means(provider: str | None, model: str, listed: tuple[str, str] | None) -> None:
    assert dataset.listed(provider, model) == listed


_NOT_COUNTED = {
    "searches of the web": ["web_searches_kcount"],
    "cache writes that last an hour; counted as other cache writes": ["cache_write_1h_mtok"],
    "searches in storage": ["storage_searches_kcount"],
    "tokens of audio, images and video; counted as other tokens": [
        "input_audio_mtok", "output_audio_mtok", "cache_audio_read_mtok", "input_image_mtok", "output_image_mtok",
        "cache_image_read_mtok", "input_video_mtok", "output_video_mtok",
    ],
    "hours of audio": ["audio_hours", "input_audio_hours"],
    "pages of documents, characters, messages, citations": [
        "input_document_kpages", "input_annotated_document_kpages", "input_mchars", "input_text_messages_kcount",
        "output_citation_mtok",
    ],
}  # fmt: skip
_COUNTED = {
    "input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok", "output_reasoning_mtok", "requests_kcount",
}  # fmt: skip


def _keys(model: ModelInfo) -> set[str]:
    """Everything that the model has a price for, at any time and on any condition."""
    every = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    prices = [part.prices for part in (*every, *(model.price_variants or ()))]
    return {key for price in prices for key, rate in vars(price).items() if rate is not None}


def test_the_page_says_how_much_of_the_data_set_is_counted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "prices.md").read_text("utf-8")
    keys = [_keys(model) for provider in providers for model in provider.models]
    assert set().union(*keys) == _COUNTED.union(*_NOT_COUNTED.values())
    for said, of_kind in _NOT_COUNTED.items():
        assert f"| {said} | {sum(not given.isdisjoint(of_kind) for given in keys)} |" in page
    flat = " ".join(page.split())
    something_else = sum(bool(given - _COUNTED) for given in keys)
    assert f"{something_else} of the {len(keys):,} models cost something else as well" in flat
    assert f"{sum(given.isdisjoint(_COUNTED) for given in keys)} models have no price that Tally counts" in flat
    models = {(row.provider, row.model) for row in dataset.rows()}
    assert f"{len(models):,} models of {len({provider for provider, _ in models})} providers" in flat


def test_no_two_rows_are_versions_of_the_same_price_from_the_same_time_on() -> None:
    rows = [*dataset.own_rows(), *dataset.rows()]
    versions = {(row.provider, row.model.lower(), *sorted(row.conditions.items()), row.valid_from) for row in rows}
    assert len(versions) == len(rows) > 2_700


def test_a_thousand_roubles_of_gigachat_are_five_million_tokens() -> None:
    book = Book(1, [Price(number, *row) for number, row in enumerate(dataset.own_rows())], dataset.listed)
    for provider in ("gigachat", "GigaChat", None):
        price = book.price_for(provider, "GigaChat-2-Max", _NOON, None)
        assert price is not None
        assert price.currency == "RUB"
        assert cost_of(price, {"total_tokens": 5_000_000}) == 1000
