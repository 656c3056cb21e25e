"""Prices of the team's own in a file: a list in JSON as the interface takes them, or a table in CSV."""

import csv
import io
from pathlib import Path
from typing import Any

from tally import jsontext
from tally.errors import Malformed, Unprocessable
from tally.http.managing import checked
from tally.pricing.form import PriceForm
from tally.pricing.price import KINDS, Draft

_PLAIN = ("provider", "model", "currency", "valid_from", "per_request", "per_image")
# What answers say of a price besides.
_ANSWERED = frozenset({"id", "origin", "created_at", "created_by", "replaces", "replaced_by", "retired_at"})
COLUMNS = (*_PLAIN[:4], *KINDS, *_PLAIN[4:], "conditions")


def read(path: Path) -> list[Draft]:
    """The prices in a file; one that ends in .csv is a table.

    Raises:
        Malformed: it cannot be read; says why.
        Unprocessable: a price in it cannot be meant; says in which line or place.
    """
    content = path.read_bytes()
    if path.suffix.lower() == ".csv":
        return [_draft(f"line {line}", form) for line, form in _rows(path, content)]
    value = jsontext.parse(content)
    items = value.get("items", value.get("prices")) if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise Malformed(f'{path} has no list of prices: expected [{{…}}, …] or {{"items": [{{…}}, …]}}.')
    return [_draft(f"price {place}", _without_what_is_answered(form)) for place, form in enumerate(items, 1)]


def _rows(path: Path, content: bytes) -> list[tuple[int, dict[str, Any]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"{path} is not in UTF-8: byte {error.start} cannot be read.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="")
    unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
    missing = [name for name in _PLAIN[:4] if name not in (reader.fieldnames or ())]
    if unknown or missing:
        faults = [f"unknown column {name!r}" for name in unknown] + [f"no column {name!r}" for name in missing]
        raise Malformed(f"{path}: {'; '.join(faults)}. Known are {', '.join(COLUMNS)}.")
    rows = []
    for row in reader:
        if reader.restkey in row:
            raise Malformed(f"{path}: line {reader.line_num} has more values than there are columns.")
        rows.append((reader.line_num, _form(row)))
    return rows


def _form(row: dict[str, str]) -> dict[str, Any]:
    """A line as the body of a price. What is empty is not given."""
    given = {name: text.strip() for name, text in row.items() if text and text.strip()}
    form: dict[str, Any] = {name: given[name] for name in _PLAIN if name in given}
    form["per_million"] = {kind: given[kind] for kind in KINDS if kind in given}
    if "conditions" in given:
        pairs = (pair.partition("=") for pair in given["conditions"].split(";"))
        form["conditions"] = {name.strip(): value.strip() for name, _, value in pairs}
    return form


def _without_what_is_answered(form: object) -> object:
    return {name: form[name] for name in form.keys() - _ANSWERED} if isinstance(form, dict) else form


def _draft(where: str, form: object) -> Draft:
    try:
        return checked(PriceForm, form).draft()
    except Unprocessable as error:
        raise Unprocessable(f"{where}: {error.detail}", error.errors) from None
