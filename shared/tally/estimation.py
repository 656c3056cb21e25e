"""Token counts where a provider reports none."""

CHARACTERS_PER_TOKEN_TIMES_2 = 5


def estimate_tokens(characters: int) -> int:
    """Tokens of a text of so many characters, rounded up.

    2.5 characters a token is what mixed Russian and English text has on average.
    """
    return -(-characters * 2 // CHARACTERS_PER_TOKEN_TIMES_2)
