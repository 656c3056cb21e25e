"""`tally estimate`: how many tokens a text may have."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tally.commands.terminal import console
from tally.errors import Unprocessable

_STANDARD_INPUT = Path("-")


def estimate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A text in UTF-8; - reads standard input.")] = Path("-"),
) -> None:
    """Estimate the tokens of a text by its mix of scripts, and the ratio to set for such texts.

    - `tally estimate prompt.txt`

    - `cat prompts/*.txt | tally estimate`: the ratio of all your prompts together

    Where a provider reports no tokens, Tally estimates them from the length of the text alone, at the characters a
    token of TALLY_CHARACTERS_PER_TOKEN. What this prints last can be put there.
    """
    from rich.table import Table

    from tally.estimation import TOKENS_PER_HUNDRED, estimate_text

    found = estimate_text(_text(file))
    table = Table("Script", "Characters", "Tokens per 100", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for script, count in found.characters.items():
        table.add_row(script, f"{count:,}", str(TOKENS_PER_HUNDRED[script]))
    screen = console(80)
    screen.print(table)
    screen.print(f"\nTokens: about {found.tokens:,}")
    if found.per_token is not None:
        screen.print(f"Characters a token: {found.per_token}")
        screen.print(f"To set it: TALLY_CHARACTERS_PER_TOKEN='{{\"default\": {found.per_token}}}'")


def _text(file: Path) -> str:
    content = sys.stdin.buffer.read() if file == _STANDARD_INPUT else file.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Unprocessable(f"{file} is not a text in UTF-8: byte {error.start} cannot be read.") from error
