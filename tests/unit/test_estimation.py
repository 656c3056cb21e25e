"""Tokens from the length of a text, by provider, and from the text itself by its scripts."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally.estimation import Estimation, estimate_text, estimate_tokens

_ENGLISH = "All human beings are born free and equal in dignity and rights"
_RUSSIAN = "Все люди рождаются свободными и равными в своём достоинстве и "


@pytest.mark.parametrize(
    ("characters", "tokens"),
    [(0, 0), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (10, 4), (1000, 400), (10**15, 4 * 10**14)],
)
def test_a_token_has_two_and_a_half_characters_unless_another_ratio_is_given(characters: int, tokens: int) -> None:
    assert estimate_tokens(characters) == tokens


@given(st.integers(0, 10**15), st.decimals(min_value="0.001", max_value=1000, places=3))
def test_rounded_up_exactly(characters: int, per_token: Decimal) -> None:
    tokens = estimate_tokens(characters, per_token)
    thousandths = int(per_token * 1000)
    assert (tokens - 1) * thousandths < characters * 1000 <= tokens * thousandths


def test_each_provider_has_a_ratio_of_its_own_or_that_of_all_others() -> None:
    estimation = Estimation({"default": Decimal(2), "GigaChat": Decimal(3), "openai": Decimal("4")})
    assert estimation.tokens("gigachat", 12) == 4
    assert estimation.tokens("OpenAI", 12) == 3
    assert estimation.tokens("mistral", 12) == 6
    assert estimation.tokens(None, 12) == 6
    assert Estimation({"openai": Decimal(4)}).tokens(None, 10) == 4


def test_as_much_russian_as_english_has_two_and_a_half_characters_a_token() -> None:
    assert len(_ENGLISH) == len(_RUSSIAN) == 62
    mixed = estimate_text(_ENGLISH + _RUSSIAN)
    assert mixed.characters == {"Latin": 62, "Cyrillic": 62, "CJK": 0, "other": 0}
    assert mixed.tokens == 50  # 124 / 2.5 = 49.6
    assert mixed.tokens == estimate_tokens(124)


@pytest.mark.parametrize(
    ("text", "script", "tokens"),
    [
        (_ENGLISH, "Latin", 16),  # 62 × 0.25 = 15.5
        (_RUSSIAN, "Cyrillic", 35),  # 62 × 0.55 = 34.1
        ("人人生而自由,在尊严和权利上一律平等。", "CJK", 19),
        ("すべての人間は、生れながらにして自由", "CJK", 18),
        ("모든 인간은 태어날", "CJK", 10),
        ("Όλοι οι άνθρωποι", "other", 12),  # 16 × 0.75
        ("  12.50 ", "other", 6),  # 8 × 0.75
    ],
)
def test_a_text_in_one_script(text: str, script: str, tokens: int) -> None:
    estimate = estimate_text(text)
    assert {name for name, count in estimate.characters.items() if count} == {script}
    assert estimate.tokens == tokens


def test_what_is_no_letter_counts_to_the_script_that_it_follows() -> None:
    assert estimate_text("1. Hi, мир! 2").characters == {"Latin": 7, "Cyrillic": 6, "CJK": 0, "other": 0}


def test_an_empty_text_has_no_tokens() -> None:
    assert estimate_text("").tokens == 0
    assert estimate_text("").per_token is None


def test_the_ratio_of_a_text_is_what_the_setting_takes() -> None:
    assert estimate_text(_ENGLISH).per_token == Decimal("3.88")  # 62 / 16


@given(st.text(max_size=200))
def test_every_character_is_counted_once(text: str) -> None:
    assert sum(estimate_text(text).characters.values()) == len(text)
