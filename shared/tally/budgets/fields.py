"""The fields of a budget as whoever manages budgets gives them: what they may be, and what they are if not given."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from tally.budgets.budget import BudgetWindow
from tally.currencies import known_currency
from tally.event import Money
from tally.usage.windows import zone

_MOST_THRESHOLDS = 10


def _known_zone(name: str) -> str:
    return zone(name).key


def _ascending(thresholds: Sequence[Decimal]) -> Sequence[Decimal]:
    if any(lower >= upper for lower, upper in pairwise(thresholds)):
        raise ValueError("expected percentages in ascending order, each once")
    return thresholds


def _positive_number(most: int) -> WithJsonSchema:
    """A number above 0, or text of one; which texts are above 0 is not described."""
    number = {"type": "number", "exclusiveMinimum": 0, "maximum": most}
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": r"^\+?[0-9]"}]})


Name = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
Given = Annotated[str, Field(strict=True, min_length=1, max_length=2000)]
Amount = Annotated[Money, Field(gt=0), _positive_number(10**15)]
Currency = Annotated[str, Field(strict=True, pattern="^[A-Za-z]{3}$"), AfterValidator(known_currency)]
Zone = Annotated[str, Field(strict=True), AfterValidator(_known_zone)]
Threshold = Annotated[Money, Field(gt=0, le=1000), _positive_number(1000)]
Thresholds = Annotated[list[Threshold], Field(max_length=_MOST_THRESHOLDS), AfterValidator(_ascending)]
Flag = Annotated[bool, Field(strict=True)]


class BudgetFields(BaseModel):
    """What may be spent, by whom, in which window. An unknown field is refused.

    Calls count that have all of `organization_id`, `user_id`, `token_id`, `agent_id` and `model` that are given; where
    none is given, all calls do. `thresholds` are percentages of `amount`.
    """

    model_config = ConfigDict(extra="forbid")

    name: Name
    organization_id: Given | None = None
    user_id: Given | None = None
    token_id: Given | None = None
    agent_id: Given | None = None
    model: Given | None = None
    amount: Amount
    currency: Currency
    window: BudgetWindow
    timezone: Zone = "UTC"
    thresholds: Thresholds = [Decimal(50), Decimal(80), Decimal(100)]
    hard: Flag = False
    webhook_url: Given | None = None
