"""The embedded Postgres that both sides share, with a database for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from tally.local.postgres import EmbeddedPostgres


@dataclass(frozen=True)
class Database:
    """One database by its libpq URL."""

    url: str

    @property
    def sqlalchemy_url(self) -> str:
        """The same for SQLAlchemy with psycopg."""
        return make_url(self.url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection in autocommit."""
        return psycopg.connect(self.url, autocommit=True)

    def rows(self, query: LiteralString, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    def count(self, query: LiteralString, parameters: Sequence[object] = ()) -> int:
        [(number,)] = self.rows(query, parameters)
        return int(number)


class Databases:
    """Makes databases on a running server with its own default durability."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    def create(self, name: str) -> Database:
        """An empty database of that name; one of an earlier benchmark is replaced."""
        with Database(self._server.url).connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return Database(self._url(name))

    def checkpoint(self) -> None:
        """Write out what earlier work left dirty, so that nobody pays for the other side's."""
        with Database(self._url("postgres", username="postgres")).connect() as connection:
            connection.execute("CHECKPOINT")

    def version(self) -> str:
        """Such as "18.6"."""
        [(version,)] = Database(self._server.url).rows("SHOW server_version")
        return str(version)

    def _url(self, database: str, username: str | None = None) -> str:
        url = make_url(self._server.url).set(database=database, username=username)
        return url.render_as_string(hide_password=False)
