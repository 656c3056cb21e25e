"""2.5 characters a token, rounded up."""

import pytest

from tally.estimation import estimate_tokens


@pytest.mark.parametrize(
    ("characters", "tokens"),
    [(0, 0), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (10, 4), (1000, 400), (10**15, 4 * 10**14)],
)
def test_tokens_of_a_text(characters: int, tokens: int) -> None:
    assert estimate_tokens(characters) == tokens
