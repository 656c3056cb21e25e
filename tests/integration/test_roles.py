"""Each function has a database user of its own that may do what the function does, and nothing else.

That it may do all of that, the tests of the functions show: they run as these users.
"""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tally import migrate, rollup, tokens
from tally.database import Store
from tally.errors import SchemaMismatch, Unauthenticated
from tally.local.roles import USERS, superuser_url_of, url_of
from tally.recorder import Outcome
from tally.schema import REVISIONS, SchemaGuard
from tally.settings import GrantedFunction, Settings
from tests.support.postgres import Server, execute, rows, scalar, settings_of
from tests.support.store import record, recorder_store

NOW = datetime.now(UTC)
EVENT = {"id": "1", "source": "test", "time": (NOW - timedelta(days=390)).isoformat(), "route": "/old"}

FORBIDDEN = [
    ("ingest", "SELECT FROM usage_events"),
    ("ingest", "INSERT INTO api_tokens (id, name, token_hash) VALUES ('1', 'mine', repeat('0', 64))"),
    ("ingest", "SELECT make_key_partition(1)"),
    ("record", "SELECT FROM api_tokens"),
    ("record", "SELECT FROM usage_events"),
    ("record", "UPDATE usage_events SET status = 200"),
    ("record", "DELETE FROM dedupe_keys"),
    ("record", "UPDATE fold_state SET watermark = 0"),
    ("record", "SELECT attach_partition('usage_events', 'x', 'DEFAULT')"),
    ("record", "DROP TABLE dead_letters"),
    ("query", "SELECT FROM dead_letters"),
    ("query", "INSERT INTO dimensions (kind, digest, value) VALUES ('user', gen_random_uuid(), 'x')"),
    ("query", "UPDATE api_tokens SET scopes = '{admin}'"),
    ("query", "DELETE FROM usage_events"),
    ("query", "UPDATE exchange_rates SET rate = 1"),
    ("admin", "UPDATE usage_events SET status = 200"),
    ("admin", "DELETE FROM usage_events"),
    ("admin", "DELETE FROM audit_log"),
    ("admin", "SELECT secret FROM webhooks"),
    ("admin", "DELETE FROM api_tokens"),
    *((name, "CREATE TABLE mine (number integer)") for name in USERS),
    *((name, "UPDATE alembic_version SET version_num = 'mine'") for name in USERS),
]


@pytest.mark.parametrize(("function", "statement"), FORBIDDEN)
def test_a_function_may_do_nothing_that_it_does_not_do(database_url: str, function: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(url_of(database_url, function), statement)


def test_a_grant_that_is_missing_is_said_with_who_gives_it(database_url: str) -> None:
    execute(database_url, "REVOKE ALL ON api_tokens FROM tally_ingest")
    store = Store(settings_of(url_of(database_url, "ingest")), "tests", pool_size=1)
    with pytest.raises(SchemaMismatch, match=r"permission denied for table api_tokens.*tally migrate.*owner"):
        tokens.Verifier(store, 0).verify("tly_x")
    migrate.upgrade(settings_of(database_url))
    with pytest.raises(Unauthenticated):
        tokens.Verifier(store, 0).verify("tly_x")
    store.dispose()


def test_a_partition_that_covers_more_than_a_month_is_refused(database_url: str) -> None:
    wide = "SELECT make_event_partition('1999-01-01', '1999-03-01')"
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        execute(url_of(database_url, "record"), wide)


@pytest.fixture
def cloud(postgres: Server) -> Iterator["Cloud"]:
    made = Cloud(postgres)
    yield made
    made.drop()


class Cloud:
    """A database as Cloud SQL makes it: owned by a group, the users are members or strangers, nobody is superuser."""

    def __init__(self, postgres: Server) -> None:
        self._postgres = postgres
        self._url = postgres.create_empty()
        mark = uuid.uuid4().hex[:8]
        self._group = f"cloudsqlsuperuser-{mark}"
        self.owner = f"tally-owner-{mark}@example-project.iam"
        self.users: dict[GrantedFunction, str] = {name: f"tally-{name}-{mark}@example-project.iam" for name in USERS}
        database = str(make_url(self._url).database)
        self._as_superuser("CREATE ROLE {} NOLOGIN CREATEROLE CREATEDB", self._group)
        self._as_superuser("ALTER DATABASE {} OWNER TO {}", database, self._group)
        for user in (self.owner, *self.users.values()):
            self._as_superuser("CREATE ROLE {} LOGIN", user)
        self._as_superuser("GRANT {} TO {}", self._group, self.owner)

    def settings(self, user: str) -> Settings:
        url = make_url(self._url).set(username=user).render_as_string(hide_password=False)
        return settings_of(url, database_users=self.users)

    def drop(self) -> None:
        self._postgres.drop(self._url)
        for role in (self.owner, *self.users.values(), self._group):
            self._as_superuser("DROP ROLE {}", role)

    def _as_superuser(self, statement: LiteralString, *names: str) -> None:
        anywhere = make_url(superuser_url_of(self._url)).set(database="postgres")
        with psycopg.connect(anywhere.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def test_in_the_cloud_no_superuser_is_needed_for_anything(cloud: Cloud) -> None:
    owner = cloud.settings(cloud.owner)
    assert migrate.upgrade(owner) == REVISIONS[-1]
    assert migrate.upgrade(owner) == REVISIONS[-1]

    recorder = recorder_store(cloud.settings(cloud.users["record"]))
    assert record(recorder, [EVENT], NOW) == Outcome(stored=1)  # in a partition that it has to make
    assert record(recorder, [EVENT], NOW) == Outcome(duplicate=1)
    recorder.dispose()

    admin = Store(cloud.settings(cloud.users["admin"]), "tests")
    made = tokens.create(admin, "app", ["read"])
    admin.dispose()
    asking = Store(cloud.settings(cloud.users["query"]), "tests")
    assert tokens.Verifier(asking, 0).verify(made.secret).name == "app"
    asking.dispose()

    assert rollup.run_once(owner).folded == 1
    shorter = owner.model_copy(update={"raw_retention_days": 300})
    [dropped] = rollup.run_once(shorter).partitions_dropped
    assert dropped.startswith("usage_events_")


def test_the_printed_script_grants_the_same(cloud: Cloud) -> None:
    owner = cloud.settings(cloud.owner)
    url = str(owner.database_url and owner.database_url.get_secret_value())
    privileges = (
        "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relacl IS NOT NULL"
        " AND NOT relispartition ORDER BY 1"
    )
    execute(url, migrate.sql(cloud.users))
    by_hand = rows(url, privileges)
    assert len(by_hand) > 30
    migrate.upgrade(owner)
    assert rows(url, privileges) == by_hand


def test_code_goes_on_beside_a_newer_database_that_still_works_with_it(database_url: str) -> None:
    """While a version is deployed, and after going back from it."""
    execute(database_url, "UPDATE alembic_version SET version_num = '9999_later'")
    store = Store(settings_of(url_of(database_url, "ingest")), "tests", pool_size=1)
    SchemaGuard(store).check()
    assert migrate.upgrade(settings_of(database_url)) == "9999_later"
    execute(database_url, "UPDATE settings SET value = '\"9998_contract\"' WHERE name = 'works_from'")
    with pytest.raises(SchemaMismatch, match=r"9999_later.*newer.*9998_contract or later"):
        SchemaGuard(store).check()
    with pytest.raises(SchemaMismatch, match="9999_later"):
        migrate.upgrade(settings_of(database_url))
    store.dispose()


def test_a_migration_that_older_code_cannot_work_with_says_so(database_url: str) -> None:
    """Held by hand at each migration: one that takes something away moves it."""
    assert json.loads(scalar(database_url, "SELECT value::text FROM settings WHERE name = 'works_from'")) in REVISIONS
