"""Where commands print tables."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(width: int) -> "Console":
    """Standard output, as wide as the terminal; where it is none, up to `width`."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, markup=False, highlight=False)
