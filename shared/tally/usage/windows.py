"""Local time: days, weeks, months and shorter windows of any IANA zone, as spans of UTC. Pure.

A window shorter than a day starts at the floor of the wall clock with the offset in force, so that an hour which the
clocks repeat is two windows with two offsets. A day and longer is one window however its offset changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WindowName = Literal["none", "15m", "hour", "day", "week", "month"]
WINDOWS: tuple[WindowName, ...] = ("none", "15m", "hour", "day", "week", "month")
_STEP = {"15m": timedelta(minutes=15), "hour": timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """Half-open UTC times, and the start to show: the calendar's, with the offset in force."""

    lower: datetime
    upper: datetime
    start: datetime


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        ValueError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f'"{name[:100]}" is not an IANA time zone such as Europe/Moscow') from error


def start_of_day(day: date, where: tzinfo) -> datetime:
    """The first instant of a local day, in UTC."""
    return datetime.combine(day, time(), where).astimezone(UTC)


def first_day(day: date, window: WindowName) -> date:
    """The first local day of the day, ISO week or month that `day` falls into."""
    if window == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if window == "month" else day


def _next_first_day(first: date, window: WindowName) -> date:
    if window == "month":
        return (first + timedelta(days=32)).replace(day=1)
    return first + timedelta(days=7 if window == "week" else 1)


def windows(lower: datetime, upper: datetime, window: WindowName, where: tzinfo) -> Iterator[LocalWindow]:
    """The windows that cover [`lower`, `upper`) (UTC), in order; the first and the last are cut there."""
    if window in _STEP:
        yield from _short_windows(lower, upper, _STEP[window], where)
        return
    first = first_day(lower.astimezone(where).date(), window)
    begin = start_of_day(first, where)
    while begin < upper:
        following = _next_first_day(first, window)
        end = start_of_day(following, where)
        if end > max(begin, lower):  # a day that a zone left out, when it crossed the date line, is empty
            yield LocalWindow(max(begin, lower), min(end, upper), begin.astimezone(where))
        first, begin = following, end


def _short_windows(lower: datetime, upper: datetime, step: timedelta, where: tzinfo) -> Iterator[LocalWindow]:
    instant = lower
    while instant < upper:
        offset = _offset(instant, where)
        local = instant.astimezone(timezone(offset))
        start = local - (local - local.replace(hour=0, minute=0, second=0, microsecond=0)) % step
        end = min(start.astimezone(UTC) + step, upper)
        if _offset(end - timedelta(microseconds=1), where) != offset:
            end = _transition(instant, end, where)
        yield LocalWindow(instant, end, start)
        instant = end


def _transition(low: datetime, high: datetime, where: tzinfo) -> datetime:
    """The first instant in (low, high] at which another offset than that of `low` is in force."""
    offset = _offset(low, where)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if _offset(middle, where) == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _offset(instant: datetime, where: tzinfo) -> timedelta:
    return instant.astimezone(where).utcoffset() or timedelta()
