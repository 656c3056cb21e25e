"""A price of the team's own as somebody writes it: what is checked, and what of it is kept. Pure."""

from collections.abc import Mapping
from datetime import datetime, time
from decimal import Decimal
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from tally.currencies import known_currency
from tally.event import MAX_INTEGER, Money, parse_time
from tally.pricing.book import ANY
from tally.pricing.price import KINDS, OWN, Draft, Hours, Rates, Tier

_MOST_TIERS = 20
_MOST_CONDITIONS = 10


def _currency(code: str) -> str:
    try:
        return known_currency(code)
    except ValueError as error:
        raise PydanticCustomError("currency", "{reason}", {"reason": str(error)}) from None


def _time(value: object) -> datetime:
    try:
        return parse_time(value)
    except ValueError as error:
        raise PydanticCustomError("time", "{reason}", {"reason": str(error)}) from None


def _clock(value: object) -> object:
    try:
        moment = time.fromisoformat(value) if isinstance(value, str) and len(value) == 5 else None
    except ValueError:
        moment = None
    if moment is None:
        raise PydanticCustomError("clock", "expected a time of the day in UTC such as 16:30")
    return moment


def _rate(value: Decimal) -> Decimal:
    if value < 0:
        raise PydanticCustomError("rate", "must not be negative")
    return value


def _model(value: str) -> str:
    if ANY in value[:-1]:
        raise PydanticCustomError("model", "may have one * only, at its end, where it stands for anything")
    return value


_DECIMAL = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?$"}]}
_CLOCK = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"}
# A time as JSON: RFC 3339, a date, or epoch seconds or milliseconds.
TIME_SCHEMA = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}, {"type": "number"}]
}
Name = Annotated[str, Field(strict=True, min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")]
Rate = Annotated[Money, AfterValidator(_rate), WithJsonSchema(_DECIMAL)]
Clock = Annotated[time, BeforeValidator(_clock), WithJsonSchema(_CLOCK)]
Instant = Annotated[datetime, BeforeValidator(_time), WithJsonSchema(TIME_SCHEMA)]


class _Form(BaseModel):
    """An object whose unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class _Part(_Form):
    """An object in the form: a fault of it says which names it has."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in value if isinstance(value, dict) else ():
            if name not in names:
                near = get_close_matches(str(name), names, n=1)
                hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(names)}"
                reason = f"has a field {str(name)[:100]} that is not known here; {hint}"
                raise PydanticCustomError("unknown", "{reason}", {"reason": reason})
        return value


class PerMillion(_Part):
    """What a million tokens cost, in the price's currency."""

    input: Rate | None = Field(None, description="Input that is not cached.")
    cached_input: Rate | None = Field(None, description="Input read from a cache; as input if not given.")
    cache_write: Rate | None = Field(None, description="Input written to a cache; as input if not given.")
    output: Rate | None = Field(None, description="Output.")
    reasoning: Rate | None = Field(None, description="Output spent on reasoning; as output if not given.")

    def rates(self) -> dict[str, Decimal]:
        """Those that are given."""
        return {kind: rate for kind in KINDS if (rate := getattr(self, kind)) is not None}


class TierForm(_Part):
    """Rates for all tokens of a call with more input."""

    above: Annotated[int, Field(strict=True, ge=0, le=MAX_INTEGER)] = Field(
        description="Holds for calls with more input tokens than this."
    )
    per_million: PerMillion


class HoursForm(_Part):
    """Rates between two times of the day."""

    from_: Clock = Field(alias="from", description="Time of the day in UTC, included.", examples=["16:30"])
    to: Clock = Field(description="Time of the day in UTC, excluded; before `from` it is over midnight.")
    per_million: PerMillion


class PriceForm(_Form):
    """A price of the team's own."""

    provider: Name = Field(description="As events name it; case does not matter.", examples=["openai"])
    model: Annotated[Name, AfterValidator(_model)] = Field(
        description="As events name it; case does not matter. With * at its end, all that begin so.",
        examples=["gpt-4o*"],
    )
    currency: Annotated[str, Field(strict=True, max_length=10), AfterValidator(_currency)] = Field(
        description="ISO 4217.", examples=["USD"]
    )
    valid_from: Instant = Field(
        description="From when on it holds, until the next version does.", examples=["2026-05-01T00:00:00+03:00"]
    )
    per_million: PerMillion = Field(PerMillion(), description="Of tokens.")
    per_request: Rate | None = Field(None, description="For each call that did not fail.")
    per_image: Rate | None = Field(
        None, description="For each image of a call that did not fail; how many, its label `images` says, or else one."
    )
    tiers: Annotated[list[TierForm], Field(max_length=_MOST_TIERS)] = Field(
        [], description="Other rates where a call has more input tokens; the highest that is exceeded counts for all."
    )
    hours: Annotated[list[HoursForm], Field(max_length=_MOST_TIERS)] = Field(
        [], description="Other rates between times of the day."
    )
    conditions: Annotated[dict[Name, Annotated[str, Field(max_length=2000)]], Field(max_length=_MOST_CONDITIONS)] = (
        Field({}, description="Labels that a call must have.", examples=[{"processing": "batch"}])
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        above = [tier.above for tier in self.tiers]
        if any(first >= second for first, second in pairwise(above)):
            raise PydanticCustomError("tiers", "tiers must be in ascending order of `above`, each once")
        parts = [*(tier.per_million for tier in self.tiers), *(part.per_million for part in self.hours)]
        if not all(part.rates() for part in parts):
            raise PydanticCustomError("rates", "tiers and hours need at least one rate each in per_million")
        if not self.per_million.rates() and self.per_request is None and self.per_image is None:
            raise PydanticCustomError(
                "rates", f"needs a rate: per_million with one of {', '.join(KINDS)}, or per_request, or per_image"
            )
        return self

    def draft(self) -> Draft:
        """What is stored of it."""
        rates = Rates(
            self.per_million.rates(),
            tuple(Tier(tier.above, tier.per_million.rates()) for tier in self.tiers),
            self.per_request,
            self.per_image,
            tuple(Hours(part.from_, part.to, part.per_million.rates()) for part in self.hours),
        )
        return Draft(OWN, self.provider, self.model, self.conditions, self.currency, self.valid_from, rates)


def written(draft: Draft) -> dict[str, Any]:
    """A price with its rates as a `PriceForm` takes them; every field is there."""
    rates = draft.rates
    return {
        "provider": draft.provider,
        "model": draft.model,
        "currency": draft.currency,
        "valid_from": draft.valid_from,
        "per_million": dict(rates.per_million),
        "per_request": rates.per_request,
        "per_image": rates.per_image,
        "tiers": [{"above": tier.above, "per_million": dict(tier.per_million)} for tier in rates.tiers],
        "hours": [
            {"from": f"{part.start:%H:%M}", "to": f"{part.end:%H:%M}", "per_million": dict(part.per_million)}
            for part in rates.hours
        ],
        "conditions": dict(draft.conditions),
    }


def corrected(form: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`form` with what `changes` says: objects are merged field by field, null takes a field away (RFC 7396)."""
    merged = dict(form)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            before = merged.get(name)
            merged[name] = corrected(before if isinstance(before, dict) else {}, value)
        else:
            merged[name] = value
    return merged
