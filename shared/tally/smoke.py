"""`tally smoke`: whether an installation counts an event once, asked over the addresses that its clients use."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import uuid_utils

from tally import jsontext
from tally.errors import Malformed, TallyError

# Whose event it is: in nobody's figures.
ORGANIZATION = "tally-smoke"
ROUTE = "/tally-smoke"

_LOOK_SECONDS = 0.25
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30)
_FROM, _TO = timedelta(minutes=-1), timedelta(hours=1)
# What an instance that starts, or a balancer before it, answers for a while.
_PASSES = frozenset({429, 502, 503, 504})
_ADVICE = {
    401: "give a token that is registered, and neither expired nor revoked",
    403: "the token needs the scopes ingest and read",
    404: "is this the address of Tally?",
    422: f"the token has to be bound to the organization {ORGANIZATION}, or to none",
}


_Answer = tuple[Mapping[str, str], Any]  # headers, parsed body


class SmokeFailed(TallyError):
    """The installation does not do what it promises; the message says what to look at."""


class _NotNow(SmokeFailed):
    """May pass by itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is tried: where events go in, where figures come out, and a token with scopes ingest and read."""

    url: str
    query_url: str
    token: str


def smoke(target: Target, tell: Callable[[str], None], *, patience: float = 60, settle: float = 5) -> float:
    """Sends one event three times and sees that it is counted once. Returns the seconds that it took.

    Args:
        target: what is tried.
        tell: told each step that went well, with its time.
        patience: seconds for which a step is waited for.
        settle: seconds after which the last repetition would have been counted.

    Raises:
        SmokeFailed: a step does not go well.
    """

    async def run() -> float:
        async with aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT, trust_env=True) as session:
            return await _Run(session, target, tell, patience, settle).run()

    return asyncio.run(run())


class _Run:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        tell: Callable[[str], None],
        patience: float,
        settle: float,
    ) -> None:
        self._session = session
        self._urls = {"ingest": target.url.rstrip("/"), "query": target.query_url.rstrip("/")}
        self._headers = {"Authorization": f"Bearer {target.token}"}
        self._tell = tell
        self._patience = patience
        self._settle = settle
        self._started = time.monotonic()
        self._id = str(uuid_utils.uuid7())

    async def run(self) -> float:
        for function, url in self._urls.items():
            await self._ask(function, "GET", "/health/ready")
            self._done(f"{function} at {url} is ready")
        moment = await self._send()
        await self._send()
        self._done(f"event {self._id} was accepted, and so was its repetition")
        await self._until_counted(moment)
        self._done("it is counted once")
        await self._send()
        await self._still_counted_once(moment)
        self._done(f"sent once more, it is still counted once after {self._settle:.0f} s")
        return self._seconds

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _done(self, step: str) -> None:
        self._tell(f"{self._seconds:6.1f} s  {step}")

    async def _send(self) -> datetime:
        """Sends the event; returns the time by the server's clock, since the one here may be wrong."""
        event = {"id": self._id, "organization_id": ORGANIZATION, "route": ROUTE, "labels": {"smoke": self._id}}
        headers, _ = await self._ask("ingest", "POST", "/v1/events", 202, json=event)
        return parsedate_to_datetime(headers["Date"])

    async def _until_counted(self, moment: datetime) -> None:
        deadline = time.monotonic() + self._patience
        while await self._count(moment) == 0:
            if time.monotonic() > deadline:
                raise SmokeFailed(
                    f"the event was accepted, but is not counted after {self._patience:.0f} s: record does not get it, "
                    "or does not store it. Look at `make logs FUNCTION=record`, and at the push of the subscription "
                    "usage-events-record and its dead letters"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _still_counted_once(self, moment: datetime) -> None:
        settled = time.monotonic() + self._settle
        while time.monotonic() < settled:
            await asyncio.sleep(_LOOK_SECONDS)
            if await self._count(moment) == 0:
                raise SmokeFailed("the event was counted and is not any more; look at `make logs FUNCTION=query`")

    async def _count(self, moment: datetime) -> int:
        """How many times the event is counted: not at all, or once."""
        question = {
            "metrics": "requests",
            "organization_id": ORGANIZATION,
            "route": ROUTE,
            "label:smoke": self._id,
            "from": (moment + _FROM).isoformat(),
            "to": (moment + _TO).isoformat(),
        }
        _, answer = await self._ask("query", "GET", "/v1/usage", params=question)
        counted: int = sum(row["requests"] for row in answer["rows"])
        if counted > 1:
            raise SmokeFailed(
                f"one event, sent again under the same id, is counted {counted} times: every figure may be too high. "
                "Look at `make logs FUNCTION=record`, and go back to the version before (make rollback)"
            )
        return counted

    async def _ask(self, function: str, method: str, path: str, status: int = 200, **request: Any) -> _Answer:
        """The answer with `status`; what passes by itself is waited for."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return await self._attempt(function, method, f"{self._urls[function]}{path}", status, **request)
            except _NotNow:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_LOOK_SECONDS)

    async def _attempt(self, function: str, method: str, url: str, status: int, **request: Any) -> _Answer:
        logs = f"look at `make logs FUNCTION={function}`"
        try:
            async with self._session.request(method, url, headers=self._headers, **request) as answer:
                body = await answer.read()
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise SmokeFailed(f"{url} is no address: expected one such as https://tally.example.com") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _NotNow(f"{url} does not answer ({type(error).__name__} {error}); {logs}") from error
        if answer.status in _PASSES:
            raise _NotNow(f"{url} answered {answer.status}: {_detail(body)}; {logs}")
        if answer.status != status:
            raise SmokeFailed(f"{url} answered {answer.status}: {_detail(body)}; {_ADVICE.get(answer.status, logs)}")
        try:
            return answer.headers, jsontext.parse(body)
        except Malformed as error:
            raise SmokeFailed(f"{url} answered {status}, but not as Tally does; {_ADVICE[404]}") from error


def _detail(body: bytes) -> str:
    """What a problem says, or else the beginning of what was answered."""
    try:
        return str(jsontext.parse(body)["detail"]).rstrip(".")
    except (Malformed, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip() or "nothing"
