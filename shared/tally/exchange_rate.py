"""An exchange rate as somebody sets it: checked, and refused in words that say what would be right. Pure.

Validated with the context `{"today": …}`, the day (UTC), a date more than one day ahead is refused.
"""

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from tally.currencies import known_currency
from tally.event import Money

OLDEST = date(1990, 1, 1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def parse_date(value: object) -> date:
    """The date that is written as in 2026-05-01.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("is not in the calendar; expected a date such as 2026-05-01") from None
    if isinstance(value, date):
        return value
    raise ValueError("expected a date such as 2026-05-01")


def _currency(code: str) -> str:
    try:
        return known_currency(code)
    except ValueError as error:
        raise PydanticCustomError("currency", "{reason}", {"reason": str(error)}) from None


def _above_zero(rate: Decimal) -> Decimal:
    if rate <= 0:
        raise ValueError("must be above 0: it says how much of quote one base is")
    return rate


CurrencyCode = Annotated[
    str,
    StringConstraints(strict=True),
    AfterValidator(_currency),
    Field(json_schema_extra={"pattern": "^[A-Za-z]{3}$"}),
]
_Rate = Annotated[
    Money,
    AfterValidator(_above_zero),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 10**15},
                {"type": "string", "format": "decimal"},
            ]
        }
    ),
]
_Day = Annotated[date, BeforeValidator(parse_date), WithJsonSchema({"type": "string", "format": "date"})]
_Source = Annotated[
    str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")
]


class ExchangeRate(BaseModel):
    """One `base` is `rate` `quote` on `date` (UTC), as `source` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: CurrencyCode = Field(description="ISO 4217 code of the currency that is worth `rate` of the other.")
    quote: CurrencyCode = Field(description="ISO 4217 code of the other.")
    rate: _Rate = Field(description="How much of `quote` one `base` is: a decimal number, or the same as a string.")
    date: _Day = Field(description="From which day (UTC) on, until the next rate.")
    source: _Source = Field(description="Who says so.")

    @field_validator("quote")
    @classmethod
    def _another(cls, quote: str, info: ValidationInfo) -> str:
        if quote == info.data.get("base"):
            raise ValueError("must be another currency than base")
        return quote

    @field_validator("date")
    @classmethod
    def _in_time(cls, day: _Day, info: ValidationInfo) -> _Day:
        today: _Day | None = (info.context or {}).get("today")
        if day < OLDEST:
            raise ValueError(f"must not be before {OLDEST}")
        if today is not None and day > today + timedelta(days=1):
            raise ValueError(f"must not be after {today + timedelta(days=1)}: a rate is known a day ahead at most")
        return day

    @property
    def key(self) -> str:
        """What tells it from all others, such as USD/RUB/2026-05-01."""
        return key_of(self.base, self.quote, self.date)


def key_of(base: str, quote: str, day: date) -> str:
    """What tells the rate of a pair and day from all others, such as USD/RUB/2026-05-01."""
    return f"{base}/{quote}/{day}"
