"""Between the texts that people ask with and the keys that events are stored with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tally import jsontext
from tally.database import array_text, run_prepared, statements
from tally.dimensions import KIND_OF_FIELD, digest
from tally.usage.spec import LABEL, STATUS_CLASS

# No key is negative: a filter on a value that no event ever had finds nothing.
UNKNOWN_KEY = -1
_KIND_OF_DIMENSION = {**KIND_OF_FIELD, "token": "token"}


@dataclass(frozen=True, slots=True)
class Known:
    """A dimension value; tokens with what they are registered as."""

    value: str
    token_id: str | None = None
    token_name: str | None = None
    team_id: str | None = None


def column_of(dimension: str) -> str:
    """The column or expression of `engine.Spec` that a dimension is grouped and filtered by."""
    kind = _KIND_OF_DIMENSION.get(dimension)
    return dimension if kind is None else f"{kind}_key"


def filter_keys(connection: Connection, filters: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """The filters of `engine.Spec`: by column the keys, statuses or label values. An empty text is "no value"."""
    keys: dict[str, list[Any]] = {column_of(name): [] for name in filters}
    wanted: list[dict[str, object]] = []
    columns: list[str] = []
    for name, values in filters.items():
        found = keys[column_of(name)]
        found += [None for value in values if value == ""]
        texts = [value for value in values if value != ""]
        if name == STATUS_CLASS:
            found += [int(value[0]) for value in texts]
        elif name == "status":
            found += [int(value) for value in texts]
        elif name.startswith(LABEL):
            found += texts
        else:
            for text in (_stored(name, text) for text in texts):
                wanted.append({"position": len(wanted), "kind": _KIND_OF_DIMENSION[name], "digest": digest(text)})
                columns.append(column_of(name))
    if wanted:
        parameters = {"wanted": jsontext.dump(wanted).decode()}
        for position, key in run_prepared(connection, statements("query")["keys_of_values"], parameters):
            keys[columns[position]].append(key)
    return {column: found or [UNKNOWN_KEY] for column, found in keys.items()}


def scoped_key(connection: Connection, kind: str, text: str, scope: int = 0) -> int:
    """The key of one value, or `UNKNOWN_KEY`."""
    parameters = {"kind": kind, "digest": digest(text), "scope": str(scope)}
    found = run_prepared(connection, statements("query")["key_of_scoped_value"], parameters)
    return found[0][0] if found else UNKNOWN_KEY


def known_values(connection: Connection, keys: Iterable[int]) -> dict[int, Known]:
    """What keys stand for."""
    wanted = sorted({key for key in keys if key > 0})
    if not wanted:
        return {}
    rows = run_prepared(connection, statements("query")["values_of_keys"], {"keys": array_text(wanted)})
    return {key: Known(*of_key) for key, *of_key in rows}


def _stored(dimension: str, text: str) -> str:
    """A filter's text as events hold it."""
    if dimension == "method":
        return text.upper()
    return text.lower() if dimension == "token" else text
