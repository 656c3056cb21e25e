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
    String,
    and_,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.selectable import CTE, Subquery

from tally.cubes import HISTOGRAM, MEASURES, OWN_CURRENCIES, bin_of, count_of, dimensions, milliseconds_of
from tally.usage.parts import parameter, parts
from tally.usage.shape import Shape, key_label, measure_label
from tally.usage.spec import PERCENTILES, UNIQUES

_MEASURES = {measure.name: measure for measure in MEASURES}
_ZERO: ColumnElement[Any] = literal_column("0")
_CURRENCY = dimensions.alias("currency")


def figures(shape: Shape) -> Select[Any]:
    """The statement. Columns: `piece`, then those of the keys and of the measures in the order of the shape.

    Where there is no event, there is no row.
    """
    percentiles = [name for name in shape.measures if name in PERCENTILES] if shape.binned else []
    every = union_all(*parts(shape))
    rows = every.cte("rows") if percentiles else every.subquery("rows")
    groups = [rows.c.piece, *(rows.c[key_label(number)] for number in range(len(shape.keys)))]
    sums = [_figure(shape, name, rows.c).label(measure_label(number)) for number, name in enumerate(shape.measures)]
    question = select(*groups, *sums).group_by(*groups)
    if "currency_key" in rows.c:
        question = question.select_from(rows.outerjoin(_CURRENCY, _CURRENCY.c.key == rows.c.currency_key))
    if shape.as_of and shape.binned:
        question = question.having(func.sum(rows.c.weight) > _ZERO)
    return _with_percentiles(shape, question, rows, percentiles) if percentiles else question


def _with_percentiles(
    shape: Shape, question: Select[Any], rows: CTE | Subquery, percentiles: Sequence[str]
) -> Select[Any]:
    """`question` with percentiles from the histograms of its rows: the bin that the nearest rank falls into."""
    names = ["piece", *(key_label(number) for number in range(len(shape.keys)))]
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
        found.c[name].label(measure_label(number)) if name in percentiles else sums.c[measure_label(number)]
        for number, name in enumerate(shape.measures)
    ]
    same = and_(*(sums.c[name] == found.c[name] for name in names))
    return select(*(sums.c[name] for name in names), *columns).select_from(sums.outerjoin(found, same))


def _figure(shape: Shape, name: str, of: Any) -> ColumnElement[Any]:
    if name in UNIQUES:
        return func.count(func.nullif(of[UNIQUES[name]], _ZERO).distinct())
    if name in PERCENTILES:
        if shape.binned:
            return null()  # joined later
        return func.percentile_disc(literal_column(PERCENTILES[name])).within_group(of.timed_ms)
    kind, _, currency = name.partition(":")
    if not currency:
        return _MEASURES[name].aggregate(of[name])
    if currency in OWN_CURRENCIES:
        code = currency.lower()
        amount = of[f"cost_{code}"] if kind == "cost" else of.priced_requests - of[f"{code}_requests"]
        return func.coalesce(func.sum(amount), _ZERO)
    given_in = func.split_part(_CURRENCY.c.value, literal_column("','"), literal_column("1"))
    is_in = given_in == cast(parameter(f"currency_{currency}"), String)
    if kind == "cost":
        return func.coalesce(func.sum(case((is_in, of.cost))), _ZERO)
    missing = and_(of.currency_key != _ZERO, ~is_in)
    return func.coalesce(func.sum(case((missing, of.requests), else_=_ZERO)), _ZERO)
