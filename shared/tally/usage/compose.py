"""The one statement behind every figure: whole cube buckets, raw events at the edges, and the events not yet folded.

Watermark, cubes and raw events are read in one statement and so in one snapshot: an event is in the cubes or behind
the watermark, never in both and never in neither.

A statement depends only on the shape of a question; ranges and keys are parameters. So it is composed once for each
shape, and PostgreSQL plans it once for each connection: planning takes longer than answering from a cube.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.selectable import CTE, Subquery

from tally.cubes import HISTOGRAM, MEASURES, bin_of, count_of, milliseconds_of
from tally.usage.costs import figures_of_costs
from tally.usage.parts import parts
from tally.usage.shape import Shape, Side, key_label
from tally.usage.spec import PERCENTILES, UNIQUES, is_of_costs

_MEASURES = {measure.name: measure for measure in MEASURES}
_ZERO: ColumnElement[Any] = literal_column("0")


def figures(shape: Shape) -> Select[Any]:
    """The statement. Columns: `piece`, then those of the keys and of the measures in the order of the shape.

    Where there is no event, there is no row.
    """
    calls = _figures_of_calls(shape, shape.calls)
    if shape.costs is None:
        return calls
    # Calls say which rows there are: whatever costs something is one. No join, because labels may be NULL.
    both = union_all(
        _with_every_measure(shape, calls.subquery("calls"), is_call=1),
        _with_every_measure(shape, figures_of_costs(shape, shape.costs).subquery("costs"), is_call=0),
    ).subquery("sides")
    groups = [both.c.piece, *(both.c[key_label(number)] for number in range(len(shape.keys)))]
    measures = [both.c[shape.label_of(name)] for name in shape.measures]
    found = [
        _of_its_side(name, func.max(column)).label(shape.label_of(name))
        for name, column in zip(shape.measures, measures, strict=True)
    ]
    return select(*groups, *found).group_by(*groups).having(func.max(both.c.is_call) > _ZERO)


def _with_every_measure(shape: Shape, side: Subquery, is_call: int) -> Select[Any]:
    keys = [side.c[key_label(number)] for number in range(len(shape.keys))]
    labels = map(shape.label_of, shape.measures)
    measures = (side.c[one] if one in side.c else null().label(one) for one in labels)
    return select(side.c.piece, literal_column(str(is_call)).label("is_call"), *keys, *measures)


def _of_its_side(name: str, figure: ColumnElement[Any]) -> ColumnElement[Any]:
    """The figure of the one side that has it; calls that cost nothing have no row of costs."""
    return func.coalesce(figure, _ZERO) if is_of_costs(name) else figure


def _figures_of_calls(shape: Shape, side: Side) -> Select[Any]:
    percentiles = [name for name in side.measures if name in PERCENTILES] if side.binned else []
    every = union_all(*parts(side))
    rows = every.cte("rows") if percentiles else every.subquery("rows")
    groups = [rows.c.piece, *(rows.c[key_label(number)] for number in range(len(side.keys)))]
    sums = [_figure(side, name, rows.c).label(shape.label_of(name)) for name in side.measures]
    question = select(*groups, *sums).group_by(*groups)
    if side.as_of and side.binned:
        question = question.having(func.sum(rows.c.weight) > _ZERO)
    return _with_percentiles(shape, side, question, rows, percentiles) if percentiles else question


def _with_percentiles(
    shape: Shape, side: Side, question: Select[Any], rows: CTE | Subquery, percentiles: Sequence[str]
) -> Select[Any]:
    """`question` with percentiles from the histograms of its rows: the bin that the nearest rank falls into."""
    names = ["piece", *(key_label(number) for number in range(len(side.keys)))]
    elements = func.unnest(rows.c[HISTOGRAM]).table_valued("element").render_derived("elements")
    element = elements.c.element
    groups = [rows.c[name] for name in names]
    bins = (
        select(*groups, bin_of(element).label("bin"), func.sum(count_of(element)).label("count"))
        .select_from(rows.join(elements, true()))
        .group_by(*groups, bin_of(element))
        .subquery("bins")
    )
    groups = [bins.c[name] for name in names]
    ranked = select(
        *groups,
        bins.c.bin,
        func.sum(bins.c.count).over(partition_by=groups, order_by=bins.c.bin).label("rank"),
        func.sum(bins.c.count).over(partition_by=groups).label("total"),
    ).subquery("ranked")
    groups = [ranked.c[name] for name in names]
    found = (
        select(
            *groups,
            *(
                milliseconds_of(
                    func.min(ranked.c.bin).filter(
                        ranked.c.rank >= func.ceil(ranked.c.total * literal_column(PERCENTILES[name]))
                    )
                ).label(name)
                for name in percentiles
            ),
        )
        .group_by(*groups)
        .subquery("percentiles")
    )
    sums = question.subquery("sums")
    columns = [
        found.c[name].label(shape.label_of(name)) if name in percentiles else sums.c[shape.label_of(name)]
        for name in side.measures
    ]
    same = and_(*(sums.c[name] == found.c[name] for name in names))
    return select(*(sums.c[name] for name in names), *columns).select_from(sums.outerjoin(found, same))


def _figure(side: Side, name: str, of: Any) -> ColumnElement[Any]:
    if name in UNIQUES:
        return func.count(func.nullif(of[UNIQUES[name]], _ZERO).distinct())
    if name in PERCENTILES:
        if side.binned:
            return null()  # joined later
        return func.percentile_disc(literal_column(PERCENTILES[name])).within_group(of.timed_ms)
    return _MEASURES[name].aggregate(of[name])
