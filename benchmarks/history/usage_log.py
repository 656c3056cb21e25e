"""The naive side: one flat table of calls with single-column indexes, from which the other two stores are filled."""

from datetime import datetime, timedelta

from benchmarks.databases import Database
from benchmarks.history.loading import Connection, connect, share_out, statement

DAYS = 90
TABLE = "service.usage_log"


def create(database: Database, events: int, end: datetime) -> None:
    """Make `events` calls in the `DAYS` days up to `end`, a full hour; the same for the same arguments."""
    with connect(database) as connection:
        connection.execute(statement("population"))
        connection.execute(statement("hours"), {"events": events, "end": end, "days": DAYS})
        connection.execute("ANALYZE")
    share_out(database, [(day, end - timedelta(days=DAYS - day)) for day in range(DAYS)], _add_day)
    with connect(database) as connection:
        connection.execute("ALTER TABLE service.usage_log ADD PRIMARY KEY (id)")
        connection.execute("ANALYZE service.usage_log")


def _add_day(connection: Connection, day: tuple[int, datetime]) -> None:
    number, lower = day
    connection.execute("SELECT setseed(%s)", [number / DAYS])
    connection.execute(statement("calls"), {"lower": lower, "upper": lower + timedelta(days=1)})


def finish(database: Database) -> None:
    """Make the indexes, then what autovacuum would do in time."""
    with connect(database) as connection:
        connection.execute(statement("indexes"))
        connection.execute("VACUUM (ANALYZE) service.usage_log")


def heaviest_user(database: Database) -> str:
    """The user with the most calls."""
    [(user,)] = database.rows("SELECT user_id FROM service.users WHERE system = 'content' ORDER BY rank LIMIT 1")
    return str(user)
