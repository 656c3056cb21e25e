"""What calls cost, in any currency: amounts as they were given, or converted at the rate of their own UTC day.

Sums are apart by day only where a rate is needed, which is looked up once for each currency and day. Amounts are
multiplied before they are divided, with 30 decimals more than they have, so that nothing is rounded that would show.
"""

from collections.abc import Mapping, Sequence
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
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from tally.cubes import CURRENCY_KEY, LIST_CURRENCY_KEY, OWN_CURRENCIES, dimensions
from tally.dimensions import CURRENCY
from tally.usage.parts import parameter, parts
from tally.usage.plan import columns_of_costs
from tally.usage.shape import Shape, Side, key_label

_ZERO: ColumnElement[Any] = literal_column("0")
_WITH_DECIMALS: ColumnElement[Any] = literal_column(f"1.{'0' * 30}", Numeric())


@dataclass(frozen=True, slots=True)
class _Target:
    """A currency that is asked for, and what one of another is worth in it on a day.

    `rate` is for the currency of the cost, `list_rate` for that of what the prices say, where that is asked for.
    """

    wanted: ColumnElement[Any]
    rate: FromClause
    list_rate: FromClause


def figures_of_costs(shape: Shape, side: Side) -> Select[Any]:
    """The statement of the measures of `side`. Columns: `piece`, those of the keys, then those of the measures.

    Where nothing costs anything and nothing should, there is no row.
    """
    codes = dict.fromkeys(measure.partition(":")[2] for measure in side.measures if ":" in measure)
    wanted = {code: cast(parameter(f"currency_{code}"), String()) for code in codes}
    currencies = _currencies()
    sums = _sums(side, currencies, [*wanted.values()])
    of_cost, of_list = currencies.alias("currency"), currencies.alias("list_currency")
    joined: FromClause = sums.outerjoin(of_cost, of_cost.c.key == sums.c[CURRENCY_KEY])
    has_lists = LIST_CURRENCY_KEY in sums.c
    if has_lists:
        joined = joined.outerjoin(of_list, of_list.c.key == sums.c[LIST_CURRENCY_KEY])
    targets: dict[str, _Target] = {}
    for code, one in wanted.items():
        target = targets[code] = _target(code, one, sums, currencies)
        rates = [(target.rate, of_cost), *([(target.list_rate, of_list)] if has_lists else [])]
        for rate, currency in rates:
            same = and_(rate.c.base == _first(currency.c.codes), rate.c.day == sums.c.day)
            joined = joined.outerjoin(rate, same)
    groups = [sums.c[label] for label in _labels(side)]
    figures = _Figures(sums, of_cost.c.codes, of_list.c.codes, targets)
    measures = [func.coalesce(figures.of(name), _ZERO).label(shape.label_of(name)) for name in side.measures]
    return select(*groups, *measures).select_from(joined).group_by(*groups)


def _labels(side: Side) -> list[str]:
    return ["piece", *(key_label(number) for number in range(len(side.keys)))]


def _currencies() -> CTE:
    """The currencies that amounts are given in, by key: that of the cost first. There are few."""
    codes = func.string_to_array(dimensions.c.value, literal_column("','"), type_=ARRAY(String)).label("codes")
    of_kind = dimensions.c.kind == literal_column(f"'{CURRENCY}'")
    return select(dimensions.c.key, codes).where(of_kind).cte("currencies").prefix_with("MATERIALIZED")


def _sums(side: Side, currencies: CTE, wanted: Sequence[ColumnElement[Any]]) -> CTE:
    """The sums of all rows by currency, and by day where something is in another than one of those wanted."""
    columns = columns_of_costs(side.measures)
    keys = [name for name in (CURRENCY_KEY, LIST_CURRENCY_KEY) if name in columns]
    rows = union_all(*parts(side)).subquery("billed")
    joined: FromClause = rows
    others: list[ColumnElement[bool]] = []
    for key in keys:
        currency = currencies.alias(f"{key}_of_row")
        joined = joined.outerjoin(currency, currency.c.key == rows.c[key])
        others += [_is_other(one, currency.c.codes) for one in wanted]
    day = case((or_(false(), *others), rows.c.day)) if wanted else rows.c.day
    apart = [*(rows.c[name] for name in (*_labels(side), *keys)), day.label("day")]
    amounts = [func.sum(rows.c[name]).label(name) for name in columns if name not in (*keys, "day")]
    return select(*apart, *amounts).select_from(joined).group_by(*apart).cte("sums").prefix_with("MATERIALIZED")


def _target(code: str, wanted: ColumnElement[Any], sums: CTE, currencies: CTE) -> _Target:
    name = code.lower()
    currency = currencies.alias(f"other_than_{name}")
    keys = [sums.c[key] for key in (CURRENCY_KEY, LIST_CURRENCY_KEY) if key in sums.c]
    others = (
        select(_first(currency.c.codes).label("base"), sums.c.day)
        .select_from(sums.join(currency, or_(*(currency.c.key == key for key in keys))))
        .where(_is_other(wanted, currency.c.codes))
        .distinct()
        .subquery(f"others_than_{name}")
    )
    lists = (
        select(func.array_agg(others.c.base).label("bases"), func.array_agg(others.c.day).label("days"))
        .having(func.count() > _ZERO)
        .subquery(f"lists_for_{name}")
    )
    rates = func.conversions(wanted, lists.c.bases, lists.c.days)
    columns = ("base", column("day", Date()), column("multiplier", Numeric()), column("divisor", Numeric()), "dated")
    rate = rates.table_valued(*columns).lateral(f"rates_of_{name}")
    known = select(rate).select_from(lists.join(rate, true())).cte(f"rates_to_{name}")
    return _Target(wanted, known.alias(f"rate_to_{name}"), known.alias(f"list_rate_to_{name}"))


@dataclass(frozen=True, slots=True)
class _Figures:
    """The measures of costs from sums by currency and day, and the codes of their currencies."""

    sums: CTE
    given_in: ColumnElement[Any]
    listed_in: ColumnElement[Any]
    targets: Mapping[str, _Target]

    def of(self, measure: str) -> ColumnElement[Any]:
        of = self.sums.c
        if measure == "unpriced_requests":
            return func.sum(case((of[CURRENCY_KEY] == _ZERO, of.billed_requests)))
        if measure == "compared_requests":
            return func.sum(case((of[LIST_CURRENCY_KEY] != _ZERO, of.billed_requests)))
        name, _, code = measure.partition(":")
        target = self.targets[code]
        is_other = _is_other(target.wanted, self.given_in)
        if name == "unconverted":
            return func.sum(case((and_(is_other, target.rate.c.dated.is_(None)), of.billed_requests)))
        if name == "older_rate":
            return func.sum(case((and_(is_other, target.rate.c.dated < of.day), of.billed_requests)))
        if name == "list_cost":
            is_listed_in_other = _is_other(target.wanted, self.listed_in)
            return func.sum(case((is_listed_in_other, _converted(of.list_cost, target.list_rate)), else_=of.list_cost))
        # An amount beside the cost is that of the cost itself, where it is in the same currency.
        given = of[f"cost_{code.lower()}"] if code in OWN_CURRENCIES else of.cost
        amount = case((is_other, _converted(of.cost, target.rate)), else_=given)
        return func.sum(case((of[LIST_CURRENCY_KEY] != _ZERO, amount)) if name == "sent_cost" else amount)


def _converted(amount: ColumnElement[Any], rate: FromClause) -> ColumnElement[Any]:
    return amount * rate.c.multiplier * _WITH_DECIMALS / rate.c.divisor


def _first(codes: ColumnElement[Any]) -> ColumnElement[Any]:
    """The currency of the cost among those that amounts are given in."""
    return codes[literal_column("1")]


def _is_other(wanted: ColumnElement[Any], codes: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether there is a cost, and no amount in the currency that is wanted."""
    return wanted != func.all(codes)
