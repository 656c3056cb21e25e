"""What every figure must be: counted by hand, event by event, in exact fractions.

Independent of `tally.usage` on purpose: no buckets, no ranges, no SQL. Each event is put into its window by its own
local time, and windows are found by walking through time in steps of a quarter of an hour.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.exchange_rates import Rates

DIMENSIONS = (
    "organization_id", "team_id", "user_id", "token", "token_type", "route", "method", "status", "status_class",
    "error_type", "provider", "model", "agent_id", "operation", "platform", "content_type", "task_type", "source",
)  # fmt: skip
METRICS = (
    "requests", "errors", "error_rate", "success_rate", "input_tokens", "output_tokens", "total_tokens",
    "cached_input_tokens", "cost", "unpriced_requests", "estimated_tokens",
    "avg_response_time_ms", "min_response_time_ms", "max_response_time_ms",
    "p50_response_time_ms", "p90_response_time_ms", "p95_response_time_ms", "p99_response_time_ms", "unique_users",
)  # fmt: skip
PERCENTILE_BOUND = Fraction(2, 100)
_QUARTER = timedelta(minutes=15)
_EXACT = Context(prec=400)
Row = dict[str, Any]


@dataclass(frozen=True)
class Fact:
    """A distinct event as it counts."""

    time: datetime
    dimensions: Mapping[str, Any]
    labels: Mapping[str, str]
    user: tuple[str, str] | None
    is_error: bool
    counts: Mapping[str, int]
    has_tokens: bool
    estimated: bool
    response_time: Fraction | None
    costs: Mapping[str, Decimal]
    rates: Rates

    def worth(self, currency: str) -> Fraction | None:
        """What it cost in a currency: as given in it, else converted; None where that cannot be told."""
        converted = self._converted(currency)
        return converted[0] if converted else None

    def is_unconverted(self, currency: str) -> bool:
        """Whether it has a cost that cannot be told in a currency."""
        return bool(self.costs) and self._converted(currency) is None

    def has_older_rate(self, currency: str) -> bool:
        """Whether its cost is converted at the rate of a day before its own."""
        converted = self._converted(currency)
        return converted is not None and converted[1] < self.time.date()

    def _converted(self, currency: str) -> tuple[Fraction, date] | None:
        if currency in self.costs:
            return Fraction(self.costs[currency]), self.time.date()
        for given, amount in self.costs.items():
            factor = self.rates.factor(given, currency, self.time.date())
            return (Fraction(amount) * factor[0], factor[1]) if factor else None
        return None

    def dimension(self, name: str) -> Any:
        """The value that the event has in a dimension, or None."""
        return self.labels.get(name[6:]) if name.startswith("label:") else self.dimensions.get(name)


@dataclass(frozen=True)
class Question:
    """A question of `GET /v1/usage`: its parameters as they are sent."""

    metrics: Sequence[str]
    group_by: Sequence[str] = ()
    window: str = "none"
    range: tuple[str, str] | None = None
    timezone: str = "UTC"
    currency: str = "USD"
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fill: bool = False

    def parameters(self) -> list[tuple[str, str]]:
        """As pairs of name and value."""
        pairs = [("metrics", ",".join(self.metrics)), ("timezone", self.timezone), ("currency", self.currency)]
        pairs += [("group_by", name) for name in self.group_by]
        pairs += [("window", self.window)] if self.window != "none" else []
        pairs += [("from", self.range[0]), ("to", self.range[1])] if self.range else []
        pairs += [(name, value) for name, values in self.filters.items() for value in values]
        return [*pairs, ("fill", "zero")] if self.fill else pairs


class Oracle:
    """All distinct events. The first of a (tenant, source, id) stays."""

    def __init__(self, token_names: Mapping[str, tuple[str, str]] | None = None, rates: Rates | None = None) -> None:
        self._facts: dict[tuple[str, str, str], Fact] = {}
        self._rates = rates or Rates()
        self._token_names = token_names or {}

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def facts(self) -> list[Fact]:
        """The events."""
        return list(self._facts.values())

    def add(self, event: Mapping[str, Any], received_at: datetime, tenant: str = "") -> None:
        """An event with `id` and `source` that was stored; `received_at` is its time if it has none."""
        self._facts.setdefault((tenant, event["source"], event["id"]), _fact(event, received_at, self._rates))

    def usage(self, question: Question, now: datetime) -> list[Row]:
        """The rows of the answer, ordered; numbers with up to 10 decimals, as clients see them."""
        zone = ZoneInfo(question.timezone)
        lower, upper = _range(question, zone, now)
        chosen = [fact for fact in self.facts if lower <= fact.time < upper and _passes(fact, question.filters)]
        groups: dict[tuple[Any, ...], list[Fact]] = {}
        for fact in chosen:
            key = tuple(self._value(fact, name) for name in question.group_by)
            groups.setdefault((_window(fact.time, question.window, zone), *key), []).append(fact)
        if not question.group_by and question.window == "none":
            groups.setdefault((None,), [])
        if question.fill and question.window != "none":
            combinations = {key[1:] for key in groups} or ({()} if not question.group_by else set())
            for window in _windows(lower, upper, question.window, zone):
                for combination in combinations:
                    groups.setdefault((window, *combination), [])
        rows = [self._row(question, key, facts) for key, facts in groups.items()]
        return sorted(rows, key=lambda row: sort_key(question, row))

    def summary(self, timezone_name: str, filters: Mapping[str, str], now: datetime) -> Row:
        """System A's `summary`."""
        zone = ZoneInfo(timezone_name)
        today = now.astimezone(zone).date()
        facts = [fact for fact in self.facts if all(fact.dimension(name) == value for name, value in filters.items())]
        days = [(fact, fact.time.astimezone(zone).date()) for fact in facts]
        return {
            "today": totals(fact for fact, day in days if day == today),
            "this_month": totals(fact for fact, day in days if (day.year, day.month) == (today.year, today.month)),
            "all_time": totals(facts),
        }

    def stats(self, hours: int, now: datetime) -> Row:
        """System D's `stats`; its lists of the top are all there are, equal ones in any order."""
        running = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        wanted = [running - timedelta(hours=back) for back in reversed(range(hours))]
        by_hour: dict[datetime, list[Fact]] = {hour: [] for hour in wanted}
        for fact in self.facts:
            hour = fact.time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            if hour in by_hour:
                by_hour[hour].append(fact)
        all_facts = [fact for facts in by_hour.values() for fact in facts]
        return {
            "overview": {
                "total_calls": len(all_facts),
                "total_errors": sum(fact.is_error for fact in all_facts),
                "avg_response_time": one_decimal(_average(all_facts)),
                "success_rate": one_decimal(_rate(all_facts, errors=False)),
            },
            "hourly_usage": [
                {
                    "hour": hour.isoformat(),
                    "call_count": len(facts),
                    "avg_response_time": one_decimal(_average(facts)),
                }
                for hour, facts in by_hour.items()
            ],
            "tokens": {
                token: {
                    "name": self._token_names.get(token, (None, None))[0],
                    "team_id": self._token_names.get(token, (None, None))[1],
                    "usage_count": len(facts),
                }
                for token, facts in _by(all_facts, "token").items()
            },
            "routes": {
                route: {
                    "call_count": len(facts),
                    "avg_response_time": one_decimal(_average(facts)),
                    "success_rate": one_decimal(_rate(facts, errors=False)),
                }
                for route, facts in _by(all_facts, "route").items()
            },
        }

    def _value(self, fact: Fact, name: str) -> Any:
        # The same user id in two organizations is two users.
        return (fact.dimension(name), fact.user) if name == "user_id" else fact.dimension(name)

    def _row(self, question: Question, key: tuple[Any, ...], facts: list[Fact]) -> Row:
        row: Row = {} if question.window == "none" else {"window_start": key[0]}
        for name, value in zip(question.group_by, key[1:], strict=True):
            row[name] = value[0] if name == "user_id" else value
            if name == "token":
                row["token_name"] = self._token_names.get(value, (None, None))[0]
        for name in question.metrics:
            row[name] = shown(metric(name, facts, question.currency))
        return row | left_out_of_costs(facts, question.currency) if "cost" in question.metrics else row


def sort_key(question: Question, row: Row) -> tuple[Any, ...]:
    """An order of rows that two answers to a question can be compared in."""
    start = datetime.fromisoformat(row["window_start"]).astimezone(UTC).isoformat() if "window_start" in row else ""
    dimensions = [(row[name] is None, str(row[name])) for name in question.group_by]
    # Not by percentiles: two answers may differ in them, within their bound.
    exact = [name for name in question.metrics if not is_percentile(name)]
    figures = [None if row[name] is None else str(Fraction(row[name])) for name in exact]
    return (
        start,
        dimensions,
        list(map(str, figures)),
        row.get("unconverted_requests", 0),
        row.get("older_rate_requests", 0),
    )


def is_percentile(metric: str) -> bool:
    """Whether a metric may differ from the exact one, by up to `PERCENTILE_BOUND` of it."""
    return metric[0] == "p" and metric.endswith("_response_time_ms")


def assert_same(found: Sequence[Row], expected: Sequence[Row]) -> None:
    """Rows are the same to the last digit, percentiles within their bound."""
    assert [_without_percentiles(row) for row in found] == [_without_percentiles(row) for row in expected]
    for ours, theirs in zip(_percentiles(found), _percentiles(expected), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert (one is None) == (other is None)
            assert one is None or abs(Fraction(one) - Fraction(other)) <= PERCENTILE_BOUND * Fraction(other)


def _percentiles(rows: Sequence[Row]) -> list[list[Any]]:
    """The values of each percentile in order, of rows that look alike otherwise: one user id may be two users."""
    alike: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        for name in filter(is_percentile, row):
            alike.setdefault((name, str(_without_percentiles(row))), []).append(row[name])
    return [sorted(values, key=lambda value: (value is None, value or 0)) for values in alike.values()]


def _without_percentiles(row: Row) -> Row:
    return {name: value for name, value in row.items() if not is_percentile(name)}


def shown(value: Fraction | Decimal | int | None) -> Decimal | int | None:
    """A number as clients see it: at most 10 decimals, half to even."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, Fraction):
        value = _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    return value.quantize(Decimal("1e-10"), ROUND_HALF_EVEN, _EXACT)


def _fact(event: Mapping[str, Any], received_at: datetime, rates: Rates) -> Fact:
    given = {name: value for name, value in event.items() if value is not None and value != ""}
    counts = {name: int(value) for name, value in given.items() if name.endswith("_tokens")}
    estimated = False
    if not {"input_tokens", "output_tokens", "total_tokens"} & counts.keys():
        for part in ("input", "output"):
            if f"{part}_text_length" in given:
                # 2.5 characters a token, rounded up
                counts[f"{part}_tokens"] = -((-2 * given[f"{part}_text_length"]) // 5)
                estimated = True
    has_tokens = bool({"input_tokens", "output_tokens", "total_tokens"} & counts.keys())
    if has_tokens:
        counts.setdefault("total_tokens", counts.get("input_tokens", 0) + counts.get("output_tokens", 0))
    costs: dict[str, Decimal] = {}
    if "cost" in given:
        costs[given["cost"]["currency"].upper()] = Decimal(str(given["cost"]["amount"]))
    for code in ("USD", "RUB"):
        if f"cost_{code.lower()}" in given:
            costs[code] = Decimal(str(given[f"cost_{code.lower()}"]))
    status = given.get("status")
    failed = bool({"error_message", "error_type"} & given.keys())
    dimensions: dict[str, Any] = {name: given.get(name) for name in DIMENSIONS}
    dimensions["token"] = given["token_hash"].lower() if "token_hash" in given else None
    dimensions["method"] = given["method"].upper() if "method" in given else None
    dimensions["status_class"] = f"{str(status)[0]}xx" if status is not None else None
    time = given.get("time", received_at)
    return Fact(
        time=(datetime.fromisoformat(time) if isinstance(time, str) else time).astimezone(UTC),
        dimensions=dimensions,
        labels=given.get("labels", {}),
        user=(given.get("organization_id", ""), given["user_id"]) if "user_id" in given else None,
        is_error=status >= 400 if status is not None else failed,
        counts=counts,
        has_tokens=has_tokens,
        estimated=estimated,
        response_time=Fraction(str(given["response_time_ms"])) if "response_time_ms" in given else None,
        costs=costs,
        rates=rates,
    )


def _passes(fact: Fact, filters: Mapping[str, Sequence[str]]) -> bool:
    for name, wanted in filters.items():
        value = fact.dimension(name)
        text = "" if value is None else str(value)
        if text not in ([one.upper() for one in wanted] if name == "method" else wanted):
            return False
    return True


def _range(question: Question, zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    if question.range is None:
        today = now.astimezone(zone).date()
        return _first_instant(today - timedelta(days=29), zone), _first_instant(today + timedelta(days=1), zone)
    lower, upper = (_instant(text, zone) for text in question.range)
    return lower, upper


def _instant(text: str, zone: ZoneInfo) -> datetime:
    if len(text) == 10:
        return _first_instant(date.fromisoformat(text), zone)
    return datetime.fromisoformat(text).astimezone(UTC)


@cache
def _first_instant(day: date, zone: ZoneInfo) -> datetime:
    """Walks to the first quarter of an hour of a local day."""
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=26)
    while instant.astimezone(zone).date() < day:
        instant += _QUARTER
    return instant


def _window(instant: datetime, window: str, zone: ZoneInfo) -> str | None:
    """The start, as clients see it, of the window that an instant falls into."""
    if window == "none":
        return None
    local = instant.astimezone(zone)
    if window in ("15m", "hour"):
        minute = local.minute // 15 * 15 if window == "15m" else 0
        offset = local.utcoffset()
        assert offset is not None
        wall = local.replace(minute=minute, second=0, microsecond=0, tzinfo=timezone(offset))
        return wall.isoformat()
    day = local.date()
    if window == "week":
        day -= timedelta(days=day.isocalendar().weekday - 1)
    if window == "month":
        day = date(day.year, day.month, 1)
    return _first_instant(day, zone).astimezone(zone).isoformat()


def _windows(lower: datetime, upper: datetime, window: str, zone: ZoneInfo) -> list[str]:
    """Every window of a range."""
    found: dict[str | None, None] = {}
    instant = lower
    while instant < upper:
        found[_window(instant, window, zone)] = None
        instant += _QUARTER - (instant - datetime(2000, 1, 1, tzinfo=UTC)) % _QUARTER
    return [start for start in found if start is not None]


def metric(name: str, facts: Sequence[Fact], currency: str) -> Fraction | Decimal | int | None:
    """A metric of `GET /v1/usage` over events, exact."""
    times = sorted(fact.response_time for fact in facts if fact.response_time is not None)
    simple: dict[str, Callable[[], Fraction | Decimal | int | None]] = {
        "requests": lambda: len(facts),
        "errors": lambda: sum(fact.is_error for fact in facts),
        "error_rate": lambda: _rate(facts, errors=True),
        "success_rate": lambda: _rate(facts, errors=False),
        "cost": lambda: sum((fact.worth(currency) or Fraction(0) for fact in facts), Fraction(0)),
        "unpriced_requests": lambda: sum(
            not fact.costs and (fact.has_tokens or fact.dimension("model") is not None) for fact in facts
        ),
        "estimated_tokens": lambda: sum(fact.counts["total_tokens"] for fact in facts if fact.estimated),
        "avg_response_time_ms": lambda: _average(facts),
        "min_response_time_ms": lambda: times[0] if times else None,
        "max_response_time_ms": lambda: times[-1] if times else None,
        "unique_users": lambda: len({fact.user for fact in facts if fact.user is not None}),
    }
    if name in simple:
        return simple[name]()
    if name.endswith("_response_time_ms"):
        # nearest rank: the smallest value such that at least so many percent are not above it
        percent = int(name[1:3])
        return times[-(-percent * len(times) // 100) - 1] if times else None
    return sum(fact.counts.get(name, 0) for fact in facts)


def _rate(facts: Sequence[Fact], *, errors: bool) -> Fraction | None:
    return Fraction(100 * sum(fact.is_error is errors for fact in facts), len(facts)) if facts else None


def _average(facts: Sequence[Fact]) -> Fraction | None:
    times = [fact.response_time for fact in facts if fact.response_time is not None]
    return sum(times, Fraction(0)) / len(times) if times else None


def one_decimal(value: Fraction | None) -> Decimal:
    """A figure as compatible endpoints show it: one decimal, half up; 0 of nothing."""
    if value is None:
        return Decimal(0)
    exact = _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    return exact.quantize(Decimal("0.1"), ROUND_HALF_UP)


def totals(facts: Iterable[Fact]) -> Row:
    """System A's totals of events."""
    facts = list(facts)
    found: Row = {
        "total_tokens": sum(fact.counts.get("total_tokens", 0) for fact in facts),
        "prompt_tokens": sum(fact.counts.get("input_tokens", 0) for fact in facts),
        "completion_tokens": sum(fact.counts.get("output_tokens", 0) for fact in facts),
        "cost_usd": shown(metric("cost", facts, "USD")),
        "cost_rub": shown(metric("cost", facts, "RUB")),
        "requests_count": len(facts),
    }
    for code in ("USD", "RUB"):
        for name, count in left_out_of_costs(facts, code).items():
            found.setdefault(name, {})[code] = count
    return found


def left_out_of_costs(facts: Iterable[Fact], currency: str) -> Row:
    """How many costs are not in a sum or only with an older rate, where there are any."""
    facts = list(facts)
    counts = {
        "unconverted_requests": sum(fact.is_unconverted(currency) for fact in facts),
        "older_rate_requests": sum(fact.has_older_rate(currency) for fact in facts),
    }
    return {name: count for name, count in counts.items() if count}


def _by(facts: Iterable[Fact], name: str) -> dict[str, list[Fact]]:
    groups: dict[str, list[Fact]] = {}
    for fact in facts:
        value = fact.dimension(name)
        if value is not None:
            groups.setdefault(value, []).append(fact)
    return groups
