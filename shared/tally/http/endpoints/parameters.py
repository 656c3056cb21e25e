"""What query parameters of several endpoints have in common. FastAPI checks and documents them."""

import re
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from tally.errors import FieldError, Malformed
from tally.usage.coverage import Span
from tally.usage.days import MAX_DAYS, LocalDays, end_of_day, last_days
from tally.usage.question import DEFAULT_DAYS, parse_instant, parse_zone

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,9}")
MOST_WHOLE = 10**9 - 1


def _written_whole(value: object) -> object:
    """As it is, if it is written as a whole number; pydantic alone would also take " 7 ", "7.0" and "1_000"."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise PydanticCustomError("whole", "expected a whole number of at most 9 digits")
    return value


def _written_date(value: object) -> object:
    """The date that is written; pydantic alone would also take epoch seconds and midnights."""
    if not isinstance(value, str):
        return value
    try:
        day = date.fromisoformat(value) if _DATE.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None:
        raise PydanticCustomError("day", "expected a date such as 2026-05-01")
    if not 1900 <= day.year <= 2200:
        raise PydanticCustomError("day", "expected a year from 1900 to 2200")
    return day


Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
# Outermost of a type's annotations: limits inside it are part of the description.
WRITTEN_WHOLE = BeforeValidator(_written_whole)
Whole = Annotated[int, WRITTEN_WHOLE]
Day = Annotated[date, BeforeValidator(_written_date)]
Currency = Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{3}$")]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS), WRITTEN_WHOLE]


class Parameters(BaseModel):
    """The parameters of an endpoint. An unknown one is refused."""

    model_config = ConfigDict(extra="forbid")


class ZonedParameters(Parameters):
    """Parameters of an endpoint whose days are those of a time zone."""

    timezone: str = Field("UTC", description="IANA time zone that decides which day it is.", examples=["Europe/Moscow"])

    def zone(self) -> ZoneInfo:
        """The zone named.

        Raises:
            Malformed: there is no such zone.
        """
        return parse_zone(self.timezone)


def refused(parameter: str, message: str, value: object) -> Malformed:
    """The 400 for a parameter that does not fit the others."""
    fault: FieldError = {"field": parameter, "message": message, "value": str(value)[:100]}
    return Malformed(f"Bad parameter. {parameter}: {message}.", [fault])


class DaysParameters(ZonedParameters):
    """System A's ranges, of local days with the last one included: the last few, or from one to another."""

    days: Days | None = Field(None, description="Today and the days before it, so many in all.", examples=[7])
    start_date: Day | None = Field(None, description="The first day; of all time if not given.")
    end_date: Day | None = Field(None, description="The last day, included; until now if not given.")

    def local_days(self, now: datetime) -> LocalDays:
        """The days that are asked for; `now` decides which is today. Without a range all that there are.

        Raises:
            Malformed: names the parameter that does not fit the others, or the zone.
        """
        where = self.zone()
        if self.days is not None:
            if self.start_date or self.end_date:
                raise refused("days", "expected either days, or start_date and end_date", self.days)
            return last_days(self.days, now, where)
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise refused("end_date", "must not be before start_date (both are included)", self.end_date)
        return LocalDays(where, self.start_date, self.end_date)

    def span(self, now: datetime) -> Span:
        """The same as times.

        Raises:
            Malformed: as `local_days`.
        """
        return self.local_days(now).span


class PeriodParameters(ZonedParameters):
    """System C's ranges: the last local days, or from one date or time to another."""

    days: Days | None = Field(None, description=f"Today and the days before it; {DEFAULT_DAYS} if no range is given.")
    start: str | None = Field(None, description="A date, or a time with offset; included.", examples=["2026-05-01"])
    end: str | None = Field(
        None, description="A date, that day included, or a time with offset, excluded.", examples=["2026-05-31"]
    )

    def span(self, now: datetime) -> Span:
        """The times that are asked for; `now` decides which day is today.

        Without `end` it is the end of today, without `start` the 30 local days up to the end.

        Raises:
            Malformed: names the parameter that cannot be read or does not fit the others, or the zone.
        """
        where = self.zone()
        if self.days is not None and (self.start is not None or self.end is not None):
            raise refused("days", "expected either days, or start and end", self.days)
        if self.start is None and self.end is None:
            return last_days(self.days or DEFAULT_DAYS, now, where).span
        upper = end_of_day(now.astimezone(where).date(), where) if self.end is None else _end(self.end, where)
        if self.start is None:
            return Span(last_days(DEFAULT_DAYS, upper - timedelta(microseconds=1), where).span.lower, upper)
        lower = _instant("start", self.start, where)
        if lower >= upper:
            raise refused("start" if self.end is None else "end", "start must be before end", self.end or self.start)
        return Span(lower, upper)


def _end(text: str, where: ZoneInfo) -> datetime:
    """The time before which a range ends: that given, or the end of the day given."""
    instant = _instant("end", text, where)
    if _DATE.fullmatch(text):
        return end_of_day(date.fromisoformat(text), where)
    return instant


def _instant(parameter: str, text: str, where: ZoneInfo) -> datetime:
    try:
        return parse_instant(text, where)
    except ValueError as error:
        raise refused(parameter, str(error), text) from None
