"""What a repricing changes, added up by provider, model, month and currency. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tally.usage.figures import total

Amount = tuple[Decimal, str]  # and its currency


@dataclass(slots=True)
class Change:
    """What becomes of the costs of a model in a month (UTC) and a currency.

    `old` and `new` are amounts of `events`, whose cost in that currency changes. An event without a cost has 0: before
    (`unpriced_before`) or afterwards (`unpriced_after`).
    """

    provider: str | None
    model: str
    month: str
    currency: str
    events: int = 0
    old: Decimal = Decimal(0)
    new: Decimal = Decimal(0)
    unpriced_before: int = 0
    unpriced_after: int = 0

    def fields(self) -> dict[str, Any]:
        """For answers and the table of repricings."""
        return {
            "provider": self.provider,
            "model": self.model,
            "month": self.month,
            "currency": self.currency,
            "events": self.events,
            "old": self.old,
            "new": self.new,
            "difference": total((self.new, -self.old)),
            "unpriced_before": self.unpriced_before,
            "unpriced_after": self.unpriced_after,
        }


class Changes:
    """Changes added up by provider, model, month and currency."""

    def __init__(self, fields: Iterable[Mapping[str, Any]] = ()) -> None:
        self._by_key: dict[tuple[str | None, str, str, str], Change] = {}
        for one in fields:
            key = (one["provider"], one["model"], one["month"], one["currency"])
            change = self._by_key[key] = Change(*key, one["events"], Decimal(one["old"]), Decimal(one["new"]))
            change.unpriced_before, change.unpriced_after = one["unpriced_before"], one["unpriced_after"]

    def add(self, event: Mapping[str, Any], old: Amount | None, new: Amount | None) -> None:
        """An event whose cost changes: an amount and its currency, or None for unpriced."""
        month = event["time"][:7]
        for currency in dict.fromkeys(amount[1] for amount in (old, new) if amount is not None):
            key = (event.get("provider"), event["model"], month, currency)
            change = self._by_key.setdefault(key, Change(*key))
            change.events += 1
            change.unpriced_before += old is None
            change.unpriced_after += new is None
            if old is not None and old[1] == currency:
                change.old = total((change.old, old[0]))
            if new is not None and new[1] == currency:
                change.new = total((change.new, new[0]))

    def fields(self) -> list[dict[str, Any]]:
        """All of them, by provider, model, month and currency."""
        return [self._by_key[key].fields() for key in sorted(self._by_key, key=lambda key: (key[0] or "", *key[1:]))]
