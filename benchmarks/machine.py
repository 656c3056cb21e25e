"""The machine and the versions that a table of results belongs to."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

_PACKAGES = (
    "functions-framework",
    "uvicorn",
    "uvloop",
    "starlette",
    "pydantic",
    "pg8000",
    "fastapi",
    "sqlalchemy",
    "psycopg",
    "chdb-core",
)
_SYNCS = 200


def describe(postgres_version: str, folder: Path) -> list[str]:
    """Lines of text: processor, memory, system, versions, and what a durable write to `folder` costs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}"
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GB; {system}",
        f"Python {platform.python_version()}, PostgreSQL {postgres_version}, {packages}",
        f"one fsync of 8 kB: {_sync_microseconds(folder):.0f} µs",
    ]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.machine()


def _sync_microseconds(folder: Path) -> float:
    path = folder / "sync-probe"
    with path.open("wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(_SYNCS):
            file.seek(0)
            file.write(bytes(8192))
            os.fsync(file.fileno())
        seconds = time.perf_counter() - started
    path.unlink()
    return seconds / _SYNCS * 1e6
