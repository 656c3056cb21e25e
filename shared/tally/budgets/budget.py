"""What a budget is, which window it is in, and how it stands. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from tally.usage.coverage import EVER, Span
from tally.usage.windows import first_day, start_of_day, windows, zone

BudgetWindow = Literal["day", "week", "month", "total"]
_LONGER_THAN_ANY_WINDOW = timedelta(days=40)
# More digits than the product of two amounts has.
_EXACT = Context(prec=120)
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose spending counts: that of calls which have all that is given here; of all calls where nothing is."""

    organization_id: str | None = None
    user_id: str | None = None
    token_id: str | None = None
    agent_id: str | None = None
    model: str | None = None

    def given(self) -> Iterator[tuple[str, str]]:
        """The fields that have a value, always in the same order."""
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None:
                yield one.name, value

    def covers(self, call: "Subject") -> bool:
        """Whether what a call with these fields costs counts here."""
        return all(getattr(call, name) == value for name, value in self.given())


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in each window.

    Attributes:
        amount: in `currency`, above 0.
        window: a day, an ISO week or a month of `timezone`, or all of time.
        timezone: name of an IANA zone.
        thresholds: percentages of the amount, ascending, whose crossing is told.
        hard: whether checks of limits deny calls once the amount is spent.
        token_hash: of the token that `subject.token_id` names.
        webhook_id, webhook_url: where crossings are posted to, if anywhere.
    """

    id: str
    name: str
    subject: Subject
    amount: Decimal
    currency: str
    window: BudgetWindow
    timezone: str
    thresholds: tuple[Decimal, ...]
    hard: bool
    created_at: datetime
    updated_at: datetime
    token_hash: str | None = None
    webhook_id: str | None = None
    webhook_url: str | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The zone of `timezone`.

        Raises:
            ValueError: this system does not know it (any more).
        """
        return zone(self.timezone)

    def span_at(self, now: datetime) -> Span:
        """The window that `now` (UTC) falls into.

        Raises:
            ValueError: as `zone`.
        """
        if self.window == "total":
            return EVER
        where = self.zone
        lower = start_of_day(first_day(now.astimezone(where).date(), self.window), where)
        upper = next(windows(lower, lower + _LONGER_THAN_ANY_WINDOW, self.window, where)).upper
        return Span(lower, upper)

    def settable(self) -> dict[str, Any]:
        """The fields that whoever manages budgets sets, as JSON has them."""
        return {
            "name": self.name,
            **{one.name: getattr(self.subject, one.name) for one in fields(Subject)},
            "amount": self.amount,
            "currency": self.currency,
            "window": self.window,
            "timezone": self.timezone,
            "thresholds": [*self.thresholds],
            "hard": self.hard,
            "webhook_url": self.webhook_url,
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stands in a window.

    Attributes:
        spent: in the budget's currency.
        left_out: what a reader must know of `spent`, as `tally.usage.figures.left_out`.
    """

    budget: Budget
    span: Span
    spent: Decimal
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def left(self) -> Decimal:
        """What may still be spent; negative where more than the amount was."""
        return _EXACT.subtract(self.budget.amount, self.spent)

    @property
    def percent(self) -> Decimal:
        """What was spent in percent of the amount, not rounded."""
        return _EXACT.multiply(self.spent, _HUNDRED) / self.budget.amount

    @property
    def crossed(self) -> tuple[Decimal, ...]:
        """The thresholds that are reached. Compared without a division, thus exactly."""
        hundredfold = _EXACT.multiply(self.spent, _HUNDRED)
        return tuple(one for one in self.budget.thresholds if hundredfold >= _EXACT.multiply(one, self.budget.amount))

    @property
    def is_exhausted(self) -> bool:
        """Whether the whole amount is spent."""
        return self.spent >= self.budget.amount

    def shown_span(self) -> Mapping[str, str | None]:
        """The bounds of the window with the offset in force at each; None where there is none."""
        bounds = {"window_start": self.span.lower, "window_end": self.span.upper}
        return {
            name: None if instant is None else instant.astimezone(self.budget.zone).isoformat()
            for name, instant in bounds.items()
        }
