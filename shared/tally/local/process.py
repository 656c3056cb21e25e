"""Child processes that serve: each in a session of its own, logged to a file, restarted, ended as a group.

gunicorn's workers outlive a killed leader for a while and keep its port; that is why groups are ended, not
only their leaders.
"""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tally.local import LocalError

# In the environment of every child: which data folder it works for. How leftovers of a killed stack are told
# from everything else on the machine. Not TALLY_…, which are settings.
MARK = "_TALLY_STACK"

_LARGEST_LOG = 10_000_000
_STOP_SECONDS = 10.0
_MOST_DEATHS = 5
_DEATHS_WITHIN_SECONDS = 60.0


class ProcessFailed(LocalError):
    """A process ends again and again, or does not become ready; the message has the last lines of its log."""


class Deaths:
    """Counts how often something died lately."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque(maxlen=_MOST_DEATHS)

    def too_many(self) -> bool:
        """Note a death; whether it is the 5th within a minute."""
        now = time.monotonic()
        self._moments.append(now)
        return len(self._moments) == _MOST_DEATHS and now - self._moments[0] <= _DEATHS_WITHIN_SECONDS


class ServiceProcess:
    """One process of the stack and its descendants.

    Args:
        name: What it is called in stack.json and in the name of its log.
        command: Program and arguments.
        environment: All of its environment.
        log: File that its output is appended to.
        url: Where it answers, if it does.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        url: str | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The leader's process id."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the leader is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; what is left of an earlier start is ended first."""
        self.kill()
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the stack, which stops all in order
            )

    def stop(self) -> None:
        """Ask it to end, and end it if it does not within 10 seconds."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it and everything it started, at once."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS: the group has only zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def last_lines(self, number: int = 15) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 64_000))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-number:])

    def failed(self, what: str) -> ProcessFailed:
        """The error that says that `what` happened, with the end of the log."""
        return ProcessFailed(f"{self.name} {what}; the end of {self.log}:\n{self.last_lines()}")


def end_leftovers(data_dir: Path) -> list[str]:
    """End the processes that a killed stack left running on `data_dir`. Returns their command lines.

    Only to be called by the holder of the folder's lock: whatever carries its mark then is left over.
    """
    leftovers = list(_marked(data_dir))
    names = []
    for process in leftovers:
        with suppress(psutil.Error):
            names.append(" ".join(process.cmdline()))
            process.kill()
    psutil.wait_procs(leftovers, _STOP_SECONDS)
    return names


def _marked(data_dir: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone, or somebody else's
            if process.pid != os.getpid() and process.environ().get(MARK) == str(data_dir):
                yield process
