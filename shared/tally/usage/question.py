"""The question of `GET /v1/usage`: what may be asked, and a question read from its parameters. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

from tally.errors import FieldError, Malformed
from tally.event import parse_time
from tally.usage.coverage import Span
from tally.usage.cursor import NOT_A_CURSOR, Cursor, digest_of, read_cursor
from tally.usage.spec import LABEL
from tally.usage.windows import WINDOWS, LocalWindow, WindowName, start_of_day, windows, zone

METRICS = (
    "requests", "errors", "error_rate", "success_rate", "input_tokens", "output_tokens", "total_tokens",
    "cached_input_tokens", "estimated_tokens",
    "cost", "unpriced_requests", "sent_cost", "list_cost", "compared_requests",
    "avg_response_time_ms", "min_response_time_ms", "max_response_time_ms",
    "p50_response_time_ms", "p90_response_time_ms", "p95_response_time_ms", "p99_response_time_ms", "unique_users",
)  # fmt: skip
DIMENSIONS = (
    "organization_id", "team_id", "user_id", "token", "token_type", "route", "method", "status", "status_class",
    "error_type", "provider", "model", "agent_id", "operation", "platform", "content_type", "task_type", "source",
)  # fmt: skip
DEFAULT_METRICS = ("requests", "total_tokens", "cost")
MAX_LIMIT = 10_000
MAX_LIMIT_OF_FILE = 10**9
MAX_WINDOWS = 50_000
DEFAULT_DAYS = 30
Choice = TypeVar("Choice", bound=str)
_STATUS_CLASS = re.compile(r"[1-5]xx")
_CURRENCY = re.compile(r"[A-Z]{3}")
_PARAMETERS = (
    "metrics", "group_by", "window", "from", "to", "timezone", "currency", "order_by", "limit", "cursor", "fill",
    "format", "explain",
)  # fmt: skip
# Parameters that may differ from page to page.
_OF_A_PAGE = ("cursor", "limit", "explain")
Format = Literal["json", "csv", "ndjson"]
FORMATS: tuple[Format, ...] = ("json", "csv", "ndjson")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        windows: empty for one figure over the whole range.
        limit: rows at most; None is all of them.
        digest: what the cursors of this question carry.
    """

    metrics: tuple[str, ...]
    group_by: tuple[str, ...]
    span: Span
    zone: ZoneInfo
    window: WindowName = "none"
    windows: Sequence[LocalWindow] = ()
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    currency: str = "USD"
    order_by: str | None = None
    limit: int | None = MAX_LIMIT
    cursor: Cursor | None = None
    fill: bool = False
    format: Format = "json"
    explain: bool = False
    digest: str = ""


class Faults:
    """Collects what is wrong with the parameters, so that all of it is told at once."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, parameter: str, message: str, value: str) -> None:
        """One more."""
        self.errors.append({"field": parameter, "message": message, "value": value[:100]})

    def raise_if_any(self) -> None:
        """Raises `Malformed` with all that was collected."""
        if self.errors:
            raise self.error()

    def error(self) -> Malformed:
        """The 400 that tells all that was collected."""
        detail = "; ".join(f"{error['field']}: {error['message']}" for error in self.errors)
        return Malformed(f"Bad parameter. {detail}.", self.errors)


def parse_question(parameters: Iterable[tuple[str, str]], now: datetime) -> Question:
    """The question that the query parameters ask; `now` (UTC) decides which day is today.

    Raises:
        Malformed: names every bad parameter and lists what is allowed.
    """
    faults = Faults()
    given: dict[str, list[str]] = {}
    for name, value in parameters:
        if not (name in _PARAMETERS or is_dimension(name)):
            known = [*_PARAMETERS, *DIMENSIONS]
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)} and {LABEL}NAME"
            faults.add(name[:100], f"is not a parameter; {hint}", value)
        elif "\0" in value:
            faults.add(name, "has a NUL character", "")
        else:
            given.setdefault(name, []).append(value)
    single = {name: values[-1] for name, values in given.items() if name in _PARAMETERS}
    where = _zone(single, faults)
    digest = digest_of((name, value) for name, values in given.items() for value in values if name not in _OF_A_PAGE)
    cursor = _cursor(single, digest, faults)
    metrics = _names(given, "metrics", METRICS, faults) or DEFAULT_METRICS
    group_by = _names(given, "group_by", DIMENSIONS, faults)
    window = _one_of(single, "window", WINDOWS, faults)
    span = cursor.span if cursor else _range(single, where, now, faults)
    cut: list[LocalWindow] = []
    if window != "none" and span.lower and span.upper and not faults.errors:
        for one in windows(span.lower, span.upper, window, where):
            cut.append(one)
            if len(cut) > MAX_WINDOWS:
                faults.add(
                    "window",
                    f"more than {MAX_WINDOWS} windows; take a longer window or a shorter range",
                    window,
                )
                break
    question = Question(
        metrics=metrics,
        group_by=group_by,
        span=span,
        zone=where,
        window=window,
        windows=cut,
        filters=_filters(given, faults),
        currency=_currency(single, faults),
        order_by=_order(single, metrics, group_by, faults),
        limit=_limit(single, faults),
        cursor=cursor,
        fill=_one_of(single, "fill", ("none", "zero"), faults) == "zero",
        format=_one_of(single, "format", FORMATS, faults),
        explain=_one_of(single, "explain", ("false", "true"), faults) == "true",
        digest=digest,
    )
    if question.explain and question.format != "json":
        faults.add("explain", "only an answer in JSON can say how it was made", "true")
    faults.raise_if_any()
    return question


def is_dimension(name: str) -> bool:
    """Whether `name` can be grouped by and filtered on: a dimension or `label:NAME`."""
    return name in DIMENSIONS or (name.startswith(LABEL) and 0 < len(name) - len(LABEL) <= 200)


def bad_cursor() -> Malformed:
    """The 400 for a cursor that somebody made up."""
    faults = Faults()
    faults.add("cursor", NOT_A_CURSOR, "")
    return faults.error()


def parse_zone(name: str) -> ZoneInfo:
    """The zone of parameter `timezone`.

    Raises:
        Malformed: there is no such zone.
    """
    faults = Faults()
    found = _zone({"timezone": name}, faults)
    faults.raise_if_any()
    return found


def _names(given: dict[str, list[str]], parameter: str, allowed: Sequence[str], faults: Faults) -> tuple[str, ...]:
    values = given.pop(parameter, [])
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in allowed and not (allowed is DIMENSIONS and is_dimension(name)):
            labels = f" and {LABEL}NAME" if allowed is DIMENSIONS else ""
            faults.add(parameter, f'"{name[:100]}" is not known; allowed are {", ".join(allowed)}{labels}', name)
    return tuple(dict.fromkeys(names))


def _zone(single: Mapping[str, str], faults: Faults) -> ZoneInfo:
    name = single.get("timezone", "UTC")
    try:
        return zone(name)
    except ValueError as error:
        faults.add("timezone", str(error), name)
        return ZoneInfo("UTC")


def _range(single: Mapping[str, str], where: ZoneInfo, now: datetime, faults: Faults) -> Span:
    today = now.astimezone(where).date()
    upper = _instant(single, "to", where, faults)
    if upper is None:
        upper = start_of_day(today + timedelta(days=1), where)
    lower = _instant(single, "from", where, faults)
    if lower is None:
        last = (upper - timedelta(microseconds=1)).astimezone(where).date()
        lower = start_of_day(last - timedelta(days=DEFAULT_DAYS - 1), where)
    if lower >= upper and not faults.errors:
        faults.add("from", "must be before to (from is included, to is excluded)", lower.isoformat())
    return Span(lower, upper)


def _instant(single: Mapping[str, str], name: str, where: ZoneInfo, faults: Faults) -> datetime | None:
    text = single.get(name)
    if text is None:
        return None
    try:
        return parse_instant(text, where)
    except ValueError as error:
        faults.add(name, str(error), text)
        return None


def parse_instant(text: str, where: ZoneInfo) -> datetime:
    """A parameter's time in UTC: RFC 3339, epoch seconds or milliseconds, or a date, the midnight of `where`.

    Raises:
        ValueError: with what was expected.
    """
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            instant = start_of_day(date.fromisoformat(text), where)
        else:
            # A plus sign that was not escaped in the address arrives as a space.
            instant = parse_time(int(text) if text.isdecimal() else text.replace(" ", "+"))
    except (ValueError, OverflowError):
        raise ValueError("expected a date, or a time with offset such as 2026-05-01T12:00:00Z") from None
    if not 1900 <= instant.year <= 2200:
        raise ValueError("expected a year from 1900 to 2200")
    return instant


def _filters(given: Mapping[str, list[str]], faults: Faults) -> dict[str, tuple[str, ...]]:
    filters: dict[str, tuple[str, ...]] = {}
    for name, values in given.items():
        if name in _PARAMETERS:
            continue
        filters[name] = tuple(dict.fromkeys(values))
        for value in filters[name]:
            if name == "status" and value and not re.fullmatch(r"[1-5]\d\d", value):
                faults.add(name, "expected an HTTP status from 100 to 599", value)
            if name == "status_class" and value and not _STATUS_CLASS.fullmatch(value):
                faults.add(name, "allowed are 1xx, 2xx, 3xx, 4xx, 5xx", value)
    return filters


def _currency(single: Mapping[str, str], faults: Faults) -> str:
    code = single.get("currency", "USD").upper()
    if not _CURRENCY.fullmatch(code):
        faults.add("currency", "expected an ISO 4217 code such as USD", code)
    return code


def _order(single: Mapping[str, str], metrics: Sequence[str], group_by: Sequence[str], faults: Faults) -> str | None:
    order = single.get("order_by")
    allowed = [*metrics, *group_by, "window_start"]
    if order is not None and order.removeprefix("-") not in allowed:
        faults.add("order_by", f"allowed are {', '.join(allowed)}, with - before it for the largest first", order)
    return order


def _limit(single: Mapping[str, str], faults: Faults) -> int | None:
    """Rows at most; without a limit, JSON has as many as a page may have, and other formats have all."""
    is_file = single.get("format", "json") != "json"
    if "limit" not in single and is_file:
        return None
    most = MAX_LIMIT_OF_FILE if is_file else MAX_LIMIT
    text = single.get("limit", str(MAX_LIMIT))
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= most:
        faults.add("limit", f"expected a whole number from 1 to {most}", text)
        return MAX_LIMIT
    return int(text)


def _cursor(single: Mapping[str, str], digest: str, faults: Faults) -> Cursor | None:
    text = single.get("cursor")
    try:
        return None if text is None else read_cursor(text, digest)
    except ValueError as error:
        faults.add("cursor", str(error), text or "")
        return None


def _one_of(single: Mapping[str, str], parameter: str, allowed: Sequence[Choice], faults: Faults) -> Choice:
    """The value of a parameter with few; the first is the default."""
    value = single.get(parameter, allowed[0])
    if value not in allowed:
        faults.add(parameter, f"allowed are {', '.join(allowed)}", value)
        return allowed[0]
    return value  # type: ignore[return-value]
