"""The usage event: its fields, their limits, and how one is read from what a client sent.

Pure: no clock, no database. Who sent it and when it came are arguments.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, with_config
from pydantic import ValidationError as PydanticError
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from tally.errors import FieldError, TallyError

MAX_EVENT_BYTES = 64 * 1024
# As published: ingest adds an id, a source and whom the token is bound to.
MAX_PUBLISHED_EVENT_BYTES = MAX_EVENT_BYTES + 1024
MAX_AHEAD = timedelta(minutes=10)
MAX_INTEGER = 10**15
MAX_LABELS = 50
_MAX_DECIMALS = 30
# A number written with so few characters and no exponent is within all bounds.
_PLAIN = 15
# Numbers in metadata; PostgreSQL's jsonb takes more, JSON readers of clients do not.
_MAX_METADATA_MAGNITUDE = 300
_MAX_METADATA_INTEGER = 10**300
_MAX_METADATA_DECIMALS = 1000
_HINTS_AN_EVENT = 5
_LONGEST_MISSPELT = 60
_EPOCH_MILLISECONDS_ABOVE = 10**11
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
# How long after its receipt an event may be published, and how far Pub/Sub's clock may be behind that of ingest.
_PUBLISHED_LATER = timedelta(minutes=5)
_CLOCKS_DIFFER = timedelta(seconds=30)


class InvalidEvent(TallyError):
    """An event that cannot be taken; `errors` says for each field why."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error['field']}: {error['message']}" for error in errors))
        self.errors = errors


def parse_time(value: object) -> datetime:
    """A time in UTC from RFC 3339 text, a date (its UTC midnight), or epoch seconds or milliseconds.

    Raises:
        ValueError: it is none of these, or has no offset.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(f"{value[:-1]}Z" if value.endswith("z") else value)
        except ValueError:
            raise ValueError("is not a time; expected RFC 3339 such as 2026-05-01T12:00:00Z") from None
        if moment.tzinfo is None:
            if not _DATE.fullmatch(value):
                raise ValueError("has no offset; expected RFC 3339 such as 2026-05-01T12:00:00Z")
            return moment.replace(tzinfo=UTC)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise ValueError("is out of range") from None
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        number = Decimal(value)
        if number.adjusted() > 15 or abs(number) > MAX_INTEGER:
            raise ValueError("is out of range")
        try:
            seconds = number / (1000 if abs(number) > _EPOCH_MILLISECONDS_ABOVE else 1)
            return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(seconds * 1_000_000))
        except OverflowError:
            raise ValueError("is out of range") from None
    raise ValueError("expected a time: RFC 3339 text, or epoch seconds or milliseconds")


def _time(value: object) -> datetime:
    try:
        return parse_time(value)
    except ValueError as error:
        raise PydanticCustomError("time", "{reason}", {"reason": str(error)}) from None


def _decimal(value: object) -> Decimal:
    if isinstance(value, str):
        value = Decimal(value) if _DECIMAL.fullmatch(value) else None
    elif isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise PydanticCustomError("decimal", "expected a decimal number such as 0.0125")
    text = str(value)
    if len(text) <= _PLAIN and "E" not in text:
        return value
    exponent = cast(int, value.as_tuple().exponent)
    if exponent < -_MAX_DECIMALS or value.adjusted() > 15 or abs(value) > MAX_INTEGER:
        raise PydanticCustomError("decimal", "expected at most 10^15 and at most 30 decimals")
    return value


def _number(value: object) -> object:
    if isinstance(value, str):
        raise PydanticCustomError("number", "expected a number, not a string")
    return _decimal(value)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Text = Annotated[str, StringConstraints(strict=True, max_length=2000)]
Name = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_INTEGER)]
Money = Annotated[Decimal, BeforeValidator(_decimal)]


@with_config(ConfigDict(extra="forbid"))
class Cost(TypedDict):
    """What a call cost: a decimal amount in an ISO 4217 currency. Negative is a credit."""

    amount: Money
    currency: Annotated[str, StringConstraints(strict=True, to_upper=True, pattern=r"^[A-Za-z]{3}$")]


@with_config(ConfigDict(extra="forbid"))
class UsageEvent(TypedDict, total=False):
    """One call of an API or a model. Times are UTC; token counts are integers; money is `Decimal`."""

    id: Name
    source: Name
    time: Annotated[datetime, BeforeValidator(_time)]
    organization_id: Text
    team_id: Text
    user_id: Text
    user_name: Text
    token_hash: Annotated[str, StringConstraints(strict=True, to_lower=True, pattern=r"^[0-9a-fA-F]{64}$")]
    token_type: Text
    route: Text
    method: Annotated[Text, BeforeValidator(_upper)]  # before its length is looked at: a capital may be longer
    status: Annotated[int, Field(strict=True, ge=100, le=599)]
    response_time_ms: Annotated[Decimal, BeforeValidator(_number), Field(ge=0)]
    error_message: Annotated[str, StringConstraints(strict=True, max_length=10_000)]
    error_type: Text
    ip_address: Text
    user_agent: Text
    provider: Text
    model: Text
    agent_id: Text
    operation: Text
    input_tokens: Count
    output_tokens: Count
    total_tokens: Count
    cached_input_tokens: Count
    cache_write_tokens: Count
    reasoning_tokens: Count
    input_text_length: Count
    output_text_length: Count
    cost: Cost
    cost_usd: Money
    cost_rub: Money
    workflow_id: Text
    content_id: Text
    request_id: Text
    platform: Text
    content_type: Text
    task_type: Text
    topic: Text
    labels: Annotated[
        dict[
            Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)],
            Annotated[str, StringConstraints(strict=True, max_length=2000)],
        ],
        Field(max_length=MAX_LABELS),
    ]
    request_metadata: dict[str, Any]
    response_metadata: dict[str, Any]


FIELDS = frozenset(UsageEvent.__annotations__)
ALIASES: Mapping[str, str] = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "endpoint": "route",
    "route_path": "route",
    "response_status": "status",
    "status_code": "status",
    "request_method": "method",
    "execution_time_ms": "response_time_ms",
    "timestamp": "time",
    "used_at": "time",
    "created_at": "time",
    "ai_provider": "provider",
    "ai_model": "model",
    "operation_type": "operation",
}
TOKEN_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
SUBJECTS = frozenset({"route", "model", "operation", *TOKEN_COUNTS})
INTEGERS = frozenset(name for name, kind in UsageEvent.__annotations__.items() if kind is Count or name == "status")
_NOT_GIVEN = (None, "")
_METADATA = ("request_metadata", "response_metadata")
# Fields that may contradict others; an event without them has only its time and its subject to be looked at.
_COMPARED = frozenset({"cached_input_tokens", "cost", *_METADATA})
_ADAPTER = TypeAdapter(UsageEvent)


@dataclass(frozen=True, slots=True)
class Window:
    """The times that are taken: from `oldest` (the raw retention) to `latest` (ten minutes ahead)."""

    oldest: datetime
    latest: datetime

    @classmethod
    def around(cls, publish_time: datetime, retention_days: int) -> "Window":
        """The times that are taken for what was published at `publish_time`: all that ingest took just before."""
        strict = cls.at_receipt(publish_time, retention_days)
        return cls(strict.oldest - _PUBLISHED_LATER, strict.latest + _CLOCKS_DIFFER)

    @classmethod
    def at_receipt(cls, received_at: datetime, retention_days: int) -> "Window":
        """The times that are taken for what a client sent and came at `received_at`."""
        return cls(received_at - timedelta(days=retention_days), received_at + MAX_AHEAD)


def parse_event(raw: object, window: Window) -> UsageEvent:
    """The event that `raw` (parsed JSON) describes, under canonical names, with only the fields given.

    `null` and an empty text count as not given.

    Raises:
        InvalidEvent: with every fault that was found.
    """
    if not isinstance(raw, dict):
        raise InvalidEvent([{"field": "", "message": "expected an event: a JSON object"}])
    if not raw.keys() <= FIELDS:
        raw = _under_canonical_names(raw)
    values = raw.values()
    if None in values or "" in values:
        if raw.get("id") == "":
            raise InvalidEvent([_fault("id", "must not be empty", "")])
        raw = {name: value for name, value in raw.items() if value is not None and value != ""}
    try:
        event = _ADAPTER.validate_python(raw)
    except PydanticError as error:
        raise InvalidEvent([_fault_of(fault) for fault in error.errors(include_url=False)]) from None
    time = event.get("time")
    plain = _COMPARED.isdisjoint(event) and not SUBJECTS.isdisjoint(event)
    if plain and (time is None or window.oldest <= time <= window.latest):
        return event
    if faults := [*_contradictions(event, window)]:
        raise InvalidEvent(faults)
    return event


def _under_canonical_names(raw: dict[str, object]) -> dict[str, object]:
    faults: list[FieldError] = []
    event: dict[str, object] = {}
    for name, value in raw.items():
        field = ALIASES.get(name, name)
        if field not in FIELDS:
            near = nearest_name(name[: _LONGEST_MISSPELT + 1]) if len(faults) < _HINTS_AN_EVENT else None
            hint = f'; did you mean "{near}"?' if near else "; put what is your own into labels"
            faults.append(_fault(name[:200], f"is not a field of a usage event{hint}", value))
        elif event.get(field) in _NOT_GIVEN:
            event[field] = value
        elif value not in _NOT_GIVEN and event[field] != value:
            faults.append(_fault(name, f"differs from the value given under another name of {field}", value))
    if faults:
        raise InvalidEvent(faults)
    return event


@cache
def _names() -> tuple[str, ...]:
    return (*FIELDS, *ALIASES)


@lru_cache(maxsize=1024)
def nearest_name(name: str) -> str | None:
    """The field or alias that a misspelt name may have meant. Remembered: the same client errs a thousand times."""
    if len(name) > _LONGEST_MISSPELT:
        return None
    near = get_close_matches(name, _names(), n=1, cutoff=0.6)
    return near[0] if near else None


def _contradictions(event: UsageEvent, window: Window) -> Iterable[FieldError]:
    if SUBJECTS.isdisjoint(event):
        message = "an event names at least one of route, model, operation or a token count"
        yield {"field": "", "message": message}
    time = event.get("time")
    if time is not None:
        if time > window.latest:
            yield _fault("time", "is more than 10 minutes ahead", time.isoformat())
        elif time < window.oldest:
            yield _fault("time", "is older than the raw events that are kept", time.isoformat())
    cached = event.get("cached_input_tokens", 0)
    if cached > event.get("input_tokens", 0):
        yield _fault("cached_input_tokens", "is above input_tokens, which include them", cached)
    cost = event.get("cost")
    if cost is not None:
        name = f"cost_{cost['currency'].lower()}"
        if event.get(name, cost["amount"]) != cost["amount"]:
            yield _fault(name, f"differs from cost, which is in {cost['currency']} too", str(event.get(name)))
    for name in _METADATA:
        if name in event and not _finite(event.get(name)):
            yield _fault(name, "holds a number that is out of range")


def _finite(value: object) -> bool:
    if isinstance(value, Decimal):
        exponent = cast(int, value.as_tuple().exponent)
        return abs(value.adjusted()) < _MAX_METADATA_MAGNITUDE and exponent >= -_MAX_METADATA_DECIMALS
    if isinstance(value, int):
        return abs(value) < _MAX_METADATA_INTEGER
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, list) or all(map(_finite, value))


def _fault(field: str, message: str, value: object = None) -> FieldError:
    fault: FieldError = {"field": field, "message": message}
    if value is not None:
        fault["value"] = _shown(value)
    return fault


def _shown(value: object) -> object:
    """What is safe and short enough to send back: a value that is not a small scalar is only described."""
    if isinstance(value, str):
        return value if len(value) <= 100 else f"{value[:100]}…"
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= 2**53):
        return value
    if isinstance(value, (int, Decimal)):
        text = str(value)
        return text if len(text) <= 100 else f"{text[:100]}…"
    return f"({type(value).__name__})"


_EXPECTED = {
    "string_type": "expected a string",
    "int_type": "expected an integer",
    "dict_type": "expected an object",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
}


def _fault_of(fault: Any) -> FieldError:
    field = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    message = _EXPECTED.get(fault["type"]) or fault["msg"]
    if fault["type"] == "string_pattern_mismatch":
        what = "64 hexadecimal digits (a SHA-256)" if field == "token_hash" else "a currency code of three letters"
        message = f"expected {what}"
    return _fault(field, message, fault["input"])
