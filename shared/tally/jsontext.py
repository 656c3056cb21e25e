"""JSON in and out, exactly: numbers become `int` or `Decimal`, never a float.

Strict RFC 8259 in UTF-8: no NaN, no infinities, no lone surrogates. Nesting is limited to 32.
"""

from decimal import Context, Decimal
from typing import Any

import jiter
import orjson

from tally.errors import Malformed

MAX_DEPTH = 32
_TEN_DECIMALS = Decimal("1e-10")
_EXACT = Context(prec=120)


def parse(text: bytes) -> Any:
    """The value that `text` holds.

    Raises:
        Malformed: not JSON, not UTF-8, or nested deeper than 32.
    """
    try:
        value = jiter.from_json(text, allow_inf_nan=False, float_mode="decimal", cache_mode="keys")
    except ValueError as error:
        raise Malformed(f"The body is not valid JSON in UTF-8: {error}.") from error
    # Nothing is nested deeper than it has opening brackets; most bodies have few, and need no walk.
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _too_deep(value, MAX_DEPTH):
        raise Malformed(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    return value


def dump(value: object) -> bytes:
    """`value` as compact JSON, every digit of a `Decimal` kept."""
    return orjson.dumps(value, default=_exactly)


def dump_answer(value: object) -> bytes:
    """`value` as compact JSON for clients: a `Decimal` with up to 10 decimals, times with their offset."""
    return orjson.dumps(value, default=_to_ten_decimals)


def has_nul(value: object) -> bool:
    """Whether a string anywhere in `value`, keys included, has a NUL character, which PostgreSQL cannot store."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(has_nul, value))


def _too_deep(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    if levels == 0:
        return True
    for item in value:  # noqa: SIM110 - every body passes here, and any() takes twice as long
        if isinstance(item, (dict, list)) and _too_deep(item, levels - 1):
            return True
    return False


def _exactly(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _to_ten_decimals(value: object) -> object:
    if isinstance(value, Decimal):
        rounded = value.quantize(_TEN_DECIMALS, context=_EXACT).normalize(_EXACT)
        return orjson.Fragment(format(rounded or Decimal(0), "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form")
