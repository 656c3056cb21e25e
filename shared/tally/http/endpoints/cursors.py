"""Cursors of lists that are in the order of a text: where the next page begins, in a form that nobody builds on."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def cursor_behind(text: str | None) -> str | None:
    """The `next_cursor` of a page whose last item is in the place of `text`; None where no page follows."""
    return None if text is None else urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _text_of(cursor: object) -> str:
    try:
        text = urlsafe_b64decode(f"{cursor}{'=' * (-len(str(cursor)) % 4)}".encode("ascii")).decode()
    except ValueError:
        text = ""
    if not text or "\0" in text or cursor_behind(text) != cursor:
        raise PydanticCustomError("cursor", "expected the next_cursor of an answer")
    return text


# The text that a cursor stands for.
Cursor = Annotated[str, BeforeValidator(_text_of)]
