"""The way to Cloud SQL: the real connector through a stand-in's TLS door to the real Postgres."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.cloud.sql.connector
import pytest
from google.cloud.sql.connector import Connector
from sqlalchemy import make_url, text

from tally.database import Store
from tally.errors import StoreUnavailable
from tally.settings import Settings
from tests.support.cloud_sql import INSTANCE, CloudSql, ServiceAccount


@pytest.fixture
def cloud_sql(database_url: str) -> Iterator[CloudSql]:
    folder = str(make_url(database_url).query["host"])
    with CloudSql(Path(folder) / ".s.PGSQL.5432").serving() as serving:
        yield serving


@pytest.fixture
def store(cloud_sql: CloudSql, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """As record opens it on Cloud Run; only where Google is, and who one is, is said by the test."""
    made: list[Connector] = []

    def here(**options: Any) -> Connector:
        made.append(Connector(sqladmin_api_endpoint=cloud_sql.url, credentials=ServiceAccount(), **options))
        return made[-1]

    monkeypatch.setattr(google.cloud.sql.connector, "Connector", here)
    url = make_url(database_url)
    settings = Settings(cloud_sql_instance=INSTANCE, database_name=str(url.database), database_user=str(url.username))
    store = Store(settings, "tally record", options={"statement_timeout": "30000"})
    yield store
    store.dispose()
    for connector in made:
        connector.close()


def socket_of(store: Store) -> socket.socket:
    with store.connect() as connection:
        driver: Any = connection.connection.driver_connection
        sock: socket.socket = driver._usock
        return sock


def test_a_connection_has_the_options_of_its_function(store: Store) -> None:
    with store.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("application_name", "statement_timeout", "timezone", "jit")
        ]
    assert shown == ["tally record", "30s", "UTC", "off"]


def test_a_connection_neither_waits_to_send_nor_for_ever(store: Store) -> None:
    sock = socket_of(store)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.gettimeout() is None  # a migration may take minutes
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


@pytest.mark.parametrize("status", [403, 404, 429])
def test_what_google_refuses_is_a_database_that_is_away(cloud_sql: CloudSql, store: Store, status: int) -> None:
    cloud_sql.status = status
    with pytest.raises(StoreUnavailable, match=rf"{INSTANCE}.*Not authorized"), store.connect():
        pass
    cloud_sql.status = 200
    with store.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_an_instance_without_a_private_address_is_away(cloud_sql: CloudSql, store: Store) -> None:
    cloud_sql.private = False
    with pytest.raises(StoreUnavailable, match="PRIVATE"), store.connect():
        pass
