"""The functions' database users on this machine. As in the cloud they own nothing: a missing grant shows here too."""

from collections.abc import Mapping

from pydantic import SecretStr
from sqlalchemy import make_url

from tally.database import Store, statement
from tally.settings import GrantedFunction, Settings

USERS: Mapping[GrantedFunction, str] = {
    "ingest": "tally_ingest",
    "record": "tally_record",
    "query": "tally_query",
    "admin": "tally_admin",
}


def make_roles(database_url: str) -> None:
    """Makes the database users that are missing on the embedded server."""
    superuser = Settings(database_url=SecretStr(superuser_url_of(database_url)))
    store = Store(superuser, "tally up", pool_size=1)
    try:
        with store.connect() as connection:
            there = connection.execute(statement("local", "roles")).scalars().all()
            for role in sorted({*USERS.values()} - {*there}):
                connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
    finally:
        store.dispose()


def url_of(database_url: str, process: str) -> str:
    """The database's URL for one process: as its own user if it has one, else as the owner of the tables."""
    for function, user in USERS.items():
        if function == process:
            return _with_user(database_url, user)
    return database_url


def superuser_url_of(database_url: str) -> str:
    """The database's URL for who may do everything on the embedded server."""
    return _with_user(database_url, "postgres")


def _with_user(url: str, user: str) -> str:
    return make_url(url).set(username=user).render_as_string(hide_password=False)
