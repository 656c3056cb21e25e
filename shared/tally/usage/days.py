"""Ranges of local days, the last one included, as compatible endpoints ask for them. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from tally.usage.coverage import Span
from tally.usage.windows import LocalWindow, start_of_day, windows

# Ten years: as far as `days` goes back, and as many days as one answer has rows for.
MAX_DAYS = 3660
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LocalDays:
    """The days from `first` to `last` in `zone`, both included; None is unbounded."""

    zone: ZoneInfo
    first: date | None = None
    last: date | None = None

    @property
    def span(self) -> Span:
        """From the first instant of the first day to that of the day after the last."""
        lower = None if self.first is None else start_of_day(self.first, self.zone)
        upper = None if self.last is None else end_of_day(self.last, self.zone)
        return Span(lower, upper)


def last_days(count: int, now: datetime, zone: ZoneInfo) -> LocalDays:
    """Today and the `count` - 1 days before it."""
    today = now.astimezone(zone).date()
    return LocalDays(zone, today - (count - 1) * _DAY, today)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant after a local day, in UTC."""
    return start_of_day(day + _DAY, zone)


def each_day(first: date, last: date, zone: ZoneInfo) -> list[LocalWindow]:
    """The local days from `first` to `last`, both included, without those that the zone left out."""
    return list(windows(start_of_day(first, zone), end_of_day(last, zone), "day", zone))
