"""What query parameters of several endpoints have in common. FastAPI checks and documents them."""

import re
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from tally.errors import FieldError, Malformed
from tally.usage.question import parse_zone

_WHOLE = re.compile(r"-?[0-9]{1,9}")


def _written_whole(value: object) -> object:
    """As it is, if it is written as a whole number; pydantic alone would also take " 7 ", "7.0" and "1_000"."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise PydanticCustomError("whole", "expected a whole number of at most 9 digits")
    return value


Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Whole = Annotated[int, BeforeValidator(_written_whole)]


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
