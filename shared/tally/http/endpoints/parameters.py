"""What query parameters of several endpoints have in common. FastAPI checks and documents them."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from tally.usage.question import parse_zone

Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]


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
