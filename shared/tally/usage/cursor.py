"""Cursors of pages: where the page before ended, and what all pages of one answer have in common. Pure."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tally.usage.coverage import Span

NOT_A_CURSOR = "expected the next_cursor of an answer"


@dataclass(frozen=True, slots=True)
class Cursor:
    """The end of a page.

    Attributes:
        question: a digest of what was asked; a cursor leads on in the same question only.
        span: the range of the first page: "today" may have become yesterday.
        as_of: the snapshot of the first page, as PostgreSQL writes it: later events do not count.
        after: the values that the last row is ordered by, as texts.
    """

    question: str
    span: Span
    as_of: str
    after: tuple[str | None, ...]

    def __str__(self) -> str:
        bounds = [None if bound is None else bound.isoformat() for bound in (self.span.lower, self.span.upper)]
        text = json.dumps([self.question, *bounds, self.as_of, *self.after], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def digest_of(parameters: Iterable[tuple[str, str]]) -> str:
    """What the pages of one answer have in common: the parameters, in any order."""
    text = json.dumps(sorted(parameters))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_cursor(text: str, question: str) -> Cursor:
    """The cursor that `text` is.

    Raises:
        ValueError: it is none, or that of another question.
    """
    try:
        given, lower, upper, as_of, *after = json.loads(base64.b64decode(_padded(text), b"-_", validate=True))
        bounds = [None if bound is None else datetime.fromisoformat(bound) for bound in (lower, upper)]
        texts = [as_of, *(value for value in after if value is not None)]
        known = all(isinstance(value, str) and "\0" not in value for value in texts)
        aware = all(bound is None or bound.tzinfo is not None for bound in bounds)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError(NOT_A_CURSOR) from None
    if not known or not aware:
        raise ValueError(NOT_A_CURSOR)
    if given != question:
        raise ValueError("this is the next_cursor of another question; all other parameters must stay the same")
    return Cursor(question, Span(*bounds), as_of, tuple(after))


def _padded(text: str) -> bytes:
    return text.encode() + b"=" * (-len(text) % 4)
