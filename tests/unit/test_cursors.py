"""A cursor stands for the text that a page ends with, and no other text stands for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tally.http.endpoints.cursors import Cursor, cursor_behind

CURSORS: TypeAdapter[str] = TypeAdapter(Cursor)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_a_cursor_is_read_as_the_text_that_it_was_made_of(text: str) -> None:
    assert CURSORS.validate_python(cursor_behind(text)) == text


@given(st.text(max_size=8))
def test_any_other_text_is_refused_or_a_cursor(text: str) -> None:
    try:
        behind = CURSORS.validate_python(text)
    except ValidationError:
        return
    assert cursor_behind(behind) == text


@pytest.mark.parametrize("text", ["", "=", "AA", "_w", "YQ==", "YQ=", "Y", "YR", "é", "Y Q", "\0"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="next_cursor"):
        CURSORS.validate_python(text)


def test_no_page_follows_without_a_cursor() -> None:
    assert cursor_behind(None) is None
