"""Which migrations this code needs, and whether the database has them."""

import time
from threading import Lock

from sqlalchemy import Connection

from tally.database import Store, statement
from tally.errors import SchemaMismatch

# Every migration in order; the last is the one that this code needs. A test holds it equal to migrations/.
REVISIONS = ("0001_metering", "0002_cubes", "0003_event_search")
_TRUSTED_SECONDS = 1.0


def revision_of(connection: Connection) -> str | None:
    """The migration that the database is at, or None before the first."""
    if connection.execute(statement("schema", "has_version_table")).scalar_one():
        found: str | None = connection.execute(statement("schema", "version")).scalar_one_or_none()
        return found
    return None


def mismatch(revision: str | None) -> str | None:
    """What is wrong with a database at `revision` and the command that mends it, or None where it fits."""
    if revision == REVISIONS[-1]:
        return None
    if revision is not None and revision not in REVISIONS:
        return (
            f"The database is at migration {revision}, which this version of Tally does not know: it is newer. "
            f"Deploy the version that made it, or one after it; this one needs {REVISIONS[-1]}."
        )
    missing = REVISIONS[REVISIONS.index(revision) + 1 if revision else 0 :]
    return f'The database lacks migration {", ".join(missing)}. Run "tally migrate" (in the cloud: the job "migrate").'


class SchemaGuard:
    """Refuses to work on a database at another migration. A good answer is trusted for a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._trusted_until = 0.0

    def check(self) -> None:
        """Returns when the database fits.

        Raises:
            SchemaMismatch: the database is behind or ahead; the message names the migration and the command.
            StoreUnavailable: the database cannot be reached.
        """
        if time.monotonic() < self._trusted_until:
            return
        with self._lock:
            if time.monotonic() < self._trusted_until:
                return
            with self._store.connect() as connection:
                problem = mismatch(revision_of(connection))
            if problem:
                raise SchemaMismatch(problem)
            self._trusted_until = time.monotonic() + _TRUSTED_SECONDS
