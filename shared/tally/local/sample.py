"""Sample usage events of four made-up systems, the same for the same arguments.

A content platform, a bot platform, a text and image generator and an API gateway are called by day more
than by night, on workdays otherwise than at weekends, a little more from week to week, by a few heavy and
many light users.
"""

import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from tally.local.sample_calls import Fields, bot_call, content_call, gateway_call, generator_call
from tally.local.sample_cast import Cast, SampleToken, Weighted, cast, sample_tokens
from tally.local.sample_load import LoadReport, SampleLoadError, post_events, server_time

__all__ = ["SOURCES", "LoadReport", "SampleLoadError", "SampleToken", "generate", "load", "sample_tokens"]

_HOUR_MS = 3_600_000
_OFFICE = (1, 1, 1, 1, 1, 2, 4, 9, 17, 24, 26, 25, 21, 23, 26, 26, 24, 20, 13, 9, 7, 5, 3, 2)
_EVENING = (6, 3, 2, 1, 1, 2, 4, 8, 11, 13, 14, 15, 17, 16, 15, 15, 17, 20, 24, 28, 30, 27, 20, 12)
_MACHINES = (10, 10, 11, 10, 10, 11, 12, 15, 21, 26, 27, 26, 23, 25, 27, 27, 25, 21, 17, 15, 14, 13, 12, 11)


@dataclass(frozen=True)
class _System:
    """How a system's calls spread over the week: `hours` are the weights of its local hours of the day."""

    share: float
    utc_offset_hours: int
    hours: tuple[int, ...]
    weekend: float
    call: Callable[[random.Random, Cast], Fields]

    def weight(self, hour_start: datetime) -> float:
        local = hour_start + timedelta(hours=self.utc_offset_hours)
        by_day = self.weekend if local.weekday() >= 5 else 1.0
        return self.share * by_day * self.hours[local.hour] / sum(self.hours)


_SYSTEMS = {
    "gateway": _System(0.45, 8, _MACHINES, 0.55, gateway_call),
    "bot-platform": _System(0.25, 5, _EVENING, 1.25, bot_call),
    "content-platform": _System(0.18, 3, _OFFICE, 0.40, content_call),
    "generator": _System(0.12, 3, _OFFICE, 0.60, generator_call),
}
SOURCES = tuple(_SYSTEMS)


def generate(
    events: int, days: int, seed: int, end: datetime, sources: Collection[str] = SOURCES
) -> Iterator[dict[str, Any]]:
    """Yield `events` usage events, oldest first, over the `days` times 24 hours up to `end`.

    Each has an `id`, a UUIDv7 of its own time, so that neighbours in time are neighbours in an index. The
    events depend on nothing but the arguments; `sources` limits them to some of the four systems.

    Raises ValueError for a negative number of events, less than a day, an `end` without zone, no source or an
    unknown one.
    """
    if events < 0 or days < 1:
        raise ValueError(f"expected events >= 0 and days >= 1, got {events} and {days}")
    if end.tzinfo is None:
        raise ValueError("expected an end with a time zone")
    if not sources or not set(sources) <= set(SOURCES):
        raise ValueError(f"expected some of {list(SOURCES)} as sources, got {sorted(sources)}")
    return _generate(events, days, seed, end, [name for name in SOURCES if name in sources])


def _generate(events: int, days: int, seed: int, end: datetime, sources: list[str]) -> Iterator[dict[str, Any]]:
    end_ms = int(end.timestamp() * 1000)
    rng = random.Random(f"tally sample events {events} {days} {seed} {end_ms} {sources}")
    players = cast(seed)
    systems = [(name, _SYSTEMS[name]) for name in sources]
    for hour, low_ms, high_ms, count in _hours(rng, events, days, end_ms, systems):
        choice = Weighted(systems, [system.weight(hour) for _, system in systems])
        prefix = f"{hour:%Y-%m-%dT%H}"
        hour_ms = int(hour.timestamp()) * 1000
        for moment in sorted(low_ms + int(rng.random() * (high_ms - low_ms)) for _ in range(count)):
            source, system = choice.pick(rng)
            seconds, milliseconds = divmod(moment - hour_ms, 1000)
            yield {
                "id": _uuid7(rng, moment),
                "source": source,
                "time": f"{prefix}:{seconds // 60:02d}:{seconds % 60:02d}.{milliseconds:03d}Z",
                **system.call(rng, players),
            }


def _hours(
    rng: random.Random, events: int, days: int, end_ms: int, systems: list[tuple[str, _System]]
) -> Iterator[tuple[datetime, int, int, int]]:
    """Each UTC hour of the period, its part that lies inside (milliseconds) and its number of events."""
    start_ms = end_ms - days * 24 * _HOUR_MS
    hours = []
    weights = []
    for hour_ms in range(start_ms - start_ms % _HOUR_MS, end_ms, _HOUR_MS):
        hour = datetime.fromtimestamp(hour_ms // 1000, UTC)
        low_ms, high_ms = max(hour_ms, start_ms), min(hour_ms + _HOUR_MS, end_ms)
        growth = 0.75 + 0.5 * (hour_ms - start_ms) / (end_ms - start_ms)
        hours.append((hour, low_ms, high_ms))
        weights.append(
            sum(system.weight(hour) for _, system in systems)
            * growth
            * rng.lognormvariate(0, 0.12)
            * ((high_ms - low_ms) / _HOUR_MS)
        )
    bounds = list(accumulate(weights))
    given = 0
    # Rounding the running total, not each hour, makes the numbers add up to `events` exactly.
    for (hour, low_ms, high_ms), bound in zip(hours, bounds, strict=True):
        count = round(events * bound / bounds[-1]) - given
        given += count
        yield hour, low_ms, high_ms, count


def _uuid7(rng: random.Random, time_ms: int) -> str:
    """RFC 9562, 5.7: 48 bits of milliseconds, the rest random but for version and variant."""
    value = time_ms << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62)
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def load(
    url: str,
    token: str,
    *,
    events: int,
    days: int,
    seed: int,
    progress: Callable[[int], None],
    end: datetime | None = None,
) -> LoadReport:
    """Send sample events through `POST {url}/v1/events`, as any client would.

    The events end at `end`, or else at the server's own time, since the two clocks need not agree.
    `progress` is called with the number of events accepted so far. Repeating a load with the same `end`
    repeats the ids and so counts once.

    Raises SampleLoadError when an event is rejected, the server refuses or does not recover in time.
    """
    until = end or server_time(url)
    return post_events(url, token, generate(events, days, seed, until), progress)
