"""Search in topics, user names and the names of tokens: any part of the text, any case, any script.

What is found is decided by comparing the texts themselves, folded to lower case. So that few need to be compared, the
index `usage_events_search` (migration 0003_event_search) knows each event's trigrams of letters, where Cyrillic ones
stand as Latin, and each sign of another script by itself. Under the "C" character type, which the embedded server
has, trigrams know no other letters than Latin ones; and a Chinese word is shorter than a trigram.
"""

import re
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from tally.cubes import usage_events
from tally.database import statement

_TOPIC, _USER_NAME = usage_events.c.topic, usage_events.c.user_name
# Whether the index can tell anything about a text: by letters, by signs.
_LETTERS = re.compile(r"[0-9a-zа-яё]{3}")
_SIGNS = re.compile(r"[^\x01-\x7fа-яё]")
_WILDCARDS = re.compile(r"[%_\\]")


@dataclass(frozen=True, slots=True)
class Search:
    """A text, and the keys of the tokens that have it in their names."""

    text: str
    token_keys: tuple[int, ...]


def search(connection: Connection, text: str) -> Search:
    """A search for `text`."""
    rows = connection.execute(statement("search", "tokens_named"), {"text": text})
    return Search(text, tuple(row.key for row in rows))


def found_by(wanted: Search) -> ColumnElement[bool]:
    """Whether an event is found."""
    text = bindparam(None, wanted.text, type_=Text())
    folded = func.lower(text)
    in_texts = or_(*(func.strpos(func.lower(of), folded) > 0 for of in (_TOPIC, _USER_NAME)))
    condition = and_(or_(_TOPIC.is_not(None), _USER_NAME.is_not(None)), *_indexed(wanted.text), in_texts)
    return or_(condition, usage_events.c.token_key.in_(wanted.token_keys)) if wanted.token_keys else condition


def _indexed(text: str) -> list[ColumnElement[bool]]:
    """What the index knows of every event whose topic or user name has `text` in it."""
    searched = func.search_text(_TOPIC, _USER_NAME)
    likely: list[ColumnElement[bool]] = []
    if _LETTERS.search(text.lower()):
        literally = _WILDCARDS.sub(r"\\\g<0>", text)
        pattern = func.lower(bindparam(None, f"%{literally}%", type_=Text()))
        likely.append(func.search_letters(searched).like(func.search_letters(pattern)))
    if _SIGNS.search(text.lower()):
        signs = func.search_signs(func.lower(bindparam(None, text, type_=Text())), type_=ARRAY(Text))
        likely.append(func.search_signs(searched, type_=ARRAY(Text)).contains(signs))
    return likely
