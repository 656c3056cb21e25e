"""The one place that knows the driver: connections to PostgreSQL, named statements, errors in Tally's words.

Connections come from a pool and are in autocommit; `Store.transaction()` groups statements. Every driver error
leaves this module as a `TallyError`.
"""

import re
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, NoReturn

import pg8000.dbapi
from pg8000.native import PreparedStatement
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, DisconnectionError, PendingRollbackError, ResourceClosedError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.elements import ClauseElement, TextClause

from tally.errors import (
    ConfigurationError,
    DataRefused,
    SchemaMismatch,
    StoreUnavailable,
    TallyError,
    Unprocessable,
)
from tally.settings import Settings

_CONNECT_SECONDS = 5
# Silence is asked about after 15 s, three times (seconds, number); what is sent has 30 s to arrive (milliseconds).
_GIVE_UP = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
_MOST_PREPARED = 64  # each keeps a plan of some 100 kB in the server process
_PARTITION = re.compile(r"_\d+$")
_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
# Detail, context and query of a server's error: they quote rows, which hold personal data, and errors are logged.
_QUOTES_ROWS = ("D", "W", "q")
_QUERY_CANCELED = "57014"
_NO_PARTITION = "23514"
_PRICES_CHANGED = "TLY02"
_UNDEFINED = frozenset({"42P01", "42703", "42883", "3F000"})
_NOT_GRANTED = "42501"


class PartitionMissing(TallyError):
    """A row's time or generation has no partition yet; `tally.partitions` makes one."""


class PricesChanged(TallyError):
    """Events were priced with prices that are not in force any more; they must be read again."""


class QuestionTooLarge(Unprocessable):
    """A question ran into the time limit."""

    @classmethod
    def advice(cls) -> "QuestionTooLarge":
        """With what to ask instead."""
        return cls(
            "The question is too large for the time limit: ask for a shorter range, a longer window, fewer dimensions "
            "or a filter."
        )


@cache
def statements(module: str) -> Mapping[str, str]:
    """The statements of `sql/<module>.sql` by name; each begins with a line `-- name: …`."""
    found: dict[str, str] = {}
    for part in files("tally").joinpath("sql", f"{module}.sql").read_text("utf-8").split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
        found[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return found


@cache
def statement(module: str, name: str) -> TextClause:
    """One named statement, ready for `Connection.execute`."""
    return text(statements(module)[name])


class Store:
    """The database of one process. Nothing is opened before the first use, so that it may be made before a fork.

    Args:
        settings: names the database by URL or by Cloud SQL instance.
        application: shown in `pg_stat_activity`.
        pool_size: connections at most.
        options: PostgreSQL settings of every connection, such as `statement_timeout`.
        check: whether a pooled connection is tried before each use, so that a restart of the database is not felt.
    """

    def __init__(
        self,
        settings: Settings,
        application: str,
        *,
        pool_size: int = 5,
        options: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> None:
        self._settings = settings
        self._application = application
        self._pool_size = pool_size
        self._options = {"timezone": "UTC", "jit": "off", **(options or {})}
        self._check = check
        self._lock = threading.Lock()

    @cached_property
    def _connector(self) -> Callable[[], Any]:
        return _connector(self._settings, self._application, self._options)

    @cached_property
    def engine(self) -> Engine:
        """The pool, made on first use."""
        with self._lock:
            return create_engine(
                "postgresql+pg8000://",
                creator=self._connector,
                isolation_level="AUTOCOMMIT",
                pool_size=self._pool_size,
                max_overflow=0,
                pool_timeout=_CONNECT_SECONDS,
                pool_recycle=1800,
                pool_pre_ping=self._check,
                hide_parameters=True,  # they hold personal data, and errors are logged
                pool_use_lifo=True,
            )

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in autocommit.

        Raises:
            StoreUnavailable, SchemaMismatch, DataRefused, QuestionTooLarge: in place of the driver's errors.
        """
        with _in_our_words(), self.engine.connect() as connection:
            yield connection

    def transaction(self) -> AbstractContextManager[Connection]:
        """A connection inside BEGIN and COMMIT; rolled back when the block raises."""
        return self._transaction("BEGIN")

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A connection that only reads, and whose statements all see the database as at the first of them."""
        return self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        with self.connect() as connection:
            connection.exec_driver_sql(begin)
            try:
                yield connection
            except BaseException:
                if not connection.invalidated:
                    connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def run_prepared(self, module: str, name: str, **parameters: object) -> list[list[Any]]:
        """Rows of a named statement that is prepared once a connection: one round trip, one transaction."""
        with _in_our_words():
            pooled = self.engine.raw_connection()
            try:
                return _prepared(pooled, statements(module)[name]).run(**parameters) or []
            except pg8000.dbapi.Error as error:
                if not _sqlstate(error):
                    pooled.invalidate(error)
                raise
            finally:
                pooled.close()

    def cancel(self, backend: int) -> None:
        """Stops the statement that runs in a server process, over a connection of its own: the pool may be in use."""
        with _in_our_words():
            connection = self._connector()
            try:
                connection.cursor().execute("SELECT pg_cancel_backend(%s)", (backend,))
            finally:
                connection.close()

    def dispose(self) -> None:
        """Closes the idle connections; the next use opens new ones."""
        self.engine.dispose()


def compiled(statement: ClauseElement) -> str:
    """A composed statement as text with parameters by name, for `run_prepared`."""
    return str(statement.compile(dialect=_DIALECT))


def run_prepared(connection: Connection, sql: str, parameters: Mapping[str, object]) -> list[list[Any]]:
    """Rows of a statement that is prepared once a connection, so that it is parsed and planned once.

    Raises:
        StoreUnavailable, SchemaMismatch, DataRefused, QuestionTooLarge: as `Store.connect`.
    """
    with _in_our_words():
        return _prepared(connection.connection, sql).run(**parameters) or []


def explained(connection: Connection, sql: str, parameters: Mapping[str, object]) -> dict[str, int]:
    """How many rows of each table a statement of `run_prepared` reads, from running it.

    A partition counts as its table.

    Raises:
        StoreUnavailable, SchemaMismatch, DataRefused, QuestionTooLarge: as `Store.connect`.
    """
    explain = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) {sql}"
    [[plans]] = run_prepared(connection, explain, parameters)
    read: dict[str, int] = {}
    for node in _nodes(plans[0]["Plan"]):
        if "Relation Name" in node:
            table = _PARTITION.sub("", node["Relation Name"])
            passed = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            read[table] = read.get(table, 0) + round(passed * node["Actual Loops"])
    return read


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def array_text(values: Iterable[object]) -> str:
    """An array as PostgreSQL reads it, for a parameter that the statement casts to its type."""
    quoted = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def _prepared(pooled: PoolProxiedConnection, sql: str) -> PreparedStatement:
    """The statement as prepared on a connection; the one not used for longest makes room for a new one."""
    known: OrderedDict[str, PreparedStatement] = pooled.info.setdefault("prepared", OrderedDict())
    prepared = known.get(sql)
    if prepared is None:
        if len(known) >= _MOST_PREPARED:
            known.popitem(last=False)[1].close()
        prepared = known[sql] = PreparedStatement(pooled.driver_connection, sql)
    known.move_to_end(sql)
    return prepared


class Work:
    """What one thread reads from the database, and another may stop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._backend: int | None = None
        self.stopped = False

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """As `Store.snapshot`.

        Raises:
            QuestionTooLarge: it was stopped.
        """
        with self._store.snapshot() as connection:
            backend = _backend_of(connection)
            with self._lock:
                self._raise_if_stopped()
                self._backend = backend
            try:
                yield connection
            finally:
                with self._lock:
                    self._backend = None
                if self.stopped:
                    # The server may not have seen the signal yet: it must not meet the next one's statement.
                    connection.invalidate()
            self._raise_if_stopped()

    def stop(self) -> None:
        """Stops the statement that runs, and any that would follow."""
        with self._lock:
            self.stopped = True
            if self._backend is not None:
                self._store.cancel(self._backend)

    def _raise_if_stopped(self) -> None:
        if self.stopped:
            raise QuestionTooLarge.advice()


def _backend_of(connection: Connection) -> int:
    """The server process of a connection, asked once for as long as it is pooled."""
    if "backend" not in connection.info:
        connection.info["backend"] = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return int(connection.info["backend"])


def _connector(settings: Settings, application: str, options: Mapping[str, str]) -> Callable[[], Any]:
    if settings.cloud_sql_instance is not None:
        return _cloud_sql_connector(settings, application, options)
    if settings.database_url is None:
        raise ConfigurationError("No database is named: set TALLY_DATABASE_URL or TALLY_CLOUD_SQL_INSTANCE.")
    url = make_url(settings.database_url.get_secret_value())
    return lambda: _connect(url, application, dict(options))


def _connect(url: URL, application: str, options: dict[str, str]) -> pg8000.dbapi.Connection:
    host = url.host or str(url.query.get("host", "localhost"))
    port = url.port or int(str(url.query.get("port", 5432)))
    to: dict[str, Any] = {"unix_sock": f"{host}/.s.PGSQL.{port}"}
    if not host.startswith("/"):
        try:
            to = {"host": host, "sock": socket.create_connection((host, port), _CONNECT_SECONDS)}
        except OSError as error:
            raise pg8000.dbapi.InterfaceError(f"cannot connect to {host} port {port}: {error}") from error
        to["sock"].settimeout(None)
        _set_up(to["sock"])
    return pg8000.dbapi.connect(
        url.username or "tally",
        password=url.password,
        database=url.database or "tally",
        application_name=application,
        startup_params=options,
        **to,
    )


def _cloud_sql_connector(settings: Settings, application: str, options: Mapping[str, str]) -> Callable[[], Any]:
    from aiohttp import ClientError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.sql.connector import Connector, IPTypes
    from google.cloud.sql.connector.exceptions import CloudSQLConnectionError, CloudSQLIPTypeError

    connector = Connector(ip_type=IPTypes.PRIVATE, enable_iam_auth=True, refresh_strategy="lazy")

    def connect() -> Any:
        try:
            connection = connector.connect(
                str(settings.cloud_sql_instance),
                "pg8000",
                user=settings.database_user,
                db=settings.database_name,
                application_name=application,
                startup_params=dict(options),
            )
        # What Google's administration of the instance answers, on the way to the database.
        except (ClientError, GoogleAuthError, CloudSQLConnectionError, CloudSQLIPTypeError) as error:
            message = f"cannot connect to Cloud SQL instance {settings.cloud_sql_instance}: {error}"
            raise pg8000.dbapi.InterfaceError(message) from error
        _set_up(connection._usock)  # noqa: SLF001 - the connector makes the socket itself
        return connection

    return connect


def _set_up(sock: socket.socket) -> None:
    """Without TCP_NODELAY each round trip of pg8000 waits 40 ms for a delayed acknowledgement.

    A server that vanishes without a word (a failover) is given up within half a minute, not after a quarter of an hour.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _GIVE_UP.items():
        if hasattr(socket, option):  # macOS lacks some
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        _raise_ours(error.orig or error)
    except pg8000.dbapi.Error as error:
        _raise_ours(error)
    except (PoolTimeout, DisconnectionError, PendingRollbackError, ResourceClosedError, OSError) as error:
        raise StoreUnavailable(f"The database cannot be reached: {error}") from error


def _raise_ours(driver_error: BaseException) -> NoReturn:
    code = _sqlstate(driver_error)
    detail = driver_error.args[0] if driver_error.args else ""
    message = str(detail.get("M", "")) if isinstance(detail, dict) else str(driver_error)
    if isinstance(detail, dict):
        for part in _QUOTES_ROWS:
            detail.pop(part, None)
    if code == _NO_PARTITION and "no partition" in message:
        raise PartitionMissing(message) from driver_error
    if code == _PRICES_CHANGED:
        raise PricesChanged(message) from driver_error
    if code == _QUERY_CANCELED:
        raise QuestionTooLarge.advice() from driver_error
    if code in _UNDEFINED:
        raise SchemaMismatch(f'{message}; run "tally migrate".') from driver_error
    if code == _NOT_GRANTED:
        advice = '"tally migrate", run as the owner of the tables, grants each function what it needs'
        raise SchemaMismatch(f"{message}; {advice}.") from driver_error
    if code[:2] in ("22", "23"):
        raise DataRefused(message) from driver_error
    if not code or code == "TLY01" or code[:2] in ("08", "53", "55", "57", "25", "40", "28", "3D", "58"):
        raise StoreUnavailable(f"The database cannot be used now: {message}") from driver_error
    raise driver_error from None


def _sqlstate(error: BaseException) -> str:
    """The five characters of the server's error, or nothing where the connection itself failed."""
    detail = error.args[0] if error.args else None
    return str(detail.get("C", "")) if isinstance(detail, dict) else ""
