"""A Postgres server of the tests, and databases on it that are clones of one migrated template."""

import itertools
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from tally import migrate
from tally.local import roles
from tally.local.postgres import EmbeddedPostgres
from tally.settings import Settings

# Tests end processes, never the machine: nothing is lost by not waiting for a disk. Commits stay synchronous, because
# a server that is ended at once would otherwise lose what it has confirmed.
# A worker of autovacuum would hold up DROP DATABASE, and no database lives long enough to need one.
FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "autovacuum": "off"}
_TEMPLATE = "tally_template"


def settings_of(database_url: str, **others: Any) -> Settings:
    """Settings that name a database and, for `migrate`, the functions' users."""
    return Settings(**{"database_url": database_url, "database_users": roles.USERS, **others})


def rows(database_url: str, query: LiteralString, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query, by a driver that Tally does not use and a user who sees everything."""
    with psycopg.connect(roles.superuser_url_of(database_url), autocommit=True) as connection:
        return connection.execute(query, parameters).fetchall()


def execute(database_url: str, script: str) -> None:
    """Runs statements as they are, such as those that psql would run."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(script.encode())


def scalar(database_url: str, query: LiteralString, parameters: Sequence[object] = ()) -> Any:
    """The one value of a query."""
    [(value,)] = rows(database_url, query, parameters)
    return value


class Server:
    """An embedded Postgres with a migrated template."""

    def __init__(self, folder: Path) -> None:
        self._postgres = EmbeddedPostgres(folder, options=FAST)
        self._count = itertools.count(1)

    def start(self) -> None:
        self._postgres.start()
        roles.make_roles(self._postgres.url)
        migrate.upgrade(settings_of(self.create_empty(_TEMPLATE)))

    def stop(self) -> None:
        self._postgres.stop()

    def restart_at_once(self) -> None:
        """Ends the server in immediate mode, as a crash would, and starts it again: it recovers from its log."""
        self.end_at_once()
        self._postgres.start()

    def end_at_once(self) -> None:
        """Ends the server in immediate mode; `restart_at_once` starts it again."""
        if self._postgres.running:
            os.kill(self._postgres.pid, signal.SIGQUIT)
        self._postgres.stop()

    def create(self) -> str:
        """The URL of a new database that is a clone of the migrated template."""
        return self._create(f"test_{next(self._count)}", template=_TEMPLATE)

    def create_empty(self, name: str | None = None) -> str:
        """The URL of a new database with nothing in it."""
        return self._create(name or f"test_{next(self._count)}", template="template1")

    def drop(self, database_url: str) -> None:
        """Removes a database, whoever is connected."""
        name = sql.Identifier(str(make_url(database_url).database))
        with psycopg.connect(roles.superuser_url_of(self._postgres.url), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def _create(self, name: str, template: str) -> str:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        with psycopg.connect(self._postgres.url, autocommit=True) as connection:
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        return make_url(self._postgres.url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def running_server() -> Iterator[Server]:
    """A server in a temporary folder, stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="tally-test-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder) / "postgres")
        try:
            server.start()
            yield server
        finally:
            server.stop()
