"""What a call costs by the prices in force: worked out when it is stored, and when it is priced again. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

from tally.event import UsageEvent
from tally.pricing.book import Book
from tally.pricing.price import cost_of

_ESTIMATED = ("input_tokens", "output_tokens")


class Priced(NamedTuple):
    """What a price makes of an event: an amount of its currency, every digit of it."""

    price_id: int
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Pricing:
    """The prices in force, and the keys of the currencies that they are in."""

    book: Book
    currency_keys: Mapping[str, int]

    def price(self, event: UsageEvent, time: datetime) -> Priced | None:
        """What `event`, which has a model and happened at `time` (UTC), costs; None where no price can tell."""
        price = self.book.price_for(event.get("provider"), event["model"], time, event.get("labels"))
        if price is None:
            return None
        amount = cost_of(price, event)
        return None if amount is None else Priced(price.id, amount, price.currency)


def has_price(event: UsageEvent) -> bool:
    """Whether there may be a price for an event."""
    return "model" in event


def counted(event: UsageEvent, columns: Mapping[str, Any]) -> UsageEvent:
    """`event` with the token counts that were estimated for it, from its columns."""
    if "tokens_estimated" not in columns:
        return event
    estimates = {name: columns[name] for name in _ESTIMATED if name in columns}
    return cast(UsageEvent, {**event, **estimates})
