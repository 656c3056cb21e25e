"""The functions as the processes that they are in the cloud, under the Functions Framework, on loopback ports."""

import base64
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from tally import jsontext, tokens
from tally.database import Store
from tally.local import roles
from tally.local.ports import HOST, free_port
from tally.local.process import ServiceProcess
from tests.support.postgres import settings_of
from tests.support.waiting import eventually

ADMIN = "tly_admin_of_the_tests_0123456789abcdefghij"
# Of whoever runs the tests; must not reach the functions.
_FOREIGN = ("TALLY_", "PUBSUB_", "FUNCTION_", "PG", "GOOGLE_", "DEBUG", "HOST", "PORT", "WORKERS", "THREADS")


def read_json(text: str | bytes) -> Any:
    """Parsed JSON whose numbers are exact."""
    return json.loads(text, parse_float=Decimal)


def write_json(value: object) -> bytes:
    """JSON of a value that may hold `Decimal` and times; every digit is kept."""
    return jsontext.dump(value)


class Function:
    """One function as a process. `kill` ends it as a crash would, `start` starts it again on the same port."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        command = [sys.executable, "-m", "tally.cli", "serve", "--host", HOST, "--port", str(port)]
        own = {"PYTHONUNBUFFERED": "1", "XDG_RUNTIME_DIR": str(folder), "TALLY_FUNCTION": name, **environment}
        self._process = ServiceProcess(name, command, {**inherited, **own}, folder / f"{name}-{port}.log", self.url)
        self.client = httpx.Client(base_url=self.url, timeout=60)

    @property
    def log(self) -> str:
        """Everything that it and the framework have written so far."""
        return self._process.log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the framework's leader; the worker is its child."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the leader is there."""
        return self._process.running

    def start(self) -> None:
        """Starts the process, without waiting."""
        self._process.start()

    def wait_until_live(self) -> None:
        """Returns when it answers; what it answers does not matter, jobs have no `/health/live`."""

        def live() -> bool:
            assert self.running, self.log[-3000:]
            try:
                self.client.get("/health/live")
            except httpx.TransportError:
                return False
            return True

        eventually(live, f"/health/live of {self.name}")

    def kill(self) -> None:
        """SIGKILL to it and its workers."""
        self._process.kill()

    def stop(self) -> None:
        """Ends it for good, at once: what it answered for is stored."""
        self.client.close()
        self._process.kill()

    def get(self, path: str, token: str | None = ADMIN, **options: Any) -> httpx.Response:
        """The answer to a GET with a bearer token."""
        return self.request("GET", path, token, **options)

    def post(self, path: str, token: str | None = ADMIN, **options: Any) -> httpx.Response:
        """The answer to a POST with a bearer token."""
        return self.request("POST", path, token, **options)

    def request(self, method: str, path: str, token: str | None = ADMIN, **options: Any) -> httpx.Response:
        """The answer to any request; without `token`, none is sent."""
        headers = dict(options.pop("headers", None) or {})
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        return self.client.request(method, path, headers=headers, **options)


class Functions:
    """Starts functions, each once it is asked for, and stops them all at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Function] = []

    def start(self, name: str, database_url: str, **settings: object) -> Function:
        """A live process of function `name`; `settings` by field name, such as `record_url=…`.

        A setting whose name is in capitals is an environment variable as it is, such as PUBSUB_EMULATOR_HOST.
        """
        [function] = self.start_all([(name, database_url, settings)])
        return function

    def start_all(self, wanted: Sequence[tuple[str, str, Mapping[str, object]]]) -> list[Function]:
        """Several at once, which takes less time than one after the other: (name, database_url, settings)."""
        functions = []
        for name, database_url, settings in wanted:
            environment = {
                key if key.isupper() else f"TALLY_{key.upper()}": str(value) for key, value in settings.items()
            }
            own = {"TALLY_DATABASE_URL": roles.url_of(database_url, name)}
            if name == "migrate":
                own["TALLY_DATABASE_USERS"] = json.dumps(roles.USERS)
            functions.append(Function(name, self._folder, {**own, **environment}))
        self._started += functions
        for function in functions:
            function.start()
        for function in functions:
            function.wait_until_live()
        return functions

    def stop_all(self) -> None:
        """Stops everything that was started."""
        for function in self._started:
            function.stop()
        self._started.clear()


@dataclass(frozen=True)
class Stack:
    """ingest, record and query on one database, and a token with scope admin (`ADMIN`)."""

    database_url: str
    ingest: Function
    record: Function
    query: Function
    functions: Functions

    @cached_property
    def admin(self) -> Function:
        """admin on the same database, started when it is first asked for."""
        return self.functions.start("admin", self.database_url)

    def send(self, events: object, token: str = ADMIN, **headers: str) -> httpx.Response:
        """POST /v1/events as JSON."""
        content = {"Content-Type": "application/json", **headers}
        return self.ingest.post("/v1/events", token, content=write_json(events), headers=content)

    def push(self, message: "PushMessage", *, wrapped: bool = True) -> httpx.Response:
        """A push of Pub/Sub to record."""
        body, headers = message.wrapped() if wrapped else message.unwrapped()
        return self.record.post("/push", None, content=body, headers=headers)

    def usage(self, token: str = ADMIN, **parameters: Any) -> Any:
        """The parsed answer of GET /v1/usage; `from_` stands for `from`."""
        given = {name.rstrip("_"): value for name, value in parameters.items()}
        answer = self.query.get("/v1/usage", token, params=given)
        assert answer.status_code == 200, answer.text
        return read_json(answer.content)


@dataclass(frozen=True)
class PushMessage:
    """A message as Pub/Sub pushes it: JSON around base64, or bare with its metadata in headers."""

    id: str
    publish_time: datetime
    data: bytes
    attributes: Mapping[str, str]

    def wrapped(self) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the default push."""
        message = {
            "data": base64.b64encode(self.data).decode(),
            "attributes": dict(self.attributes),
            "messageId": self.id,
            "message_id": self.id,
            "publishTime": self.publish_time.isoformat(),
            "publish_time": self.publish_time.isoformat(),
        }
        body = json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()
        return body, {"Content-Type": "application/json"}

    def unwrapped(self) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a push without wrapper that writes metadata."""
        metadata = {
            "x-goog-pubsub-message-id": self.id,
            "x-goog-pubsub-publish-time": self.publish_time.isoformat(),
            "x-goog-pubsub-subscription-name": "projects/p/subscriptions/s",
        }
        return self.data, {**self.attributes, **metadata}


def register_admin(database_url: str, secret: str = ADMIN) -> None:
    """Makes `secret` a token with scope admin."""
    store = Store(settings_of(database_url), "tests", pool_size=1)
    try:
        tokens.register_admin(store, secret)
    finally:
        store.dispose()


def start_stack(functions: Functions, database_url: str, **settings: object) -> Stack:
    """ingest → record, and query, on a database; `settings` go to all of them."""
    register_admin(database_url)
    record = functions.start("record", database_url, **settings)
    own = {"record_url": record.url, **settings}
    ingest, query = functions.start_all([("ingest", database_url, own), ("query", database_url, settings)])
    return Stack(database_url, ingest, record, query, functions)


@contextmanager
def running_functions() -> Iterator[Functions]:
    """A `Functions` whose processes are stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="tally-test-", ignore_cleanup_errors=True) as folder:
        functions = Functions(Path(folder))
        try:
            yield functions
        finally:
            functions.stop_all()
