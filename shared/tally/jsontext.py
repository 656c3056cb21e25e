"""JSON in and out, exactly: numbers become `int` or `Decimal`, never a float.

Strict RFC 8259 in UTF-8: no NaN, no infinities, no lone surrogates. Nesting is limited to 32.
"""

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any

import jiter
import orjson

from tally.errors import Malformed

MAX_DEPTH = 32
_TOO_DEEP = f"The JSON is nested deeper than {MAX_DEPTH} levels."
_TEN_DECIMALS = Decimal("1e-10")
_EXACT = Context(prec=120)


def parse(text: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The value that `text` holds.

    Raises:
        Malformed: not JSON, not UTF-8, or nested deeper than `max_depth`.
    """
    try:
        value = jiter.from_json(text, allow_inf_nan=False, float_mode="decimal", cache_mode="keys")
    except ValueError as error:
        raise Malformed(_fault_of(str(error))) from error
    # A list of flat objects opens one bracket for each and one for itself; only what opens more needs a walk.
    flat = 1 + (len(value) if isinstance(value, list) else 0)
    if text.count(b"{") + text.count(b"[") > max(flat, max_depth) and is_deeper(value, max_depth):
        raise Malformed(_TOO_DEEP)
    return value


def dump(value: object) -> bytes:
    """`value` as compact JSON, every digit of an `int` or a `Decimal` kept."""
    try:
        return orjson.dumps(value, default=_exactly)
    except orjson.JSONEncodeError:
        return orjson.dumps(_with_long_integers(value), default=_exactly)


def dump_answer(value: object) -> bytes:
    """`value` as compact JSON for clients: a `Decimal` with up to 10 decimals, times with their offset."""
    try:
        return orjson.dumps(value, default=_to_ten_decimals)
    except orjson.JSONEncodeError:
        return orjson.dumps(_with_long_integers(value), default=_to_ten_decimals)


def raw(text: str) -> object:
    """JSON text that is part of an answer as it is, with every digit of its numbers."""
    return orjson.Fragment(text)


def nul_in(value: object) -> str | None:
    """Where in `value` a string or a key has a NUL character, which PostgreSQL cannot store: names joined by dots."""
    if isinstance(value, str):
        return "" if "\0" in value else None
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for name, item in items:
        if isinstance(name, str) and "\0" in name:
            return name.replace("\0", "\N{SYMBOL FOR NULL}")
        where = nul_in(item)
        if where is not None:
            return f"{name}.{where}" if where else str(name)
    return None


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and arrays in `value` are nested deeper than `levels`."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    if levels == 0:
        return True
    for item in value:  # noqa: SIM110 - every body passes here, and any() takes twice as long
        if isinstance(item, (dict, list)) and is_deeper(item, levels - 1):
            return True
    return False


def _exactly(value: object) -> object:
    if isinstance(value, Decimal):
        # Not in full: 1e999999999 is 11 bytes in, and would be a gigabyte of zeros out.
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _with_long_integers(value: object) -> object:
    """`value` with integers that orjson refuses, those above 64 bits, as text of their digits."""
    if isinstance(value, dict):
        return {name: _with_long_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_long_integers(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return orjson.Fragment(str(value))
    return value


def _fault_of(message: str) -> str:
    if message.startswith("recursion limit"):
        return _TOO_DEEP
    if message.startswith("Internal error"):
        return "The body is not valid JSON in UTF-8: number out of range."
    return f"The body is not valid JSON in UTF-8: {message}."


def _to_ten_decimals(value: object) -> object:
    if isinstance(value, Decimal):
        rounded = value.quantize(_TEN_DECIMALS, context=_EXACT).normalize(_EXACT)
        return orjson.Fragment(format(rounded or Decimal(0), "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form")
