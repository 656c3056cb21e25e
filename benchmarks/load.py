"""The load driver: keep-alive connections, each sending its next ready-made request on the last one's answer.

A process of its own that does as little as it can (some 7 µs of CPU a request): it shares the machine with
the service that it measures. Reads a plan and the requests from stdin, writes a report to stdout:

    stdin   one line of JSON, a `Plan`; then for each request its length (4 bytes, big-endian) and its bytes
    stdout  one line of JSON, a `Report`
"""

import asyncio
import gc
import json
import statistics
import struct
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, cast

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = struct.Struct(">I")
_MAX_ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """Where to send and how: `connections` at once, no new request after `seconds`."""

    host: str
    port: int
    connections: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """What came back: `ok` counts 2xx answers, to which the times belong, `errors` whatever else happened."""

    ok: int
    errors: int
    statuses: dict[str, int]
    seconds: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    client_cpu_seconds: float


class _Run:
    """Shared by the connections of one run: the requests still to send and what was measured."""

    def __init__(self, plan: Plan, requests: list[bytes], finished: asyncio.Future[None]) -> None:
        self.requests = iter(requests)
        self.deadline = float("inf")
        self.latencies = array("d")
        self.statuses: Counter[str] = Counter()
        self.finished = finished
        self._plan = plan
        self._running = plan.connections

    def start(self) -> None:
        self.deadline = time.perf_counter() + self._plan.seconds

    def leave(self) -> None:
        self._running -= 1
        if not self._running and not self.finished.done():
            self.finished.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.WriteTransport
        self._received = b""
        self._sent_at = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are no subclasses

    def send_next(self) -> None:
        now = time.perf_counter()
        request = next(self._run.requests, None) if now < self._run.deadline else None
        if request is None:
            self._waiting = False
            self._run.leave()
            return
        self._sent_at = now
        self._waiting = True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        end = received.find(_HEAD_END)
        if end < 0 or len(received) < end + 4 + _body_length(received, end):
            self._received = received
            return
        self._received = b""
        status = received[9:12]
        if status[:1] == b"2":
            self._run.latencies.append(time.perf_counter() - self._sent_at)
        self._run.statuses[status.decode()] += 1
        self.send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._waiting:
            self._run.statuses["broken"] += 1
            self._run.leave()


def _body_length(received: bytes, head_end: int) -> int:
    if received[9:12] == b"204":
        return 0
    head = received[:head_end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError(f"this driver reads answers with a Content-Length only, got {head!r}")
    return int(head[at + 17 :].partition(b"\r\n")[0])


async def _drive(plan: Plan, requests: list[bytes]) -> Report:
    loop = asyncio.get_running_loop()
    run = _Run(plan, requests, loop.create_future())
    connections = [
        (await loop.create_connection(lambda: _Connection(run), plan.host, plan.port))[1]
        for _ in range(plan.connections)
    ]
    gc.collect()
    gc.disable()
    cpu_before = time.process_time()
    started = time.perf_counter()
    run.start()
    for connection in connections:
        connection.send_next()
    await asyncio.wait_for(run.finished, plan.seconds + _MAX_ANSWER_SECONDS)
    seconds = time.perf_counter() - started
    return _report(run, seconds, time.process_time() - cpu_before)


def _report(run: _Run, seconds: float, cpu_seconds: float) -> Report:
    latencies = sorted(run.latencies) or [float("nan")]
    ok = len(run.latencies)
    return Report(
        ok=ok,
        errors=sum(run.statuses.values()) - ok,
        statuses=dict(run.statuses),
        seconds=seconds,
        requests_per_second=ok / seconds,
        p50_ms=statistics.median_low(latencies) * 1000,
        p99_ms=latencies[-(-len(latencies) * 99 // 100) - 1] * 1000,
        max_ms=latencies[-1] * 1000,
        client_cpu_seconds=cpu_seconds,
    )


def drive(plan: Plan, requests: Iterable[bytes]) -> Report:
    """Run a plan in a process of its own; raises CalledProcessError when that process fails."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(plan)).encode() + b"\n")
        for request in requests:
            process.stdin.write(_LENGTH.pack(len(request)))
            process.stdin.write(request)
        output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Report(**json.loads(output))


def http_request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of one HTTP/1.1 request; `content_type="…"` becomes the header content-type."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _HEAD_END + body


def _read_requests(stream: IO[bytes]) -> Iterator[bytes]:
    while head := stream.read(_LENGTH.size):
        yield stream.read(_LENGTH.unpack(head)[0])


def main() -> None:
    plan = Plan(**json.loads(sys.stdin.buffer.readline()))
    requests = list(_read_requests(sys.stdin.buffer))
    report = uvloop.run(_drive(plan, requests))
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
