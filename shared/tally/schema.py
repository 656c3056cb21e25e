"""Which migrations this code needs, and whether the database has them."""

import time
from threading import Lock

from sqlalchemy import Connection

from tally.database import Store, statement
from tally.errors import SchemaMismatch

# Every migration in order; the last is the one that this code needs. A test holds it equal to migrations/.
REVISIONS = (
    "0001_metering",
    "0002_cubes",
    "0003_event_search",
    "0004_roles",
    "0005_money",
    "0006_cost_cubes",
    "0007_budgets",
)
_TRUSTED_SECONDS = 1.0


def revision_of(connection: Connection) -> str | None:
    """The migration that the database is at, or None before the first."""
    if connection.execute(statement("schema", "has_version_table")).scalar_one():
        found: str | None = connection.execute(statement("schema", "version")).scalar_one_or_none()
        return found
    return None


def works_from(connection: Connection) -> str | None:
    """The oldest migration whose code works with the database; None where the database does not say."""
    found: str | None = connection.execute(statement("schema", "works_from")).scalar_one_or_none()
    return found


def mismatch(revision: str | None, oldest: str | None = None) -> str | None:
    """What is wrong with a database at `revision` and the command that mends it, or None where it fits.

    A later version's database fits where it works from `oldest` on and this code is not older than that: so the
    old revision goes on while a new one is deployed, and can be gone back to.
    """
    if revision == REVISIONS[-1]:
        return None
    if revision is not None and revision not in REVISIONS:
        if oldest in REVISIONS:
            return None
        return (
            f"The database is at migration {revision}, which this version of Tally does not know: it is newer, and "
            f"works with code of {oldest or revision} or later. Deploy such a version; this one has {REVISIONS[-1]}."
        )
    missing = REVISIONS[REVISIONS.index(revision) + 1 if revision else 0 :]
    return f'The database lacks migration {", ".join(missing)}. Run "tally migrate" (in the cloud: the job "migrate").'


def check(connection: Connection) -> None:
    """Returns when the database fits this code.

    Raises:
        SchemaMismatch: the database is behind or ahead; the message names the migration and the command.
    """
    revision = revision_of(connection)
    known = revision is None or revision in REVISIONS
    if problem := mismatch(revision, None if known else works_from(connection)):
        raise SchemaMismatch(problem)


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
                check(connection)
            self._trusted_until = time.monotonic() + _TRUSTED_SECONDS
