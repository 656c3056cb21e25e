"""The prices that Tally starts from: those of the package genai-prices, as it was installed, and its own.

The package is read, never asked to update itself: that would go to the network. It is imported when first needed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from tally.pricing.book import TALLY
from tally.pricing.price import KINDS, Draft, Hours, Rates, Tier

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TieredPrices

_PACKAGE = "genai-prices"
_KEYS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
}
_REQUESTS = "requests_kcount"
_PER_THOUSAND = 3
_ALWAYS = date(1970, 1, 1)
# From when on a price holds that the data set gives no date.
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NAME = 200
# System C charges 1,000 RUB for 5,000,000 tokens, whatever they are.
_GIGACHAT = Decimal(200)


def own_rows() -> list[Draft]:
    """What Tally brings itself, in RUB."""
    rates = Rates({"input": _GIGACHAT, "output": _GIGACHAT})
    return [Draft(TALLY, "gigachat", "GigaChat*", {}, "RUB", _midnight(_ALWAYS), rates)]


@cache
def origin() -> str:
    """The data set's name and version."""
    return f"{_PACKAGE} {version(_PACKAGE)}"


def rows() -> list[Draft]:
    """The data set's prices, in USD. Models without a price for tokens or requests are left out."""
    return [row for provider in _providers() for model in provider.models for row in _rows_of(provider, model)]


def listed(provider: str | None, model: str) -> tuple[str, str] | None:
    """The provider and model of the data set that the names of an event stand for, or None."""
    if len(model) > _LONGEST_NAME or (provider is not None and len(provider) > _LONGEST_NAME):
        return None
    from genai_prices.data_snapshot import DataSnapshot

    # A new one each time: it remembers every name that it was ever asked for.
    snapshot = DataSnapshot(_providers(), from_auto_update=False)
    try:
        _, found = snapshot.find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return _provider_of()[id(found)], found.id


@cache
def _providers() -> "list[Provider]":
    from genai_prices.data import providers

    return providers


@cache
def _provider_of() -> dict[int, str]:
    """The provider of each model by its identity: a model may be found as that of a provider who offers it too."""
    return {id(model): provider.id for provider in _providers() for model in provider.models}


def _rows_of(provider: "Provider", model: "ModelInfo") -> Iterator[Draft]:
    standard = list(_versions(model, {}))
    for start, rates in standard:
        yield _row(provider, model, {}, start, rates)
    seen: list[dict[str, str]] = []
    for variant in model.price_variants or ():
        if variant.when not in seen:
            seen.append(variant.when)
            versions = list(_versions(model, variant.when))
            if versions != standard:
                for start, rates in versions:
                    yield _row(provider, model, variant.when, start, rates)


def _row(provider: "Provider", model: "ModelInfo", conditions: Mapping[str, str], start: date, rates: Rates) -> Draft:
    return Draft(origin(), provider.id, model.id, conditions, "USD", _midnight(start), rates)


def _versions(model: "ModelInfo", conditions: dict[str, str]) -> Iterator[tuple[date, Rates]]:
    """What the model costs where all conditions hold, from which day on, each different from the one before."""
    from genai_prices.types import ConditionalPrice, ModelPrice, StartDateConstraint, TimeOfDateConstraint

    every = [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices
    hourly = [price for price in every if isinstance(price.constraint, TimeOfDateConstraint)]
    daily = replace(model, prices=[price for price in every if price not in hourly])
    constraints = [price.constraint for price in (*every, *(model.price_variants or ()))]
    starts = {constraint.start_date for constraint in constraints if isinstance(constraint, StartDateConstraint)}
    before: Rates | None = None
    for start in sorted({_ALWAYS, *starts}):
        found = _rates(daily.get_prices(_midnight(start), conditions))
        if found is None:
            continue
        rates = replace(found, hours=tuple(_hours(hourly)))
        if rates != before:
            before = rates
            yield start, rates


def _hours(prices: "Iterable[ConditionalPrice]") -> Iterator[Hours]:
    """The last one that holds counts in the data set, the first one in a price."""
    from genai_prices.types import TimeOfDateConstraint

    for price in reversed([*prices]):
        rates = _rates(price.prices)
        if rates is not None and isinstance(price.constraint, TimeOfDateConstraint):
            yield Hours(_clock(price.constraint.start_time), _clock(price.constraint.end_time), rates.per_million)


def _clock(moment: time) -> time:
    """The time of the day in UTC, without saying so."""
    zoned = datetime.combine(_ALWAYS, moment, moment.tzinfo or UTC)
    return zoned.astimezone(UTC).time()


def _rates(price: "ModelPrice") -> Rates | None:
    """What Tally counts of a price of the data set, or None where that is nothing."""
    # Not by attribute: what a price does not have is looked up in all units, which takes a second for all models.
    fields: Mapping[str, Decimal | TieredPrices | None] = vars(price)
    given = {kind: found for kind in KINDS if (found := fields.get(_KEYS[kind])) is not None}
    requests = fields.get(_REQUESTS)
    if not given and requests is None:
        return None
    tiers: dict[int, dict[str, Decimal]] = {}
    for kind, rate in given.items():
        for tier in [] if isinstance(rate, Decimal) else rate.tiers:
            tiers.setdefault(tier.start, {})[kind] = tier.price
    return Rates(
        {kind: _base(rate) for kind, rate in given.items()},
        tuple(Tier(start, tiers[start]) for start in sorted(tiers)),
        None if requests is None else _base(requests).scaleb(-_PER_THOUSAND),
    )


def _base(rate: "Decimal | TieredPrices") -> Decimal:
    return rate if isinstance(rate, Decimal) else rate.base


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
