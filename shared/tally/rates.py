"""Exchange rates in the database: set, listed, taken away, and what an amount is in another currency."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection

from tally import audit, jsontext
from tally.database import statement
from tally.errors import FieldError, NotFound, Unprocessable
from tally.exchange_rate import ExchangeRate, key_of
from tally.principal import Principal

KIND = "exchange rate"  # in the audit log
_CROSS = "USD"
_DECIMALS = 10
# Exact for a product of two rates; what does not come out even is cut to as many digits as anybody can read.
_EXACT = Context(prec=120)
_READABLE = Context(prec=20)


@dataclass(frozen=True, slots=True)
class SetRate:
    """A rate that is in force: since when it is stored (UTC), and whether that was changed just now."""

    rate: ExchangeRate
    created_at: datetime
    changed: bool


@dataclass(frozen=True, slots=True)
class Conversion:
    """An amount in another currency.

    Attributes:
        amount: in `currency`, to 10 decimals.
        rate: how much of it one of the other currency is, exact or to 20 digits.
        dated: of which day the rate is; of two, the older.
        way: `direct` by a rate between the two, `inverse` by one the other way round, `cross` by way of US dollars,
            `same` where both are one currency.
    """

    amount: Decimal
    currency: str
    rate: Decimal
    dated: date
    way: str


def set_rates(connection: Connection, actor: Principal, rates: Sequence[ExchangeRate]) -> list[SetRate]:
    """Sets rates in an open transaction, in the order given; one of the same pair and day is replaced.

    What changes is in the audit log with how it was before; a rate that is there already with the same source is left
    as it is.

    Raises:
        Unprocessable: names the rates whose pair and day are there twice.
    """
    _refuse_repeated(rates)
    connection.execute(statement("rates", "lock"))
    rows = connection.execute(
        statement("rates", "set"),
        {
            "rates": jsontext.dump([rate.model_dump(mode="python") for rate in rates]).decode(),
            "actor": actor.name,
            "actor_id": actor.token_id or None,
        },
    )
    return [SetRate(rate, row.created_at, row.changed) for rate, row in zip(rates, rows, strict=True)]


def page(
    connection: Connection,
    limit: int,
    *,
    base: str | None = None,
    quote: str | None = None,
    lower: date | None = None,
    upper: date | None = None,
    behind: tuple[date, str, str] | None = None,
) -> list[dict[str, Any]]:
    """Up to `limit` rates, the newest day first, and of a day by base and quote.

    Args:
        connection: to the database.
        limit: rates at most.
        base: only rates of this currency.
        quote: only rates in this currency.
        lower: the first day.
        upper: the day before which they end.
        behind: date, base and quote of the last one of the page before.

    Returns:
        Each with base, quote, date, rate, source and created_at (UTC).
    """
    day, behind_base, behind_quote = behind or (None, "", "")
    rows = connection.execute(
        statement("rates", "page"),
        {
            "base": base, "quote": quote, "lower": lower, "upper": upper, "rows": limit,
            "behind_date": day, "behind_base": behind_base, "behind_quote": behind_quote,
        },
    ).mappings()  # fmt: skip
    return [dict(row) for row in rows]


def remove(connection: Connection, actor: Principal, base: str, quote: str, day: date) -> None:
    """Takes the rate of a pair and day away, in an open transaction; the one before it counts from then on.

    Raises:
        NotFound: there is none of that very day.
    """
    connection.execute(statement("rates", "lock"))
    key = {"base": base, "quote": quote, "date": day}
    gone = connection.execute(statement("rates", "delete"), key).one_or_none()
    if gone is None:
        raise NotFound(f"There is no exchange rate {base}/{quote} of {day}.")
    before = {"base": base, "quote": quote, "rate": gone.rate, "date": day, "source": gone.source}
    audit.write(connection, actor, "delete", KIND, key_of(base, quote, day), before=before)


def convert(connection: Connection, amount: Decimal, given: str, wanted: str, day: date) -> Conversion:
    """What `amount` of the currency `given` is in the currency `wanted` on a day (UTC), as all figures have it.

    Raises:
        NotFound: names the rates that are missing, and how to set one.
    """
    found = _conversion(connection, given, wanted, day)
    if found is None:
        raise NotFound(_what_is_missing(connection, given, wanted, day))
    exact = Fraction(amount) * Fraction(found.multiplier) / Fraction(found.divisor)
    rounded = Decimal(round(exact * 10**_DECIMALS)).scaleb(-_DECIMALS, _EXACT)
    rate = _EXACT.divide(found.multiplier, found.divisor)
    if _EXACT.multiply(rate, found.divisor) != found.multiplier:
        rate = _READABLE.plus(rate)
    return Conversion(rounded, wanted, rate, found.dated, found.way)


def _conversion(connection: Connection, given: str, wanted: str, day: date) -> Any:
    parameters = {"base": given, "quote": wanted, "day": day}
    return connection.execute(statement("rates", "conversion"), parameters).one_or_none()


def _what_is_missing(connection: Connection, given: str, wanted: str, day: date) -> str:
    halves = [(given, _CROSS), (_CROSS, wanted)] if _CROSS not in (given, wanted) else []
    missing = [f"{one}/{other}" for one, other in halves if _conversion(connection, one, other, day) is None]
    by_way = f", or else {' and '.join(missing)}" if missing else ""
    return (
        f"No exchange rate from {given} to {wanted} is known for {day} or a day before it. Missing is "
        f"{given}/{wanted}{by_way} (or the same the other way round). Set one by POST /v1/exchange-rates, or: "
        f"tally rates set {given} {wanted} RATE --date {day}"
    )


def _refuse_repeated(rates: Sequence[ExchangeRate]) -> None:
    first: dict[str, int] = {}
    faults: list[FieldError] = []
    for index, rate in enumerate(rates):
        before = first.setdefault(rate.key, index)
        if before != index:
            message = f"is there already, at index {before}: a pair has one rate a day"
            faults.append({"index": index, "field": "date", "message": message, "value": rate.key})
    if faults:
        told = "; ".join(f"{fault['index']}: {fault['value']} {fault['message']}" for fault in faults[:5])
        raise Unprocessable(f"Nothing was changed. {told}.", faults)
