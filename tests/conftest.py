"""Fixtures that all tests share.

Real parts only: one Postgres server a session, a database of its own for every test that asks for one (a clone of a
migrated template), functions as processes under the Functions Framework. A module's `stack` is shared by its tests,
which keep apart by their own organizations, sources and ids.
"""

import os
from collections.abc import Iterator

import pytest

from tally.database import Store
from tally.log import logger
from tally.settings import Settings
from tally.settings import settings as settings_in_force
from tests.support.functions import Functions, Stack, read_json, running_functions, start_stack
from tests.support.logs import Log
from tests.support.postgres import Server, running_server, settings_of

_FOREIGN = ("TALLY_", "PUBSUB_")
_LONGEST = ("terraform", "image", "test_stack.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file run in one process, since they share functions and databases. Those of deploy do not.

    Those of Terraform share plans over their files, which take a minute to make. What takes longest comes first, so
    that no process has it left when the others are done.
    """
    items.sort(key=lambda item: item.path.parent.name not in _LONGEST and item.path.name not in _LONGEST)
    for item in items:
        folder = item.path.parent
        if folder.name != "deploy":
            item.add_marker(pytest.mark.xdist_group(str(folder if folder.name == "terraform" else item.path)))


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """No setting of whoever runs the tests is in force, and none that a test sets stays."""
    before = dict(os.environ)
    for name in before:
        if name.upper().startswith(_FOREIGN):
            del os.environ[name]
    settings_in_force.cache_clear()
    yield
    os.environ.clear()
    os.environ.update(before)
    settings_in_force.cache_clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server of the session. Tests that stop or restart a server use one of their own: `own_postgres`."""
    with running_server() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server that a test may stop and restart."""
    with running_server() as server:
        yield server


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """A migrated database without events."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def empty_database_url(postgres: Server) -> Iterator[str]:
    """A database that no migration was applied to."""
    url = postgres.create_empty()
    yield url
    postgres.drop(url)


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings that name the test's database."""
    return settings_of(database_url)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """The test's database, opened as the functions open it."""
    store = Store(settings, "tests")
    yield store
    store.dispose()


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    """Reads the lines that were logged in this process since it was read before."""
    logger.cache_clear()  # it keeps the standard output that it met first
    yield lambda: [read_json(line) for line in capsys.readouterr().out.splitlines()]
    logger.cache_clear()


@pytest.fixture
def functions() -> Iterator[Functions]:
    """Starts functions for one test."""
    with running_functions() as functions:
        yield functions


@pytest.fixture(scope="module")
def module_functions() -> Iterator[Functions]:
    """Starts functions for the tests of one module."""
    with running_functions() as functions:
        yield functions


@pytest.fixture(scope="module")
def stack(postgres: Server, module_functions: Functions) -> Iterator[Stack]:
    """ingest, record and query on one database, for the tests of one module."""
    url = postgres.create()
    yield start_stack(module_functions, url)
    module_functions.stop_all()
    postgres.drop(url)
