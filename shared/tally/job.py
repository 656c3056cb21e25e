"""The outermost boundary of a process that does one thing and ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tally.errors import SchemaMismatch, TallyError, Unavailable
from tally.log import logger


@contextmanager
def job(name: str) -> Iterator[None]:
    """What fails in the block is one line of the log of `name` that says what to do, and exit code 1.

    What nobody foresaw is logged with its traceback, within that line.
    """
    try:
        yield
    except (TallyError, OSError) as error:
        logger(name).error(_advised(error))
        sys.exit(1)
    except Exception:  # noqa: BLE001 - the outermost boundary
        logger(name).exception("unexpected error")
        sys.exit(1)


def _advised(error: Exception) -> str:
    """The error and, where it does not say itself what to do, that a new run goes on from where this one ended."""
    if isinstance(error, Unavailable) and not isinstance(error, SchemaMismatch):
        return f"{str(error).rstrip('.')}; run it again once that is mended: what is done stays done"
    return str(error)
