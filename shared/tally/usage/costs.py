"""What calls cost, in any currency: amounts as they were given, or converted at the rate of their own UTC day.

A rate is looked up once for each currency and day that the rows have, and amounts are multiplied before they are
divided, with 30 decimals more than they have, so that nothing is rounded that would show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    FromClause,
    Numeric,
    Select,
    String,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)

from tally.cubes import CURRENCY_KEY, LIST_CURRENCY_KEY, OWN_CURRENCIES, dimensions
from tally.usage.parts import parameter, parts
from tally.usage.plan import columns_of_costs
from tally.usage.shape import Shape, Side, key_label

_ZERO: ColumnElement[Any] = literal_column("0")
_WITH_DECIMALS: ColumnElement[Any] = literal_column(f"1.{'0' * 30}", Numeric())
_APART = (CURRENCY_KEY, LIST_CURRENCY_KEY, "day")


@dataclass(frozen=True, slots=True)
class _Target:
    """A currency that is asked for: its code, and what one of another is worth in it on a day.

    `rate` is for the currency of the cost, `list_rate` for that of what the prices say.
    """

    code: str
    wanted: ColumnElement[Any]
    rate: FromClause
    list_rate: FromClause


def figures_of_costs(shape: Shape, side: Side) -> Select[Any]:
    """The statement of the measures of `side`. Columns: `piece`, those of the keys, then those of the measures.

    Where nothing costs anything and nothing should, there is no row.
    """
    sums = _daily_sums(side)
    of_cost, of_list = dimensions.alias("currency"), dimensions.alias("list_currency")
    joined: FromClause = sums.outerjoin(of_cost, of_cost.c.key == sums.c[CURRENCY_KEY])
    joined = joined.outerjoin(of_list, of_list.c.key == sums.c[LIST_CURRENCY_KEY])
    targets: dict[str, _Target] = {}
    for code in {measure.partition(":")[2]: None for measure in side.measures if ":" in measure}:
        one = targets[code] = _target(code, sums)
        for rate, currency in ((one.rate, of_cost), (one.list_rate, of_list)):
            same = and_(rate.c.base == _first(currency.c.value), rate.c.day == sums.c.day)
            joined = joined.outerjoin(rate, same)
    groups = [sums.c[label] for label in _labels(side)]
    figures = _Figures(sums, of_cost.c.value, of_list.c.value, targets)
    measures = [func.coalesce(figures.of(name), _ZERO).label(shape.label_of(name)) for name in side.measures]
    return select(*groups, *measures).select_from(joined).group_by(*groups)


def _labels(side: Side) -> list[str]:
    return ["piece", *(key_label(number) for number in range(len(side.keys)))]


def _daily_sums(side: Side) -> CTE:
    rows = union_all(*parts(side)).subquery("billed")
    apart = [rows.c[name] for name in (*_labels(side), *_APART)]
    amounts = [func.sum(rows.c[name]).label(name) for name in columns_of_costs() if name not in _APART]
    return select(*apart, *amounts).group_by(*apart).cte("daily_costs").prefix_with("MATERIALIZED")


def _target(code: str, sums: CTE) -> _Target:
    name = code.lower()
    wanted: ColumnElement[Any] = cast(parameter(f"currency_{code}"), String())
    currency = dimensions.alias(f"other_than_{name}")
    is_its = or_(currency.c.key == sums.c[CURRENCY_KEY], currency.c.key == sums.c[LIST_CURRENCY_KEY])
    others = (
        select(_first(currency.c.value).label("base"), sums.c.day)
        .select_from(sums.join(currency, is_its))
        .where(~_is_among(wanted, currency.c.value))
        .distinct()
        .subquery(f"others_than_{name}")
    )
    lists = select(func.array_agg(others.c.base).label("bases"), func.array_agg(others.c.day).label("days"))
    listed = lists.subquery(f"lists_for_{name}")
    rates = func.conversions(wanted, listed.c.bases, listed.c.days)
    columns = ("base", column("day", Date()), column("multiplier", Numeric()), column("divisor", Numeric()), "dated")
    rate = rates.table_valued(*columns).lateral(f"rates_of_{name}")
    known = select(rate).select_from(listed.join(rate, true())).cte(f"rates_to_{name}")
    return _Target(code, wanted, known.alias(f"rate_to_{name}"), known.alias(f"list_rate_to_{name}"))


@dataclass(frozen=True, slots=True)
class _Figures:
    """The measures of costs from daily sums and the currencies that they are in."""

    sums: CTE
    given_in: ColumnElement[Any]
    listed_in: ColumnElement[Any]
    targets: Mapping[str, _Target]

    def of(self, measure: str) -> ColumnElement[Any]:
        of, billed = self.sums.c, self.sums.c.billed_requests
        is_compared = of[LIST_CURRENCY_KEY] != _ZERO
        if measure == "unpriced_requests":
            return func.sum(case((of[CURRENCY_KEY] == _ZERO, billed)))
        if measure == "compared_requests":
            return func.sum(case((is_compared, billed)))
        name, _, code = measure.partition(":")
        target = self.targets[code]
        is_other = and_(of[CURRENCY_KEY] != _ZERO, ~_is_among(target.wanted, self.given_in))
        if name == "unconverted":
            return func.sum(case((and_(is_other, target.rate.c.dated.is_(None)), billed)))
        if name == "older_rate":
            return func.sum(case((and_(is_other, target.rate.c.dated < of.day), billed)))
        if name == "list_cost":
            converted = _converted(of.list_cost, target.list_rate)
            return func.sum(case((self.listed_in == target.wanted, of.list_cost), else_=converted))
        # An amount beside the cost is that of the cost itself, where it is in the same currency.
        given = of[f"cost_{code.lower()}"] if code in OWN_CURRENCIES else of.cost
        amount = case((is_other, _converted(of.cost, target.rate)), else_=given)
        return func.sum(case((is_compared, amount)) if name == "sent_cost" else amount)


def _converted(amount: ColumnElement[Any], rate: FromClause) -> ColumnElement[Any]:
    return amount * rate.c.multiplier * _WITH_DECIMALS / rate.c.divisor


def _first(codes: ColumnElement[Any]) -> ColumnElement[Any]:
    """The currency of the cost among those that amounts are given in."""
    return func.split_part(codes, literal_column("','"), literal_column("1"))


def _is_among(wanted: ColumnElement[Any], codes: ColumnElement[Any]) -> ColumnElement[bool]:
    return wanted == func.any(func.string_to_array(codes, literal_column("','")))
