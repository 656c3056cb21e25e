"""A price and what it makes of an event, exactly.

Costs are sums of whole numbers: every rate is scaled by one power of ten, so that nothing is rounded however many
tokens and decimals there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from decimal import Context, Decimal
from functools import cached_property
from typing import Any, NamedTuple, cast

from tally.event import UsageEvent

OWN = "own"
# What a token can be charged as.
KINDS = ("input", "cached_input", "cache_write", "output", "reasoning")
# The label of an event that says how many images it made.
IMAGES = "images"
_MILLION = 6
# More digits than 10^15 tokens at 10^15 a million with 30 decimals have: moving the point rounds nothing.
_EXACT = Context(prec=150)
_LONGEST_COUNT = 15


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates for all tokens of an event with more than `above` input tokens. A kind not named keeps its rate."""

    above: int
    per_million: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Hours:
    """Rates between two times of the day in UTC, `end` excluded; over midnight where it is before `start`."""

    start: time
    end: time
    per_million: Mapping[str, Decimal]

    def hold(self, moment: datetime) -> bool:
        """Whether `moment` (UTC) is between the two."""
        clock = moment.time()
        if self.end < self.start:
            return clock >= self.start or clock < self.end
        return self.start <= clock < self.end


class _Table(NamedTuple):
    """Rates a token as whole numbers, for events with more than `above` input tokens."""

    above: int
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int


class _Scaled(NamedTuple):
    """`Rates` as whole numbers times 10^`exponent`."""

    exponent: int
    base: _Table
    tiers: tuple[_Table, ...]  # the highest first
    per_request: int
    per_image: int
    only_tokens: bool


@dataclass(frozen=True)
class Rates:
    """What a price charges, in its currency: a million tokens of each of `KINDS`, a request, an image.

    Of several `hours` that hold, the first counts; it replaces rates of `per_million`, which tiers go before.
    """

    per_million: Mapping[str, Decimal]
    tiers: tuple[Tier, ...] = ()  # ascending
    per_request: Decimal | None = None
    per_image: Decimal | None = None
    hours: tuple[Hours, ...] = ()

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> "Rates":
        """From the JSON form: the fields of this class, decimals as text, times of the day as HH:MM.

        A tier is `{"above": 200000, "per_million": {…}}`, hours are `{"from": "16:30", "to": "00:30", "per_million":
        {…}}`. What does not apply is left out.
        """
        return cls(
            _decimals(form.get("per_million", {})),
            tuple(Tier(int(tier["above"]), _decimals(tier["per_million"])) for tier in form.get("tiers", ())),
            _decimal(form.get("per_request")),
            _decimal(form.get("per_image")),
            tuple(map(_hours, form.get("hours", ()))),
        )

    def form(self) -> dict[str, Any]:
        """The JSON form, as `of` reads it; equal rates have equal forms."""
        form: dict[str, Any] = {"per_million": _texts(self.per_million)}
        if self.tiers:
            form["tiers"] = [{"above": tier.above, "per_million": _texts(tier.per_million)} for tier in self.tiers]
        if self.per_request is not None:
            form["per_request"] = _text(self.per_request)
        if self.per_image is not None:
            form["per_image"] = _text(self.per_image)
        if self.hours:
            form["hours"] = [
                {"from": f"{hours.start:%H:%M}", "to": f"{hours.end:%H:%M}", "per_million": _texts(hours.per_million)}
                for hours in self.hours
            ]
        return form

    @cached_property
    def scaled(self) -> _Scaled:
        """Ready for `cost_of`."""
        decimals = [
            rate for table in (self.per_million, *(tier.per_million for tier in self.tiers)) for rate in table.values()
        ]
        decimals += [rate for rate in (self.per_request, self.per_image) if rate is not None]
        places = max([-cast(int, rate.as_tuple().exponent) for rate in decimals], default=0)
        exponent = -(max(places, 0) + _MILLION)

        def whole(rate: Decimal | None, per: int = 0) -> int:
            return 0 if rate is None else int(rate.scaleb(-exponent - per, _EXACT))

        def table(above: int, rates: Mapping[str, Decimal]) -> _Table:
            plain, made = rates.get("input"), rates.get("output")
            parts = (
                rates.get("cached_input", plain),
                rates.get("cache_write", plain),
                made,
                rates.get("reasoning", made),
            )
            return _Table(above, *(whole(rate, _MILLION) for rate in (plain, *parts)))

        tables = []
        rates = self.per_million
        for tier in self.tiers:
            rates = {**rates, **tier.per_million}
            tables.append(table(tier.above, rates))
        return _Scaled(
            exponent,
            table(-1, self.per_million),
            tuple(reversed(tables)),
            whole(self.per_request),
            whole(self.per_image),
            only_tokens=self.per_request is None and self.per_image is None,
        )


class Draft(NamedTuple):
    """A price before it is stored: the fields of `Price` without the id."""

    origin: str
    provider: str
    model: str
    conditions: Mapping[str, str]
    currency: str
    valid_from: datetime
    rates: Rates


@dataclass(frozen=True)
class Price:
    """One version of the price of a model, or of several where `model` ends in `*`.

    It holds from `valid_from` (UTC) until the next version of the same provider, model and conditions does, for events
    that have all labels of `conditions`. `origin` is `own`, or says where it was taken from.
    """

    id: int
    origin: str
    provider: str
    model: str
    conditions: Mapping[str, str]
    currency: str
    valid_from: datetime
    rates: Rates

    def at(self, moment: datetime) -> "Price":
        """As it is at that time (UTC) of the day."""
        for hours, price in self._by_hours:
            if hours.hold(moment):
                return price
        return self

    @cached_property
    def _by_hours(self) -> tuple[tuple[Hours, "Price"], ...]:
        def during(hours: Hours) -> Price:
            per_million = {**self.rates.per_million, **hours.per_million}
            return replace(self, rates=replace(self.rates, per_million=per_million, hours=()))

        return tuple((hours, during(hours)) for hours in self.rates.hours)


def cost_of(price: Price, event: UsageEvent) -> Decimal | None:
    """What `event` costs in the price's currency, every digit of it; None where that cannot be said: it is unpriced.

    Input includes cached input and cache writes, which are charged at their own rates instead, or else as input; output
    includes reasoning alike. What has no rate is free. Where only the total is known, input and output must cost the
    same. A call without any count cost nothing if it failed, else nobody knows. Requests and images are charged
    unless the call failed.
    """
    scaled = price.rates.scaled
    received = event.get("input_tokens")
    made = event.get("output_tokens")
    units = 0
    if received is not None or made is not None:
        received = received or 0
        table = scaled.base
        for tier in scaled.tiers:
            if received > tier.above:
                table = tier
                break
        units = _tokens(table, event, received, made or 0)
    else:
        total = event.get("total_tokens")
        if total is None:
            if scaled.only_tokens and not _failed(event):
                return None
        elif total:
            table = scaled.base
            if table.input != table.output or (scaled.tiers and total > scaled.tiers[-1].above):
                return None
            reasoning = min(event.get("reasoning_tokens", 0), total)
            units = _tokens(table, event, total - reasoning, reasoning)
    if not scaled.only_tokens and not _failed(event):
        units += scaled.per_request
        if scaled.per_image:
            units += scaled.per_image * _images(event)
    return Decimal(units).scaleb(scaled.exponent, _EXACT)


def _tokens(table: _Table, event: UsageEvent, received: int, made: int) -> int:
    units = received * table.input + made * table.output
    cached = event.get("cached_input_tokens")
    written = event.get("cache_write_tokens")
    if cached or written:
        cached = cached or 0
        written = written or 0
        plain = max(received - cached - written, 0)
        units += (plain - received) * table.input + cached * table.cached_input + written * table.cache_write
    reasoning = event.get("reasoning_tokens")
    if reasoning:
        units += (max(made - reasoning, 0) - made) * table.output + reasoning * table.reasoning
    return units


def _failed(event: UsageEvent) -> bool:
    status = event.get("status")
    if status is not None:
        return status >= 400
    return "error_message" in event or "error_type" in event


def _images(event: UsageEvent) -> int:
    count = event.get("labels", {}).get(IMAGES, "")
    return int(count) if count.isdecimal() and count.isascii() and len(count) <= _LONGEST_COUNT else 1


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _hours(form: Mapping[str, Any]) -> Hours:
    return Hours(time.fromisoformat(form["from"]), time.fromisoformat(form["to"]), _decimals(form["per_million"]))


def _decimals(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {kind: Decimal(texts[kind]) for kind in KINDS if kind in texts}


def _text(rate: Decimal) -> str:
    text = f"{rate:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _texts(rates: Mapping[str, Decimal]) -> dict[str, str]:
    return {kind: _text(rates[kind]) for kind in KINDS if kind in rates}
