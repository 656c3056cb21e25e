"""What was logged."""

from collections.abc import Callable
from typing import Any

# The lines logged since it was called before, parsed.
Log = Callable[[], list[dict[str, Any]]]
