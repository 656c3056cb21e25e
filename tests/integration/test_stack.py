"""`tally up`: one command runs everything, says how to go on, and leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tally.local.emulator import EmulatorMissing, find_emulator
from tally.local.ports import free_port
from tally.local.up import SAMPLE_EVENTS

SECONDS = 60.0
EVENT = {"route": "/tests", "status": 200}


class Run:
    """A `tally up` in a process of its own."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.data = folder / "data"
        self._out, self._err = folder / "out", folder / "err"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TALLY_", "PUBSUB_"))}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tally.cli", "up", "--data-dir", self.data, *options],
                env=kept | environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def stack(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        return content

    @property
    def pids(self) -> dict[str, int]:
        return {process["name"]: process["pid"] for process in self.stack["processes"]}

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def wait_until_up(self) -> None:
        eventually(lambda: "To stop" in self.out or self.process.poll() is not None)
        assert self.process.poll() is None, self.err

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(SECONDS)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, self.stack["url"] + path, headers=headers, timeout=30, **options)

    def post(self, event: dict[str, Any]) -> bool:
        """Whether the event was taken; while a function starts again it is not."""
        try:
            return self.ask("POST", "/v1/events", json=event).status_code == 202
        except httpx.TransportError:
            return False

    def stored(self) -> int:
        with psycopg.connect(self.stack["database"]) as connection:
            row = connection.execute("SELECT count(*) FROM usage_events").fetchone()
        assert row is not None
        count: int = row[0]
        return count

    def sample_rates(self) -> list[tuple[str, str]]:
        """The pairs that have exchange rates from the first event on."""
        query = """
            SELECT base, quote FROM exchange_rates WHERE source = 'sample data' GROUP BY base, quote
            HAVING min(date) <= (SELECT min(time AT TIME ZONE 'UTC')::date FROM usage_events) ORDER BY base
        """
        with psycopg.connect(self.stack["database"]) as connection:
            return connection.execute(query).fetchall()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def alive(pids: dict[str, int]) -> list[str]:
    return [name for name, pid in pids.items() if psutil.pid_exists(pid)]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tally-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    run = Run(folder, "--port", str(free_port()), "--no-sample")
    try:
        run.wait_until_up()
        yield run
    finally:
        run.end()


@pytest.fixture
def own_folder() -> Iterator[Path]:
    # Not below pytest's own folder, which another run of pytest closes to the account that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="tally-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_the_printed_commands_work_as_printed(run: Run) -> None:
    commands = [line for line in run.out.splitlines() if line.startswith("curl ")]
    assert len(commands) == 3
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    for command in commands:
        done = subprocess.run(f"{command} --fail --noproxy '*'", shell=True, capture_output=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert json.loads(done.stdout)


def test_the_address_and_the_admin_token_are_printed(run: Run) -> None:
    assert run.stack["url"] in run.out
    assert run.token in run.out


def test_the_admin_token_is_for_its_owner_alone(run: Run) -> None:
    assert (run.data / "admin-token").stat().st_mode & 0o077 == 0


def test_a_first_start_without_samples_has_no_events(folder: Path, run: Run) -> None:
    assert run.ask("GET", "/v1/usage?metrics=requests").status_code == 200
    assert not (folder / "data" / "sample-end").exists()


def test_stack_json_names_every_process(run: Run) -> None:
    assert sorted(run.pids) == ["admin", "gateway", "ingest", "postgres", "query", "record", "rollup"]
    assert alive(run.pids) == list(run.pids)


def test_what_the_gateway_does_not_know_is_a_problem_404(run: Run) -> None:
    for path in ("/push", "/nothing"):
        answer = run.ask("POST", path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_other_commands_work_on_the_stack_of_the_same_folder(run: Run) -> None:
    def tally(*arguments: str) -> str:
        command = [sys.executable, "-m", "tally.cli", *arguments]
        environment = os.environ | {"TALLY_DATA_DIR": str(run.data)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    secret = tally("tokens", "create", "--name", "reader", "--scope", "read:all").strip()
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(f"{run.stack['url']}/v1/usage?metrics=requests", headers=headers).status_code == 200
    assert httpx.post(f"{run.stack['url']}/v1/events", headers=headers, json=EVENT).status_code == 403
    stored = run.stored()
    tally("generate", "--events", "50", "--days", "2", "--seed", "7")
    assert run.stored() == stored + 50
    assert "events folded" in tally("rollup")
    assert "at migration" in tally("migrate")


@pytest.mark.parametrize("name", ["record", "ingest", "query", "admin", "gateway", "postgres", "rollup"])
def test_a_killed_process_is_started_again_and_no_event_is_lost(run: Run, name: str) -> None:
    before, stored = run.pids[name], run.stored()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: run.pids[name] != before)
    event = EVENT | {"id": f"after-{name}", "source": "tests"}
    eventually(lambda: run.post(event))
    assert run.stored() == stored + 1


def test_a_second_start_on_the_same_folder_says_so(run: Run, folder: Path) -> None:
    beside = folder / "second"
    beside.mkdir()
    (beside / "data").symlink_to(run.data)
    second = Run(beside, "--port", str(free_port()))
    assert second.process.wait(SECONDS) == 1
    assert run.stack["url"] in second.err
    assert "Traceback" not in second.err


def test_a_taken_port_is_named_with_a_way_out(run: Run, own_folder: Path) -> None:
    port = run.stack["url"].rpartition(":")[2]
    second = Run(own_folder, "--port", port)
    assert second.process.wait(SECONDS) == 1
    assert f"port {port} is taken" in second.err
    assert "--port" in second.err
    assert not (second.data / "postgres").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_leaves_nothing_running_and_keeps_the_data(own_folder: Path, how: signal.Signals) -> None:
    port = str(free_port())
    first = Run(own_folder, "--port", port, "--no-sample")
    try:
        first.wait_until_up()
        pids, token = first.pids, first.token
        assert first.post(EVENT | {"id": "kept", "source": "tests"})
    finally:
        assert first.end(how) == 0
    assert "stopped" in first.out
    assert alive(pids) == []
    assert not (first.data / "stack.json").exists()
    second = Run(own_folder, "--port", port, "--sample")
    try:
        second.wait_until_up()
        assert second.stored() == 1  # a store that has events gets no samples
        assert second.token == token
    finally:
        second.end()


def test_what_a_killed_stack_left_running_is_ended_by_the_next(own_folder: Path) -> None:
    port = str(free_port())
    first = Run(own_folder, "--port", port, "--no-sample")
    first.wait_until_up()
    left = first.pids
    assert first.post(EVENT | {"id": "kept", "source": "tests"})
    first.end(signal.SIGKILL)
    assert alive(left) == list(left)
    second = Run(own_folder, "--port", port, "--no-sample")
    try:
        second.wait_until_up()
        assert alive(left) == []
        assert second.stored() == 1
    finally:
        second.end()


def test_an_end_during_the_start_leaves_nothing_running(own_folder: Path) -> None:
    run = Run(own_folder, "--port", str(free_port()), "--no-sample")
    eventually((run.data / "logs" / "ingest.log").exists)
    assert run.end(signal.SIGINT) == 0
    marked = [process for process in psutil.process_iter() if str(run.data) in " ".join(environment(process))]
    assert marked == []


def environment(process: psutil.Process) -> list[str]:
    try:
        return list(process.environ().values())
    except psutil.Error:
        return []


def test_a_process_that_dies_again_and_again_stops_the_stack_with_its_log(own_folder: Path) -> None:
    run = Run(own_folder, "--port", str(free_port()), "--no-sample")
    run.wait_until_up()
    pids = run.pids

    def kill_and_see_again(killed: int) -> None:
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: run.pids["rollup"] != killed)

    for _ in range(4):
        kill_and_see_again(run.pids["rollup"])
    os.kill(run.pids["rollup"], signal.SIGKILL)
    assert run.process.wait(SECONDS) == 1
    assert str(run.data / "logs" / "rollup.log") in run.err
    assert "Traceback" not in run.err
    assert alive(pids) == []


def test_samples_are_loaded_once_even_when_that_was_interrupted(own_folder: Path) -> None:
    port = str(free_port())
    first = Run(own_folder, "--port", port)
    eventually(lambda: (first.data / "sample-end").exists() and first.process.poll() is None)
    assert first.end(signal.SIGINT) == 0
    second = Run(own_folder, "--port", port)
    try:
        second.wait_until_up()
        assert second.stored() == SAMPLE_EVENTS
        assert second.sample_rates() == [("EUR", "USD"), ("USD", "RUB")]
    finally:
        second.end()


def test_events_go_through_the_pubsub_emulator_where_there_is_one(own_folder: Path) -> None:
    try:
        find_emulator()
    except EmulatorMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    run = Run(own_folder, "--port", str(free_port()), "--no-sample", "--emulator")
    try:
        run.wait_until_up()
        assert "pubsub" in run.pids
        assert run.post(EVENT | {"id": "one", "source": "tests"})
        eventually(lambda: run.stored() == 1)
        emulator = run.pids["pubsub"]
        os.kill(emulator, signal.SIGKILL)
        eventually(lambda: run.pids["pubsub"] != emulator)
        eventually(lambda: run.post(EVENT | {"id": "two", "source": "tests"}))
        eventually(lambda: run.stored() == 2)
    finally:
        assert run.end() == 0


def test_options_win_over_the_environment(own_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = Run(own_folder, "--port", port, TALLY_PORT=str(free_port()))
        assert run.process.wait(SECONDS) == 1
        assert f"port {port} is taken" in run.err


def test_an_unknown_setting_stops_the_start(own_folder: Path) -> None:
    run = Run(own_folder, TALLY_PROT="8080")
    assert run.process.wait(SECONDS) == 1
    assert "TALLY_PROT" in run.err
    assert "TALLY_PORT" in run.err
    assert not run.data.exists()
