"""The processes of `tally up`: Postgres, the functions, the gateway and the scheduler of the rollup.

Each function is the process that it is in the cloud, under the Functions Framework, on a loopback port of its
own. Whatever dies is started again on the same port. `stack.json` in the data folder lists them all while the
stack serves.
"""

import http.client
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from tally import migrate, price_import
from tally.local import LocalError, roles
from tally.local.emulator import PubSubEmulator, set_up
from tally.local.folder import FolderInUse, FolderLock
from tally.local.ports import HOST, demand, free_port
from tally.local.postgres import EmbeddedPostgres
from tally.local.process import MARK, Deaths, ProcessFailed, ServiceProcess, end_leftovers
from tally.local.stackfile import remove_stack_file, running_stack, write_stack_file
from tally.serve import FUNCTIONS
from tally.settings import Settings, variable

_SERVICES = ("record", "ingest", "query", "admin")  # in the order of their start: ingest needs to know where record is
_STOP_ORDER = ("gateway", "ingest", "record", "query", "admin", "rollup")
_ROLLUP_SECONDS = 5
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_DEFAULT_PROJECT = "tally-local"
# Settings that the stack itself decides; the others reach the functions as they are.
_OWN_SETTINGS = frozenset(
    {
        "admin_token",
        "cloud_sql_instance",
        "data_dir",
        "database_name",
        "database_url",
        "database_user",
        "database_users",
        "function",
        "port",
        "record_url",
        "sample",
        "topic",
    }
)


class Stack:
    """All of Tally on this machine, at one address.

    Args:
        settings: `port` and `data_dir` say where; the others reach the functions.
        emulator: Whether to start Google's Pub/Sub emulator. One that PUBSUB_EMULATOR_HOST names is used
            anyway; without any, ingest hands events to record itself.
        tell: Told each step, in a few words.
    """

    def __init__(
        self, settings: Settings, *, emulator: bool = False, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.url = f"http://{HOST}:{settings.port}"
        self.data_dir = settings.data_dir.resolve()
        self.logs = self.data_dir / "logs"
        self._given = settings
        self._tell = tell
        self._lock = FolderLock(self.data_dir)
        self._postgres = EmbeddedPostgres(self.data_dir / "postgres", log=self.logs / "postgres.log")
        self._emulator = PubSubEmulator(self.logs, environment=self._environment()) if emulator else None
        self._processes: dict[str, ServiceProcess] = {}
        self._deaths: dict[str, Deaths] = {}

    @property
    def settings(self) -> Settings:
        """The settings with the database of this stack."""
        database = SecretStr(self._postgres.url)
        own = {"database_url": database, "database_users": roles.USERS, "cloud_sql_instance": None}
        return self._given.model_copy(update=own)

    def start(self) -> None:
        """Start everything and wait until it is ready.

        Raises:
            FolderInUse: Another stack works on the data folder.
            PortTaken: The port is not free.
            LocalError: A part does not start; the message has the last lines of its log.
        """
        if not FUNCTIONS.is_dir():
            raise LocalError(f"the functions are not at {FUNCTIONS}; run `tally up` from a checkout of Tally")
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_folder()
        self.logs.mkdir(exist_ok=True)
        if ended := end_leftovers(self.data_dir):
            self._tell(f"Ended {len(ended)} processes that a killed run had left behind")
        remove_stack_file(self.data_dir)
        demand(self._given.port)
        self._tell("Starting PostgreSQL")
        self._postgres.start()
        roles.make_roles(self._postgres.url)
        self._tell("Applying migrations")
        migrate.upgrade(self.settings)
        price_import.seed(self.settings)
        self._tell("Starting the functions")
        self._start_services()
        self._write_stack_file()

    def watch(self) -> None:
        """Start again whatever dies, until an exception ends it.

        Raises:
            ProcessFailed: Something died for the 5th time within a minute.
        """
        while True:
            time.sleep(_LOOK_SECONDS)
            changed = False
            if not self._postgres.running:
                self._count_death("postgres", f"PostgreSQL ended; see {self.logs / 'postgres.log'}")
                self._postgres.restart()
                changed = True
            for process in self._processes.values():
                if not process.running:
                    self._count_death(process.name, str(process.failed("ended")))
                    process.start()
                    changed = True
            if self._emulator is not None and not self._emulator.running:
                self._count_death("pubsub", f"the Pub/Sub emulator ended; see {self.logs / 'pubsub.log'}")
                self._publisher(self._processes["record"].url or "")
                changed = True
            if changed:
                self._write_stack_file()

    def stop(self) -> None:
        """Stop everything: first what takes requests, last the database."""
        for name in _STOP_ORDER:
            if name in self._processes:
                self._processes.pop(name).stop()
        if self._emulator is not None:
            self._emulator.stop()
        if self._lock.held:
            end_leftovers(self.data_dir)  # an interrupt may come between a process's start and its being noted
            self._postgres.stop()
            remove_stack_file(self.data_dir)
        self._lock.release()

    def _take_folder(self) -> None:
        try:
            self._lock.acquire()
        except FolderInUse as error:
            running = running_stack(self.data_dir)
            at = f" at {running['url']}" if running else ""
            raise FolderInUse(
                f"Tally runs already{at}: {error}; stop it first, or choose another folder with --data-dir"
            ) from None

    def _start_services(self) -> None:
        ports = {name: free_port() for name in _SERVICES}
        urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
        publisher = self._publisher(urls["record"])
        for name, port in ports.items():
            command = ["-m", "tally.cli", "serve", "--host", HOST, "--port", str(port)]
            own = publisher if name == "ingest" else {}
            self._start(name, command, {variable("function"): name, **own}, urls[name])
        upstreams = [f"{name}={url}" for name, url in urls.items() if name != "record"]
        gateway = ["-m", "tally.local.gateway", "--port", str(self._given.port), *upstreams]
        self._start("gateway", gateway, {}, self.url)
        self._start("rollup", ["-m", "tally.cli", "rollup", "--every", str(_ROLLUP_SECONDS)], {}, None)
        for process in self._processes.values():
            if process.name in (*_SERVICES, "gateway"):
                self._wait_until_ready(process)

    def _publisher(self, record_url: str) -> dict[str, str]:
        """What ingest needs to publish: an emulator's topic that pushes to record, or record itself."""
        if self._emulator is not None:
            self._tell("Starting the Pub/Sub emulator")
            self._emulator.start()
        host = self._emulator.host if self._emulator else os.environ.get("PUBSUB_EMULATOR_HOST")
        if not host:
            return {variable("record_url"): record_url}
        project = os.environ.get("PUBSUB_PROJECT_ID", _DEFAULT_PROJECT)
        topic = set_up(host, project, f"{record_url}/push")
        return {variable("topic"): topic, "PUBSUB_EMULATOR_HOST": host}

    def _start(self, name: str, command: list[str], own: Mapping[str, str], url: str | None) -> None:
        runtime = self.data_dir / "run" / name
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = {
            **self._environment(),
            variable("database_url"): roles.url_of(self._postgres.url, name),
            "XDG_RUNTIME_DIR": str(runtime),  # where gunicorn puts a socket, which would otherwise be in HOME
            **own,
        }
        log = self.logs / f"{name}.log"
        process = ServiceProcess(name, [sys.executable, *command], environment, log, url)
        self._processes[name] = process
        process.start()

    def _environment(self) -> dict[str, str]:
        own = {variable(name) for name in _OWN_SETTINGS}
        kept = {name: value for name, value in os.environ.items() if name.upper() not in own}
        # Whoever tries webhooks out does so on this machine.
        return {variable("private_webhooks"): "1", **kept, "PYTHONUNBUFFERED": "1", MARK: str(self.data_dir)}

    def _wait_until_ready(self, process: ServiceProcess) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while (answer := _readiness(process.url or "")) is not None:
            if not process.running:
                raise process.failed("ended while it started")
            if time.monotonic() > deadline:
                raise process.failed(f"was not ready within {_READY_SECONDS:.0f} s ({answer})")
            time.sleep(_LOOK_SECONDS)

    def _count_death(self, name: str, message: str) -> None:
        if self._deaths.setdefault(name, Deaths()).too_many():
            raise ProcessFailed(f"given up, because it happened 5 times within a minute: {message}")
        self._tell(f"{name} ended and is started again")

    def _write_stack_file(self) -> None:
        content: dict[str, Any] = {
            "url": self.url,
            "database": self._postgres.url,
            "processes": [
                {"name": "postgres", "pid": self._postgres.pid, "url": self._postgres.url},
                *({"name": one.name, "pid": one.pid, "url": one.url} for one in self._processes.values()),
            ],
        }
        if self._emulator is not None:
            url = f"http://{self._emulator.host}"
            content["processes"].append({"name": "pubsub", "pid": self._emulator.pid, "url": url})
        write_stack_file(self.data_dir, content)


def _readiness(url: str) -> str | None:
    """What keeps the function at `url` from being ready, or None if nothing does."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()
    return None if answer.status == 200 else f"{answer.status} {body}"
