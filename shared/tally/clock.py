"""The database's clock, without asking it for every request."""

import time
from datetime import datetime, timedelta

from tally.database import Store, statement

_TRUSTED_SECONDS = 60.0


class Clock:
    """Tells the time of the database (UTC), which decides what "today" is.

    The database is asked once a minute; in between this process only counts the seconds that passed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: tuple[float, datetime] | None = None

    def now(self) -> datetime:
        """The time now.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        read = self._read
        if read is None or time.monotonic() - read[0] > _TRUSTED_SECONDS:
            with self._store.connect() as connection:
                found: datetime = connection.execute(statement("schema", "clock")).scalar_one()
            read = self._read = (time.monotonic(), found)
        return read[1] + timedelta(seconds=time.monotonic() - read[0])
