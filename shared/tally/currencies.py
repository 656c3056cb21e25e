"""Currencies: the codes of ISO 4217 that are in use."""

from difflib import get_close_matches
from functools import cache

# Codes of the list that stand for no currency, and for tests.
_NO_CURRENCY = frozenset({"XXX", "XTS"})


@cache
def currencies() -> frozenset[str]:
    """The codes, three capitals each. A currency that was replaced, such as DEM, is not among them."""
    from iso4217 import Currency

    return frozenset(currency.code for currency in Currency) - _NO_CURRENCY


def known_currency(code: str) -> str:
    """`code` in capitals.

    Raises:
        ValueError: it is not in the list; names the nearest that is.
    """
    capitals = code.upper()
    if capitals in currencies():
        return capitals
    near = get_close_matches(capitals[:10], sorted(currencies()), n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ", such as USD or RUB"
    raise ValueError(f"is not a currency: expected a code of ISO 4217{hint}")
