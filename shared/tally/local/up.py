"""What a person sees of `tally up`: steps, sample data with a progress bar, how to go on, a goodbye."""

import os
import shlex
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from rich.console import Console

from tally import rates
from tally.database import Store, statement
from tally.local import sample
from tally.local.admin_token import admin_token
from tally.local.generate import load_sample
from tally.local.sample_rates import sample_rates
from tally.local.stack import Stack
from tally.principal import Principal
from tally.settings import Settings
from tally.tokens import register_admin, register_reported

SAMPLE_EVENTS = 20_000
SAMPLE_DAYS = 35
SAMPLE_SEED = 1


_AGAIN_SECONDS = 0.1


class Interrupts:
    """Ctrl-C, SIGTERM and a closed terminal, all as KeyboardInterrupt; not at all after `end`.

    It is raised again until it has arrived: Python drops what is raised while it happens to collect garbage.
    """

    def __init__(self) -> None:
        self._over = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, self._interrupt)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._over:
            return
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        raise KeyboardInterrupt

    def end(self) -> None:
        """What is being stopped is not interrupted."""
        self._over = True
        signal.setitimer(signal.ITIMER_REAL, 0)


def up(settings: Settings, *, emulator: bool = False) -> None:
    """Run Tally until Ctrl-C or SIGTERM. Steps go to standard error, what to do next to standard output.

    Raises:
        TallyError: It cannot be started, or a part of it ends again and again.
    """
    out = Console(soft_wrap=True, highlight=False, markup=False)
    steps = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    interrupts = Interrupts()
    stack = Stack(settings, emulator=emulator, tell=steps.print)
    try:
        stack.start()
        token = _register_tokens(stack)
        if settings.sample:
            _load_sample(stack, token, steps)
        _welcome(out, stack, token)
        stack.watch()
    except KeyboardInterrupt:
        interrupts.end()
        steps.print("\nStopping")
    finally:
        interrupts.end()
        stack.stop()
    out.print(f"Tally has stopped. Its data stays in {stack.data_dir}; start it again to go on.")


def _register_tokens(stack: Stack) -> str:
    token = admin_token(stack.settings)
    store = Store(stack.settings, "tally up", pool_size=1)
    try:
        register_admin(store, token)
    finally:
        store.dispose()
    return token


def _load_sample(stack: Stack, token: str, console: Console) -> None:
    """Load sample data into an empty store, or the rest of it where that was interrupted.

    The end of the period is kept in a file meanwhile: the same end makes the same events, which count once.
    """
    unfinished = stack.data_dir / "sample-end"
    store = Store(stack.settings, "tally up", pool_size=1)
    try:
        with store.connect() as connection:
            empty = not connection.execute(statement("local", "has_events")).scalar_one()
        if not empty and not unfinished.exists():
            return
        names = [(one.token_hash, one.name, one.team_id) for one in sample.sample_tokens(SAMPLE_SEED)]
        register_reported(store, names)
        end = _kept_end(unfinished)
        _set_sample_rates(store, end)
    finally:
        store.dispose()
    load_sample(stack.url, token, console, events=SAMPLE_EVENTS, days=SAMPLE_DAYS, seed=SAMPLE_SEED, end=end)
    unfinished.unlink()


def _set_sample_rates(store: Store, end: datetime) -> None:
    """Exchange rates for the days of the sample, where there are none yet."""
    first_day = (end - timedelta(days=SAMPLE_DAYS)).date()
    with store.transaction() as connection:
        if not rates.page(connection, 1):
            actor = Principal("", "tally up", frozenset())
            rates.set_rates(connection, actor, sample_rates(SAMPLE_SEED, first_day, end.date()))


def _kept_end(path: Path) -> datetime:
    if path.exists():
        return datetime.fromisoformat(path.read_text().strip())
    end = datetime.now(UTC)
    path.write_text(f"{end.isoformat()}\n")
    return end


def _welcome(out: Console, stack: Stack, token: str) -> None:
    event = '{"route": "/hello", "method": "GET", "status": 200, "response_time_ms": 12.5}'
    posted = ["-X", "POST", "-H", "Content-Type: application/json", "-d", event]
    asked = f"{stack.url}/v1/usage?metrics=requests,total_tokens&group_by=model"
    commands = {
        "Send an event": [*posted, f"{stack.url}/v1/events"],
        "Ask who used what": [asked],
        "See the last 24 hours of an API gateway": [f"{stack.url}/api/usage/stats?hours=24"],
    }
    out.print(f"\nTally is up at {stack.url} (its interface is described at {stack.url}/docs)", style="bold")
    out.print(f"\nAdmin token: {token}")
    for title, arguments in commands.items():
        command = shlex.join(["curl", "-sS", "-H", f"Authorization: Bearer {token}", *arguments])
        out.print(f"\n{title}:")
        out.print(command)
    out.print(f"\nData and logs are in {stack.data_dir}")
    out.print(f"To stop: press Ctrl-C (or: kill {os.getpid()})")
