"""How endpoints ask about usage: one snapshot a question, a time limit, and an end when nobody waits for the answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from tally.clock import Clock
from tally.database import QuestionTooLarge, Store, Work
from tally.http.auth import Authenticator
from tally.principal import Principal
from tally.schema import SchemaGuard
from tally.usage.inquiry import Inquiry

Answer = TypeVar("Answer")
# For a statement that was told to stop, until its thread is given up on.
_STOP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Asking:
    """What the endpoints of one application share: the database, its clock and the time that a question may take."""

    store: Store
    guard: SchemaGuard
    clock: Clock
    authenticator: Authenticator
    seconds: float

    def serve(self, app: FastAPI) -> None:
        """Makes this what the endpoints of `app` ask."""
        app.state.asking = self


@dataclass(frozen=True, slots=True)
class Ask:
    """Asks for one request: `await ask(question)`, where `question` makes the answer from an `Inquiry`."""

    asking: Asking
    request: Request
    principal: Principal

    async def __call__(self, question: Callable[[Inquiry], Answer]) -> Answer:
        """The answer of `question`, which runs in a thread and must not take a second connection.

        Raises:
            QuestionTooLarge: it took longer than a question may; its statement was stopped.
            ClientDisconnect: nobody waits any more; its statement was stopped.
        """
        work = Work(self.asking.store)
        answer = asyncio.ensure_future(run_in_threadpool(self._answer, work, question))
        gone = asyncio.ensure_future(_gone(self.request))
        try:
            await asyncio.wait({answer, gone}, timeout=self.asking.seconds, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                await _stop(work, answer)
            if answer.done() and not answer.exception():
                return answer.result()
            if gone.done():
                raise ClientDisconnect
            if not work.stopped:
                return answer.result()
            raise QuestionTooLarge.advice()
        except asyncio.CancelledError:
            await asyncio.shield(_stop(work, answer))
            raise
        finally:
            gone.cancel()

    def _answer(self, work: Work, question: Callable[[Inquiry], Answer]) -> Answer:
        self.asking.guard.check()
        now = self.asking.clock.now()
        with work.snapshot() as connection:
            return question(Inquiry(connection, self.principal, now))


async def asker(request: Request) -> Ask:
    """The dependency of endpoints: the caller may read."""
    asking: Asking = request.app.state.asking
    return Ask(asking, request, await asking.authenticator.authenticate(request, "read"))


Asker = Annotated[Ask, Depends(asker)]


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stop(work: Work, answer: "asyncio.Future[Answer]") -> None:
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is nobody's any more
    await asyncio.to_thread(work.stop)
    await asyncio.wait({answer}, timeout=_STOP_SECONDS)
