"""The statements that add events to cubes, composed from what the cubes are. One statement adds to all of them."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from tally.cubes import (
    COST_CUBES,
    CUBES,
    FINE_FIRST,
    IS_BILLED,
    MEASURES,
    Cube,
    Grain,
    Measure,
    bucket_of,
    detailed_users,
    key_of_event,
    usage_events,
)


@cache
def folding() -> Select[Any]:
    """Adds the events from `low` up to `high` to every cube, and returns how many they are."""
    return _folding(usage_events.c.txid >= bindparam("low"), usage_events.c.txid < bindparam("high"), cubes=CUBES)


@cache
def folding_of_detailed_users() -> Select[Any]:
    """Adds the events of `users` up to `high` to the detailed cubes."""
    users = usage_events.c.user_key == func.any(bindparam("users", type_=ARRAY(Integer)))
    detailed = [cube for cube in CUBES if cube.detailed]
    return _folding(users, usage_events.c.txid < bindparam("high"), cubes=detailed)


@cache
def folding_of_costs(*, takes_off: bool) -> Select[Any]:
    """Adds what events cost to the cubes of costs, or takes it off them: those of `seqs`, from `first` to `last`.

    Only of those that are folded, up to `high`. Returns how many they are.
    """
    time = usage_events.c.time
    which = (
        usage_events.c.seq == func.any(bindparam("seqs", type_=ARRAY(BigInteger))),
        time >= bindparam("first"),
        time <= bindparam("last"),
        usage_events.c.txid < bindparam("high"),
    )
    return _folding(*which, cubes=COST_CUBES, sign=-1 if takes_off else 1)


def _folding(*which: ColumnElement[bool], cubes: Sequence[Cube], sign: int = 1) -> Select[Any]:
    """Adds events to cubes (with `sign` -1: takes them off again, where all measures are sums). Returns how many.

    One statement: the columns of an event that count are computed once and kept for all cubes, and the cubes of a
    family share the sums that they are made of.
    """
    needed = {measure.name for cube in cubes for measure in cube.measures}
    events = (
        select(
            *(key_of_event(key).label(key) for key in dict.fromkeys(key for cube in cubes for key in cube.keys)),
            bucket_of("hour", usage_events.c.time).label("bucket"),
            *(_signed(measure, sign).label(measure.name) for measure in MEASURES if measure.name in needed),
            IS_BILLED.label("is_billed"),
        )
        .where(*which)
        .cte("events")
        .prefix_with("MATERIALIZED")
    )
    families: dict[str, list[Cube]] = {}
    for cube in cubes:
        families.setdefault(cube.family, []).append(cube)
    count = select(func.count()).select_from(events)
    for family in families.values():
        for cube, rows in _added_rows(family, events):
            count = count.add_cte(_adding(cube, rows))
    return count


def _signed(measure: Measure, sign: int) -> ColumnElement[Any]:
    return measure.of_event if sign == 1 else measure.of_event * literal_column(str(sign))


def _added_rows(family: Sequence[Cube], events: CTE) -> Iterator[tuple[Cube, CTE]]:
    """What the events add to each cube of a family, a row for each bucket and its keys."""
    sums = _sums_of_family(family, events)
    for cube in family:
        if len(family) == 1:
            yield cube, sums
            continue
        figures = [measure.aggregate(sums.c[measure.name]).label(measure.name) for measure in cube.measures]
        rows = _grouped(sums, cube.grain, cube.keys, figures)
        if cube.detailed:
            rows = rows.where(_is_detailed(sums))
        yield cube, rows.cte(f"{cube.table.name}_rows")


def _sums_of_family(family: Sequence[Cube], events: CTE) -> CTE:
    """The sums of events that all cubes of a family can be made of: by the finest bucket and every key of theirs."""
    grain = min((cube.grain for cube in family), key=FINE_FIRST.index)
    keys = dict.fromkeys(key for cube in family for key in cube.keys)
    needed = {measure.name for cube in family for measure in cube.measures}
    figures = [
        measure.aggregate_events(events.c[measure.name]).label(measure.name)
        for measure in MEASURES
        if measure.name in needed
    ]
    sums = _grouped(events, grain, [*keys], figures)
    if family[0].of == "costs":
        sums = sums.where(events.c.is_billed)
    if all(cube.detailed for cube in family):
        sums = sums.where(_is_detailed(events))
    return sums.cte(f"{family[0].family}_sums")


def _grouped(rows: CTE, grain: Grain, keys: Sequence[str], figures: Sequence[ColumnElement[Any]]) -> Select[Any]:
    bucket = bucket_of(grain, rows.c.bucket)
    of_keys = [rows.c[key] for key in keys]
    return select(bucket.label("bucket"), *of_keys, *figures).group_by(bucket, *of_keys)


def _is_detailed(rows: CTE) -> ColumnElement[bool]:
    return rows.c.user_key.in_(select(detailed_users.c.user_key))


def _adding(cube: Cube, rows: CTE) -> CTE:
    figures = [measure.stored(rows.c[measure.name]) for measure in cube.measures]
    add = insert(cube.table).from_select(
        ["bucket", *cube.keys, *(measure.name for measure in cube.measures)],
        select(rows.c.bucket, *(rows.c[key] for key in cube.keys), *figures),
    )
    return add.on_conflict_do_update(
        index_elements=["bucket", *cube.keys],
        set_={
            measure.name: measure.add(cube.table.c[measure.name], add.excluded[measure.name])
            for measure in cube.measures
        },
    ).cte(f"{cube.table.name}_added")
