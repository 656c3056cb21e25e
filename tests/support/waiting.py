"""Waiting for something to come true, with a deadline. The only place where tests sleep."""

import time
from collections.abc import Callable

SECONDS = 60.0


def eventually(holds: Callable[[], object], what: str = "it", seconds: float = SECONDS) -> None:
    """Returns as soon as `holds()` is true.

    Raises:
        AssertionError: it was not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:.0f} s"
        time.sleep(0.02)
