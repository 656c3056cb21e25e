"""Many prices at once: what a list of them would change in the book, and the change. The book's first prices, too.

The team's own list says what holds from which time on. That of the data set says what holds now, and dates some
changes: where a price differs and nothing says since when, the new one holds from a time that the caller gives.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from tally import audit, prices
from tally.database import Store, array_text, statement
from tally.errors import Unprocessable
from tally.prices import KIND, Stored
from tally.pricing import dataset
from tally.pricing.price import OWN, Draft
from tally.principal import Principal
from tally.settings import Settings

_EVERY = 1_000_000
_Names = tuple[str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """A price that becomes another: `before` is what would have held at the same time, retired if it begins then."""

    before: Stored
    after: Draft

    @property
    def corrects(self) -> bool:
        """Whether it takes the place of the one before, rather than follow it."""
        return self.before.draft.valid_from == self.after.valid_from


@dataclass(slots=True)
class Difference:
    """What a list would change: `gone` are in the book and not in the list, and stay."""

    new: list[Draft] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unchanged: int = 0
    gone: list[Stored] = field(default_factory=list)


def own_difference(connection: Connection, drafts: Iterable[Draft]) -> Difference:
    """What a list of the team's own prices would change: each is a version that begins at its own time.

    Raises:
        Unprocessable: two of them are versions of the same price that begin at the same time.
    """
    found = Difference()
    known = {(_names(one.draft), one.draft.valid_from): one for one in _in_force(connection, own=True)}
    seen: set[tuple[_Names, datetime]] = set()
    for draft in drafts:
        version = (_names(draft), draft.valid_from)
        if version in seen:
            names = f"{draft.provider} {draft.model} from {draft.valid_from.isoformat()}"
            raise Unprocessable(f"The list has two prices of {names}; which of them holds cannot be said.")
        seen.add(version)
        before = known.pop(version, None)
        if before is None:
            found.new.append(draft)
        elif _terms(before.draft) != _terms(draft):
            found.changed.append(Change(before, draft))
        else:
            found.unchanged += 1
    found.gone = list(known.values())
    return found


def data_set_difference(connection: Connection, changed_from: datetime) -> Difference:
    """What the installed data set would change; its changes without a date hold from `changed_from` (UTC)."""
    found = Difference()
    known: defaultdict[_Names, list[Stored]] = defaultdict(list)
    for one in _in_force(connection, own=False):
        known[_names(one.draft)].append(one)
    listed: defaultdict[_Names, list[Draft]] = defaultdict(list)
    for draft in (*dataset.own_rows(), *dataset.rows()):
        listed[_names(draft)].append(draft)
    for names, versions in listed.items():
        before = known.pop(names, None)
        if before is None:
            found.new += versions
        elif changes := list(_changes(before, versions, changed_from)):
            found.changed += changes
        else:
            found.unchanged += len(versions)
    found.gone = [one for versions in known.values() for one in versions]
    return found


def apply(connection: Connection, actor: Principal, difference: Difference, subject: str) -> None:
    """Makes the change, all of it or nothing. `subject` says in the audit log where it came from.

    The difference must have been found in the same transaction, behind `prices.turn`.
    """
    if not difference.new and not difference.changed:
        return
    corrected = {place: change.before.id for place, change in enumerate(difference.changed) if change.corrects}
    connection.execute(statement("prices", "retire"), {"ids": array_text(corrected.values())})
    drafts = [change.after for change in difference.changed]
    added = prices.insert(connection, actor, [*drafts, *difference.new], corrected)
    after = {"changed": len(difference.changed), "new": len(difference.new), "ids": [one.id for one in added]}
    audit.write(connection, actor, "import", KIND, subject, before={"corrected": [*corrected.values()]}, after=after)


def seed(settings: Settings) -> int:
    """Gives a book that never had any the prices of the data set and of Tally. Returns how many.

    Raises:
        StoreUnavailable: the database is away.
    """
    store = Store(settings, "tally prices", pool_size=1)
    actor = Principal("", "tally migrate", frozenset())
    try:
        with store.transaction() as connection:
            if connection.execute(statement("prices", "has_list")).scalar_one():
                return 0
            prices.turn(connection)
            if connection.execute(statement("prices", "has_list")).scalar_one():  # of who was quicker
                return 0
            difference = Difference(new=[*dataset.own_rows(), *dataset.rows()])
            apply(connection, actor, difference, dataset.origin())
            return len(difference.new)
    finally:
        store.dispose()


def _in_force(connection: Connection, *, own: bool) -> Iterator[Stored]:
    for one in prices.page(connection, rows=_EVERY):
        if (one.draft.origin == OWN) == own:
            yield one


def _names(draft: Draft) -> _Names:
    return draft.provider.lower(), draft.model.lower(), tuple(sorted(draft.conditions.items()))


def _terms(draft: Draft) -> tuple[str, dict[str, object]]:
    return draft.currency, draft.rates.form()


def _changes(before: Sequence[Stored], listed: Sequence[Draft], changed_from: datetime) -> Iterator[Change]:
    """What makes the versions `before` say the same as `listed` from `changed_from` on, and at each dated start."""
    known = sorted(before, key=lambda one: one.draft.valid_from)
    wanted = sorted(listed, key=lambda draft: draft.valid_from)
    starts = [draft.valid_from for draft in wanted]
    moments = {changed_from, *(start for start in starts if start > dataset.UNDATED)}
    moments |= {one.draft.valid_from for one in known if one.draft.valid_from > changed_from}
    now: Draft | None = None  # the last change, which holds until the next version that is known
    for moment in sorted(moments):
        place = bisect_right(starts, moment)
        standing = [one for one in known if one.draft.valid_from <= moment]
        if not place or not standing:
            continue
        last = standing[-1]
        holds = now if now is not None and now.valid_from > last.draft.valid_from else last.draft
        draft = wanted[place - 1]._replace(valid_from=moment)
        if _terms(holds) != _terms(draft):
            now = draft
            yield Change(last, draft)
