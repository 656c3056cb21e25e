"""Which database a command works on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tally.errors import ConfigurationError

if TYPE_CHECKING:
    from tally.database import Store
    from tally.settings import Settings


def with_database() -> "Settings":
    """The settings, with the database of `tally up` where they name none.

    Raises:
        ConfigurationError: no database is named, and `tally up` does not run.
    """
    from pydantic import SecretStr

    from tally.local.stackfile import running_stack
    from tally.settings import settings

    chosen = settings()
    if chosen.database_url is not None or chosen.cloud_sql_instance is not None:
        return chosen
    running = running_stack(chosen.data_dir)
    if running is None:
        raise ConfigurationError(
            "no database is named: set TALLY_DATABASE_URL or TALLY_CLOUD_SQL_INSTANCE, or start `tally up`"
        )
    return chosen.model_copy(update={"database_url": SecretStr(running["database"])})


@contextmanager
def opened(chosen: "Settings", application: str) -> Iterator["Store"]:
    """The database, with the migration that this version needs.

    Raises:
        StoreUnavailable, SchemaMismatch: it is away or behind.
    """
    from tally.database import Store
    from tally.schema import SchemaGuard
    from tally.usage.engine import QUERY_OPTIONS

    store = Store(chosen, application, pool_size=1, options=QUERY_OPTIONS)
    try:
        SchemaGuard(store).check()
        yield store
    finally:
        store.dispose()
