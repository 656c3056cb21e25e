"""Billing periods: months that begin on an organization's own day, in its own time zone. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tally.usage.windows import start_of_day


@dataclass(frozen=True, slots=True)
class Period:
    """Half-open UTC times; both are midnights of `zone`."""

    start: datetime
    end: datetime
    zone: ZoneInfo


def period_at(instant: datetime, start_day: int, where: ZoneInfo) -> Period:
    """The period that `instant` falls into; periods begin on day `start_day` (1 to 28) of every month of `where`."""
    today = instant.astimezone(where).date()
    first = today.replace(day=start_day)
    if first > today:
        first = (today.replace(day=1) - timedelta(days=1)).replace(day=start_day)
    following = (first.replace(day=1) + timedelta(days=32)).replace(day=start_day)
    return Period(start_of_day(first, where), start_of_day(following, where), where)
