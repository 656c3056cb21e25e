"""Migrations go up, down and up again, two at once do no harm, and the printed script does the same."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from tally import migrate
from tally.cubes import CUBES, usage_events
from tally.database import Store
from tally.errors import SchemaMismatch
from tally.schema import REVISIONS, SchemaGuard
from tests.support.postgres import Server, execute, rows, scalar, settings_of


@pytest.fixture
def empty(postgres: Server) -> Iterator[str]:
    url = postgres.create_empty()
    yield url
    postgres.drop(url)


def schema_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Tables, columns, constraints, indexes, functions and sequences, without the partitions that time makes."""
    parts = "SELECT inhrelid FROM pg_inherits"
    with psycopg.connect(url) as connection:
        return {
            what: connection.execute(query.encode()).fetchall()
            for what, query in {
                "columns": "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull,"
                " pg_get_expr(adbin, adrelid), relkind::text, reloptions FROM pg_class"
                " JOIN pg_attribute ON attrelid = pg_class.oid"
                " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
                " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND relkind IN ('r', 'p', 'S')"
                f" AND pg_class.oid NOT IN ({parts}) ORDER BY relname, attnum",
                "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                f" WHERE connamespace = 'public'::regnamespace AND conrelid NOT IN ({parts}) ORDER BY 1, 2",
                "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND to_regclass(tablename)"
                f" NOT IN ({parts}) ORDER BY 1",
                "functions": "SELECT proname, prosrc FROM pg_proc"
                " WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
                "rows": "SELECT watermark, txid_offset FROM fold_state",
                "version": "SELECT version_num FROM alembic_version",
            }.items()
        }


def tables(url: str) -> set[str]:
    found = rows(url, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i'")
    return {str(name) for (name,) in found}


def test_up_down_and_up_again_is_the_same_as_up(empty: str, database_url: str) -> None:
    settings = settings_of(empty)
    assert migrate.upgrade(settings) == REVISIONS[-1]
    assert schema_of(empty) == schema_of(database_url)
    assert migrate.downgrade(settings) is None
    assert tables(empty) == {"alembic_version"}
    assert scalar(empty, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == 0
    assert migrate.upgrade(settings) == REVISIONS[-1]
    assert schema_of(empty) == schema_of(database_url)


def test_the_printed_script_makes_the_same_schema(empty: str, database_url: str) -> None:
    execute(empty, migrate.sql())
    assert schema_of(empty) == schema_of(database_url)
    store = Store(settings_of(empty), "tests", pool_size=1)
    SchemaGuard(store).check()
    store.dispose()


def test_a_database_migrated_by_the_printed_script_takes_events_after_the_next_run_of_migrate(empty: str) -> None:
    execute(empty, migrate.sql())
    assert migrate.upgrade(settings_of(empty)) == REVISIONS[-1]
    assert scalar(empty, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'usage_events'::regclass") >= 2


def test_several_upgrades_at_once_do_no_harm(empty: str, database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        reached = list(pool.map(lambda _: migrate.upgrade(settings_of(empty)), range(4)))
    assert reached == [REVISIONS[-1]] * 4
    assert schema_of(empty) == schema_of(database_url)


def test_an_upgrade_that_fails_changes_nothing(empty: str) -> None:
    execute(empty, "CREATE TABLE cube_user_hour (mine text)")
    with pytest.raises(Exception, match="cube_user_hour"):
        migrate.upgrade(settings_of(empty))
    assert tables(empty) == {"cube_user_hour"}


def test_the_code_knows_every_migration_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert tuple(one.revision for one in reversed(list(script.walk_revisions()))) == REVISIONS
    assert script.get_heads() == [REVISIONS[-1]]


@pytest.mark.parametrize("cube", CUBES, ids=lambda cube: cube.table.name)
def test_a_cube_in_the_code_is_the_table_in_the_database(database_url: str, cube: Any) -> None:
    name = cube.table.name
    columns = rows(
        database_url,
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        [name],
    )
    assert [column for (column,) in columns] == list(cube.table.c.keys())
    keys = rows(
        database_url,
        "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)"
        " WHERE indrelid = %s::regclass AND indisprimary",
        [name],
    )
    assert {key for (key,) in keys} == {column.name for column in cube.table.primary_key} == {"bucket", *cube.keys}


def test_the_columns_of_events_in_the_code_are_in_the_database(database_url: str) -> None:
    columns = rows(database_url, "SELECT attname FROM pg_attribute WHERE attrelid = 'usage_events'::regclass")
    assert {column.name for column in usage_events.c} <= {name for (name,) in columns}


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        (None, f'lacks migration {", ".join(REVISIONS)}. Run "tally migrate"'),
        (REVISIONS[0], f"lacks migration {REVISIONS[1]}"),
    ],
)
def test_the_guard_names_what_is_missing_and_the_command(database_url: str, revision: str | None, says: str) -> None:
    execute(database_url, "DELETE FROM alembic_version")
    if revision is not None:
        execute(database_url, f"INSERT INTO alembic_version VALUES ('{revision}')")
    store = Store(settings_of(database_url), "tests", pool_size=1)
    with pytest.raises(SchemaMismatch, match=says):
        SchemaGuard(store).check()
    store.dispose()
