"""Posting many events to Tally as a careful client does: batched, gzipped, repeated under the same ids."""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

import aiohttp
import orjson

from tally.errors import TallyError

_BATCH = 500
_IN_FLIGHT = 4
_PATIENCE_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 10.0
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=60)
_TRY_AGAIN = frozenset({429, 503})


class SampleLoadError(TallyError):
    """Events could not be delivered; what was accepted before stays. The same load again is safe."""


@dataclass(frozen=True)
class LoadReport:
    """What a load did: `events` accepted in `requests` posts, of which `retries` repeated an earlier one."""

    events: int
    requests: int
    retries: int
    seconds: float


def server_time(url: str) -> datetime:
    """The server's clock by its Date header, in UTC. Raises SampleLoadError when it does not tell."""
    return asyncio.run(_server_time(url))


async def _server_time(url: str) -> datetime:
    try:
        async with (
            aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT) as session,
            session.get(f"{url}/health/live") as answer,
        ):
            date = answer.headers.get("Date")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SampleLoadError(f"{url} does not answer: {error}") from error
    moment = _http_date(date)
    if moment is None:
        raise SampleLoadError(f"{url} answers without a usable Date header (got {date!r}); give the end time instead")
    return moment


def post_events(url: str, token: str, events: Iterable[dict[str, Any]], progress: Callable[[int], None]) -> LoadReport:
    """Post events to `{url}/v1/events`, a few requests in flight; `progress` gets the number accepted so far.

    A request that is refused for now (429, 503, a broken connection) is repeated with the same ids, after
    the server's Retry-After where it gives one. Raises SampleLoadError for a rejected event, any other
    refusal, or no success of a request within a minute.
    """
    return asyncio.run(_Poster(url, token, iter(events), progress).run())


class _Poster:
    def __init__(self, url: str, token: str, events: Iterator[dict[str, Any]], progress: Callable[[int], None]) -> None:
        self._endpoint = f"{url.rstrip('/')}/v1/events"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        self._events = events
        self._progress = progress
        self._accepted = 0
        self._requests = 0
        self._retries = 0

    async def run(self) -> LoadReport:
        started = time.monotonic()
        try:
            async with (
                aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT) as session,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(_IN_FLIGHT):
                    group.create_task(self._deliver(session))
        except BaseExceptionGroup as failures:
            for failure in failures.exceptions:
                if isinstance(failure, SampleLoadError):
                    raise failure from None
            raise
        return LoadReport(self._accepted, self._requests, self._retries, time.monotonic() - started)

    async def _deliver(self, session: aiohttp.ClientSession) -> None:
        while batch := list(islice(self._events, _BATCH)):
            await self._post(session, gzip.compress(orjson.dumps(batch), compresslevel=1), len(batch))
            self._accepted += len(batch)
            self._progress(self._accepted)

    async def _post(self, session: aiohttp.ClientSession, body: bytes, events: int) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        backoff = 0.25
        while True:
            refusal, wait = await self._attempt(session, body, events)
            if refusal is None:
                return
            wait = min(backoff if wait is None else wait, _LONGEST_WAIT_SECONDS)
            if time.monotonic() + wait > deadline:
                raise SampleLoadError(f"{self._endpoint} did not recover within {_PATIENCE_SECONDS:.0f} s: {refusal}")
            self._retries += 1
            backoff *= 2
            await asyncio.sleep(wait)

    async def _attempt(
        self, session: aiohttp.ClientSession, body: bytes, events: int
    ) -> tuple[str | None, float | None]:
        """Post once: (None, None) when all was taken, else why not and the wait that the server asks for."""
        self._requests += 1
        try:
            async with session.post(self._endpoint, data=body, headers=self._headers) as answer:
                text = await answer.read()
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            return f"{type(error).__name__} {error}".strip(), None
        if answer.status == 202:
            self._check(text, events)
            return None, None
        if answer.status in _TRY_AGAIN:
            return f"status {answer.status}", _retry_after(answer.headers.get("Retry-After"))
        raise SampleLoadError(f"{self._endpoint} answered {answer.status}: {_summary(text)}")

    def _check(self, text: bytes, events: int) -> None:
        try:
            accepted = orjson.loads(text)["accepted"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SampleLoadError(f"{self._endpoint} answered 202 with an unknown body: {_summary(text)}") from error
        if accepted != events:
            raise SampleLoadError(f"{self._endpoint} took {accepted} of {events} events: {_summary(text)}")


def _summary(text: bytes) -> str:
    """The part of a refusal that tells a person why: the first rejected event, else the problem's detail."""
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text[:300].decode(errors="replace")
    if isinstance(answer, dict):
        for key in ("rejected", "errors"):
            if answer.get(key):
                faults = answer[key]
                return f"{len(faults)} rejected, the first: {orjson.dumps(faults[0]).decode()[:500]}"
        return str(answer.get("detail") or answer.get("title") or answer)[:500]
    return str(answer)[:300]


def _http_date(value: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, which holds seconds or a date; None when it does not say."""
    if value is None:
        return None
    if value.isdigit():
        return float(value)
    moment = _http_date(value)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None
