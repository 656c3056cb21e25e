"""Starting and stopping the services under load, each as its own process, as a user would start it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.databases import Database

ROOT = Path(__file__).resolve().parents[1]
_HOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Service:
    host: str
    port: int
    log: Path

    def last_words(self) -> str:
        """The end of its log, for whoever has to explain a failure."""
        return self.log.read_text(errors="replace")[-3000:]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def function(name: str, log_dir: Path, settings: Mapping[str, str]) -> Iterator[Service]:
    """A function of Tally as the image starts it, one worker process."""
    port = _free_port()
    command = [sys.executable, "-m", "tally.cli", "serve", name, "--host", _HOST, "--port", str(port)]
    with _running(command, dict(settings), port, "/health/ready", log_dir / f"{name}.log") as service:
        yield service


@contextmanager
def naive(database: Database, log_dir: Path) -> Iterator[Service]:
    """The naive service under uvicorn, one process."""
    port = _free_port()
    application = ["benchmarks.naive.app:create_app", "--factory", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", *application, "--host", _HOST, "--port", str(port)]
    environment = {"NAIVE_DATABASE_URL": database.sqlalchemy_url}
    with _running(command, environment, port, "/health", log_dir / "naive.log") as service:
        yield service


@contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], port: int, ready_path: str, log: Path
) -> Iterator[Service]:
    # Settings of whoever runs the benchmark must not reach the services.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # the framework's master has workers: they are ended as one group
        )
    try:
        service = Service(_HOST, port, log)
        _wait_until_ready(process, service, ready_path)
        yield service
    finally:
        _end(process)


def _wait_until_ready(process: subprocess.Popen[bytes], service: Service, path: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if _answers(service.port, path):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{service.log.stem} did not become ready:\n{service.last_words()}")


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
