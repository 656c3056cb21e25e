"""How fast the load driver is by itself: against a server that does nothing but answer 204."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.load import Plan, drive, http_request
from benchmarks.takers import CONNECTIONS

_REQUESTS = 200_000
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Ceiling:
    """Requests a second at most, and what one costs the driver."""

    requests_per_second: float
    cpu_microseconds: float


def measure() -> Ceiling:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ceiling"],
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        request = http_request("POST", "/push", b"x" * 600, content_type="application/json")
        report = drive(Plan("127.0.0.1", port, CONNECTIONS, 60.0), [request] * _REQUESTS)
        server.terminate()
    return Ceiling(report.requests_per_second, report.client_cpu_seconds / report.ok * 1e6)


class _Answerer(asyncio.Protocol):
    """Counts bytes: all requests are of the same length, and each connection has one under way."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head = data.index(b"\r\n\r\n") + 4
            length = data.index(b"content-length: ") + 16
            self._missing = head + int(data[length : data.index(b"\r\n", length)])
        self._missing -= len(data)
        if not self._missing:
            self._transport.write(_ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answerer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
