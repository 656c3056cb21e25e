"""The price book: which of the prices in force an event falls under."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from tally.pricing.price import OWN, Price

# Those that Tally brings itself, beside a data set.
TALLY = "tally"
ANY = "*"
# A sender may name millions of models: what is remembered for the names of events starts anew behind so many.
_MOST_REMEMBERED = 4096


class _Versions(NamedTuple):
    """The versions of one price, the oldest first."""

    conditions: Mapping[str, str]
    starts: list[datetime]
    prices: list[Price]


_Priced = dict[str, tuple[_Versions, ...]]


class _Shelf:
    """Prices by provider and model, both in lower case."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._exact: defaultdict[str, _Priced] = defaultdict(dict)
        self._beginnings: defaultdict[str, _Priced] = defaultdict(dict)
        for (provider, model), versions in _versions(prices).items():
            if model.endswith(ANY):
                self._beginnings[provider][model.removesuffix(ANY)] = versions
            else:
                self._exact[provider][model] = versions
        for provider, patterns in self._beginnings.items():
            self._beginnings[provider] = dict(sorted(patterns.items(), key=lambda pattern: -len(pattern[0])))
        self._providers = self._exact.keys() | self._beginnings.keys()

    def of(self, provider: str | None, model: str) -> Iterator[_Versions]:
        """The prices of a model, the most specific first. Without a provider: those of the only one that has it."""
        if provider is None:
            having = [found for known in self._providers if (found := [*self.of(known, model)])]
            if len(having) == 1:
                yield from having[0]
            return
        yield from self._exact.get(provider, {}).get(model, ())
        for beginning, versions in self._beginnings.get(provider, {}).items():
            if model.startswith(beginning):
                yield from versions


class Book:
    """The prices in force.

    Args:
        version: of the book, as the database counts it.
        prices: the prices in force, in any order.
        listed: the data set's provider and model that the names of an event stand for there; None for no such model.
    """

    def __init__(
        self, version: int, prices: Iterable[Price], listed: Callable[[str | None, str], tuple[str, str] | None]
    ) -> None:
        self.version = version
        prices = [*prices]
        self.currencies = frozenset(price.currency for price in prices)
        shelves: defaultdict[str, list[Price]] = defaultdict(list)
        for price in prices:
            shelves[price.origin if price.origin in (OWN, TALLY) else ""].append(price)
        self._named = (_Shelf(shelves[OWN]), _Shelf(shelves[TALLY]))
        self._data_set = _Shelf(shelves[""])
        self._has_data_set = bool(shelves[""])
        self._listed = listed
        self._remembered: dict[tuple[str | None, str], tuple[_Versions, ...]] = {}

    def price_for(
        self, provider: str | None, model: str, time: datetime, labels: Mapping[str, str] | None
    ) -> Price | None:
        """The price of a call to `model` at `time` (UTC), or None.

        The first of these that has begun by then and whose conditions `labels` meet: the team's own price of the model,
        its own patterns from the longest, and the same of those that Tally brings, then the data set. Of prices for the
        same names that with the most conditions. Names are compared without regard to case.
        """
        candidates = self._remembered.get((provider, model))
        if candidates is None:
            candidates = self._candidates(provider, model)
        for conditions, starts, prices in candidates:
            if conditions and not (labels and conditions.items() <= labels.items()):
                continue
            begun = bisect_right(starts, time)
            if begun:
                price = prices[begun - 1]
                return price.at(time) if price.rates.hours else price
        return None

    def _candidates(self, provider: str | None, model: str) -> tuple[_Versions, ...]:
        names = (None if provider is None else provider.lower(), model.lower())
        candidates = [versions for shelf in self._named for versions in shelf.of(*names)]
        if self._has_data_set and (listed := self._listed(provider, model)) is not None:
            candidates += self._data_set.of(listed[0].lower(), listed[1].lower())
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        remembered = self._remembered[provider, model] = tuple(candidates)
        return remembered


def _versions(prices: Iterable[Price]) -> dict[tuple[str, str], tuple[_Versions, ...]]:
    """By provider and model: the versions for each set of conditions, the most conditions first, then by name."""
    found: defaultdict[tuple[str, str], defaultdict[tuple[tuple[str, str], ...], list[Price]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for price in prices:
        conditions = tuple(sorted(price.conditions.items()))
        found[price.provider.lower(), price.model.lower()][conditions].append(price)
    return {names: tuple(_in_order(by_conditions)) for names, by_conditions in found.items()}


def _in_order(by_conditions: Mapping[tuple[tuple[str, str], ...], list[Price]]) -> Iterator[_Versions]:
    for conditions in sorted(by_conditions, key=lambda conditions: (-len(conditions), conditions)):
        prices = sorted(by_conditions[conditions], key=lambda price: price.valid_from)
        yield _Versions(dict(conditions), [price.valid_from for price in prices], prices)
