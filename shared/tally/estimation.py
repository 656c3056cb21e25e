"""Token counts where a provider reports none: from the length of a text, and from the text itself by its scripts."""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tally.settings import Settings

# What mixed Russian and English text has on average, as system C counts it.
CHARACTERS_PER_TOKEN = Decimal("2.5")
DEFAULT = "default"
Script = Literal["Latin", "Cyrillic", "CJK", "other"]
# Tokens of a hundred characters. Latin: OpenAI's rule of thumb of four characters a token. CJK: from 60 (DeepSeek's
# rule of thumb) to 118. The vocabularies cl100k and o200k (OpenAI), of Claude 2 and of DeepSeek V3 take for the
# first three articles of the Universal Declaration of Human Rights: English 20, Russian 25 to 50, Chinese 61 to 118,
# Greek, Arabic and Hindi 29 to 109. Cyrillic is set so that as much Russian as English makes 2.5 characters a token.
TOKENS_PER_HUNDRED: Mapping[Script, int] = {"Latin": 25, "Cyrillic": 55, "CJK": 100, "other": 75}
_HUNDRED = 100
_NAMED: Mapping[str, Script] = {
    "LATIN": "Latin",
    "CYRILLIC": "Cyrillic",
    "CJK": "CJK",
    "HIRAGANA": "CJK",
    "KATAKANA": "CJK",
    "HANGUL": "CJK",
    "BOPOMOFO": "CJK",
}


def estimate_tokens(characters: int, per_token: Decimal = CHARACTERS_PER_TOKEN) -> int:
    """Tokens of a text of so many characters, `per_token` of them each, rounded up."""
    numerator, denominator = per_token.as_integer_ratio()
    return -(-characters * denominator // numerator)


class Estimation:
    """How many tokens texts have that are sent to each provider."""

    def __init__(self, per_token: Mapping[str, Decimal]) -> None:
        """`per_token` are characters a token by provider, case aside, and for every other as `default`."""
        self._per_token = {provider.lower(): ratio for provider, ratio in per_token.items()}
        self._default = self._per_token.pop(DEFAULT, CHARACTERS_PER_TOKEN)

    @classmethod
    def of(cls, settings: Settings) -> "Estimation":
        """As TALLY_CHARACTERS_PER_TOKEN says."""
        return cls(settings.characters_per_token)

    def tokens(self, provider: str | None, characters: int) -> int:
        """Tokens of a text of so many characters, rounded up."""
        ratio = self._per_token.get(provider.lower(), self._default) if provider else self._default
        return estimate_tokens(characters, ratio)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a text has: characters by script, and an estimate of its tokens."""

    characters: Mapping[Script, int]
    tokens: int

    @property
    def per_token(self) -> Decimal | None:
        """Characters a token, to two decimals; None for an empty text."""
        return round(Decimal(sum(self.characters.values())) / self.tokens, 2) if self.tokens else None


def estimate_text(text: str) -> Estimate:
    """An estimate of a text by its mix of scripts, rounded up.

    Spaces, digits and punctuation count to the script that they follow, as the rates by script include them.
    """
    scripts: dict[str, Script | None] = {character: _script(character) for character in set(text)}
    counted: Counter[Script] = Counter()
    current: Script = next((script for character in text if (script := scripts[character])), "other")
    for character in text:
        current = scripts[character] or current
        counted[current] += 1
    hundredths = sum(count * TOKENS_PER_HUNDRED[script] for script, count in counted.items())
    return Estimate({script: counted[script] for script in TOKENS_PER_HUNDRED}, -(-hundredths // _HUNDRED))


def _script(character: str) -> Script | None:
    """The script of a letter, by the first word of its name in Unicode; None for what is no letter."""
    if not character.isalpha():
        return None
    return _NAMED.get(unicodedata.name(character, "").partition(" ")[0], "other")
