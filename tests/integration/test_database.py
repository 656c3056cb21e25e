"""What the one place that knows the driver promises."""

import pytest
from sqlalchemy import text

from tally.database import Store
from tally.errors import DataRefused

COUNT = text("SELECT count(*) FROM settings WHERE name <> 'works_from'")


def add(store: Store, name: str) -> None:
    with store.connect() as connection:
        connection.execute(text("INSERT INTO settings (name, value) VALUES (:name, '1')"), {"name": name})


def add_twice(store: Store) -> None:
    with store.transaction() as connection:
        for value in ("1", "2"):
            connection.execute(text("INSERT INTO settings (name, value) VALUES ('a', :value)"), {"value": value})


def test_a_snapshot_does_not_change_while_it_is_read(store: Store) -> None:
    add(store, "before")
    with store.snapshot() as connection:
        assert connection.execute(COUNT).scalar_one() == 1
        add(store, "meanwhile")
        assert connection.execute(COUNT).scalar_one() == 1
    with store.snapshot() as connection:
        assert connection.execute(COUNT).scalar_one() == 2


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(DataRefused):
        add_twice(store)
    with store.connect() as connection:
        assert connection.execute(COUNT).scalar_one() == 0
