"""The query parameters of the endpoints, as FastAPI checks and documents them. An unknown one is refused."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tally.usage import content_platform
from tally.usage.question import DIMENSIONS, MAX_LIMIT, METRICS
from tally.usage.windows import WINDOWS

_Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]


class ContentPlatformParameters(BaseModel):
    """Filters and time zone of system A's endpoints."""

    model_config = ConfigDict(extra="forbid")

    timezone: str = Field("UTC", description="IANA time zone that decides which day it is.", examples=["Europe/Moscow"])
    agent_id: _Text | None = None
    ai_provider: _Text | None = None
    ai_model: _Text | None = None

    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filters given, by the dimension that they are on."""
        given = self.model_dump(include={*content_platform.FILTERS}, exclude_none=True)
        return {content_platform.FILTERS[name]: (value,) for name, value in given.items()}


class GatewayStatsParameters(BaseModel):
    """How far back system D's statistics go."""

    model_config = ConfigDict(extra="forbid")

    hours: int = Field(24, ge=1, le=24 * 400, description="Clock hours, the running one included.")


def usage_parameters() -> dict[str, Any]:
    """OpenAPI's description of the parameters of `GET /v1/usage`, which `parse_question` reads."""
    described = {
        "metrics": f"Comma-separated or repeated. Any of {', '.join(METRICS)}.",
        "group_by": f"Comma-separated or repeated. Any of {', '.join(DIMENSIONS)}, label:NAME.",
        "window": f"One of {', '.join(WINDOWS)}.",
        "from": "Included. RFC 3339 with offset, epoch seconds or milliseconds, or a date, the midnight of timezone.",
        "to": "Excluded. As from. Without both: the 30 local days that end today.",
        "timezone": "IANA time zone of dates and windows; UTC if not given.",
        "currency": "ISO 4217 code that cost is reported in; USD if not given.",
        "order_by": "A metric or dimension asked for; with - before it the largest first.",
        "limit": f"Rows a page, at most {MAX_LIMIT}.",
        "cursor": "next_cursor of the page before.",
        "fill": "zero: windows without events are rows too.",
        **dict.fromkeys(DIMENSIONS, "Only events with this value; repeat for several, empty for no value."),
    }
    examples = {
        "metrics": "requests,total_tokens,cost", "group_by": "model", "window": "day", "timezone": "Europe/Moscow",
        "from": "2026-05-01", "to": "2026-06-01", "order_by": "-requests",
    }  # fmt: skip
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": text,
                "schema": {"type": "string"},
                **({"example": examples[name]} if name in examples else {}),
            }
            for name, text in described.items()
        ]
    }
