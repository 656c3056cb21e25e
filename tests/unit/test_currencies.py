"""A currency is a code of ISO 4217 that is in use."""

import pytest

from tally.currencies import known_currency


@pytest.mark.parametrize(("given", "code"), [("USD", "USD"), ("rub", "RUB"), ("Jpy", "JPY"), ("ZWG", "ZWG")])
def test_known_in_any_case(given: str, code: str) -> None:
    assert known_currency(given) == code


@pytest.mark.parametrize("given", ["", "XXX", "XTS", "DEM", "USDT", "US", "доллар", "U" * 1000])
def test_unknown(given: str) -> None:
    with pytest.raises(ValueError, match="is not a currency: expected a code of ISO 4217"):
        known_currency(given)


def test_the_nearest_is_named() -> None:
    with pytest.raises(ValueError, match='did you mean "RUB"'):
        known_currency("RUR")
