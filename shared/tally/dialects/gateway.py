"""System D, the API gateway: `POST /api/usage-log`, one call a request, without an id of its own.

Its numbers may be numeric strings, and so may its times in epoch seconds or milliseconds.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from tally import jsontext
from tally.dialects.consistent import consistent
from tally.errors import Malformed
from tally.event import ALIASES, INTEGERS

_WHOLE = re.compile(r"\s*([+-]?\d{1,40})\s*", re.ASCII)
_NUMBER = re.compile(r"\s*([+-]?\d{1,40}(?:\.\d{1,40})?)\s*", re.ASCII)
_NUMBERS = frozenset({"response_time_ms", "time"})


def read(body: bytes, headers: Mapping[str, str]) -> dict[str, object]:
    """The call that the gateway logs; its id is the field `id`, else the header `Idempotency-Key`.

    Raises:
        Malformed: not a JSON object.
    """
    call = jsontext.parse(body)
    if not isinstance(call, dict):
        raise Malformed("Expected one JSON object, the call to log.")
    key = headers.get("idempotency-key")
    if key and call.get("id") is None:
        call["id"] = key
    return consistent({name: _number(ALIASES.get(name, name), value) for name, value in call.items()})


def _number(field: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if field in INTEGERS and (whole := _WHOLE.fullmatch(value)):
        return int(whole[1])
    if field in _NUMBERS and (number := _NUMBER.fullmatch(value)):
        return Decimal(number[1])
    return value
