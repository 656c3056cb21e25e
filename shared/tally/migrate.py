"""Brings the database to the migration that this code needs: the work of the job `migrate` and of `tally migrate`."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

from alembic import command
from alembic.config import Config

from tally import partitions
from tally.database import Store, statement
from tally.grants import grant, grants
from tally.schema import REVISIONS, check, revision_of
from tally.settings import GrantedFunction, Settings

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def upgrade(settings: Settings, revision: str = "head") -> str | None:
    """Applies what is missing up to `revision`, all of it or nothing, grants what functions need, makes partitions.

    Safe to run twice at once: the second waits for the first and finds nothing to do. A database that a later version
    migrated stays as it is, where this version works with it. Returns the revision reached.

    Raises:
        StoreUnavailable: the database cannot be reached.
        SchemaMismatch: the database is too new for this version.
    """
    return _run(settings, lambda config: command.upgrade(config, revision))


def downgrade(settings: Settings, revision: str = "base") -> str | None:
    """Takes migrations back to `revision`; "base" removes every table. Returns the revision reached."""
    return _run(settings, lambda config: command.downgrade(config, revision))


def sql(users: Mapping[GrantedFunction, str] | None = None) -> str:
    """All migrations, and the grants for database users by function, as one script for who applies them by hand."""
    buffer = io.StringIO()
    config = _config()
    config.output_buffer = buffer
    command.upgrade(config, "head", sql=True)
    return buffer.getvalue() + "".join(f"{one};\n" for one in grants(users or {}))


def _run(settings: Settings, change: Callable[[Config], None]) -> str | None:
    store = Store(settings, "tally migrate", pool_size=2)
    try:
        with store.transaction() as connection:
            connection.execute(statement("schema", "lock_migrations"))
            reached = revision_of(connection)
            if reached is not None and reached not in REVISIONS:
                check(connection)
                return reached
            config = _config()
            config.attributes["connection"] = connection
            change(config)
            reached = revision_of(connection)
        if reached == REVISIONS[-1]:
            grant(store, settings.database_users)
            partitions.ensure(store, settings.raw_retention_days)
        return reached
    finally:
        store.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
