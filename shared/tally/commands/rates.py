"""`tally rates`: what currencies are worth, from which day on."""

import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from tally.commands.database import opened, with_database
from tally.commands.terminal import console
from tally.principal import Principal

if TYPE_CHECKING:
    from tally.exchange_rate import ExchangeRate

rates = typer.Typer(no_args_is_help=True, help="Exchange rates: what currencies are worth, from which day on.")
_APPLICATION = "tally rates"
_ACTOR = Principal("", "command line", frozenset())
_AT_ONCE = 5_000  # rates a statement
_OPTION = {"base": "BASE", "quote": "QUOTE", "rate": "RATE", "date": "--date", "source": "--source"}

Item = TypeVar("Item")


@rates.command("set")
def put(
    base: Annotated[str, typer.Argument(help="The currency that is worth RATE of the other, such as USD.")],
    quote: Annotated[str, typer.Argument(help="The other, such as RUB.")],
    rate: Annotated[str, typer.Argument(help="How much of QUOTE one BASE is, such as 80.5.")],
    day: Annotated[
        str | None, typer.Option("--date", metavar="DATE", help="From which day (UTC) on.", show_default="today")
    ] = None,
    source: Annotated[str | None, typer.Option(metavar="TEXT", help="Who says so.", show_default="set by hand")] = None,
) -> None:
    """Set an exchange rate. One of the same pair and day is replaced.

    - `tally rates set USD RUB 80.5`: from today on, one US dollar is 80.5 roubles

    - `tally rates set EUR USD 1.08 --date 2026-05-01 --source "our bank"`

    It counts for all calls from that day (UTC) to the next rate, also for those that were stored before. It is used the
    other way round too, and for other currencies by way of the US dollar.
    """
    from tally.clock import Clock
    from tally.rate_files import BY_HAND
    from tally.rates import set_rates

    given = {"base": base, "quote": quote, "rate": rate, "date": day, "source": source or BY_HAND}
    _parsed({**given, "date": day or str(datetime.now(UTC).date())}, None)  # before a database is looked for
    with opened(with_database(), _APPLICATION) as store:
        today = Clock(store).now().date()
        wanted = _parsed({**given, "date": day or str(today)}, today)
        with store.transaction() as connection:
            [done] = set_rates(connection, _ACTOR, [wanted])
    kept = "" if done.changed else "; it was so already"
    typer.echo(f"1 {wanted.base} = {wanted.rate:f} {wanted.quote} from {wanted.date} on ({wanted.source}){kept}.")


@rates.command("import")
def load(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV with the columns date, base, quote, rate and perhaps source; or a file of the European Central "
            "Bank (CSV) or the Bank of Russia (XML). - reads standard input.",
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Who says so, where the file does not.", show_default="the bank, or set by hand"
        ),
    ] = None,
    with_usd: Annotated[
        bool,
        typer.Option(
            "--with-usd",
            help="Work out from a bank's rates what a dollar is in each currency, and set that too: amounts are "
            "converted by way of dollars only.",
        ),
    ] = False,
) -> None:
    """Set all exchange rates of a file, or none where one of them is at fault.

    - `tally rates import rates.csv`: its first line is `date,base,quote,rate,source`, a later one
      `2026-05-01,USD,RUB,80.5,our bank`

    - `tally rates import eurofxref-hist.csv --with-usd`: all rates of the European Central Bank since 1999, as it
      publishes them (`Date,USD,JPY,…`); also the file of one day, `eurofxref.csv`

    - `curl -sS https://www.cbr.ru/scripts/XML_daily.asp | tally rates import -`: those of the Bank of Russia for a day

    Rates of the same pair and day are replaced; what is there already stays, so that a file may be imported every day.
    """
    from tally.clock import Clock
    from tally.rates import set_rates

    read = changed = 0
    with opened(with_database(), _APPLICATION) as store:
        today = Clock(store).now().date()
        with _opened(file) as content, store.transaction() as connection:
            for some in _batches(_rates_of(content, today, source, with_usd)):
                changed += sum(one.changed for one in set_rates(connection, _ACTOR, some))
                read += len(some)
    typer.echo(f"{read} exchange rates read, {changed} of them new or changed.")


@rates.command("list")
def show(
    base: Annotated[str | None, typer.Option(metavar="CODE", help="Only rates of this currency.")] = None,
    quote: Annotated[str | None, typer.Option(metavar="CODE", help="Only rates in this currency.")] = None,
    lower: Annotated[str | None, typer.Option("--from", metavar="DATE", help="The first day.")] = None,
    upper: Annotated[str | None, typer.Option("--to", metavar="DATE", help="The day before which they end.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many at most.")] = 50,
) -> None:
    """Show exchange rates, the newest day first.

    - `tally rates list --base USD --quote RUB --from 2026-05-01`
    """
    from rich.table import Table

    from tally.rates import page

    base, quote = _currency("--base", base), _currency("--quote", quote)
    first, end = _day("--from", lower), _day("--to", upper)
    with opened(with_database(), _APPLICATION) as store, store.connect() as connection:
        found = page(connection, limit + 1, base=base, quote=quote, lower=first, upper=end)
    table = Table("date", "base", "quote", box=None, pad_edge=False)
    table.add_column("rate", justify="right", no_wrap=True)
    table.add_column("source")
    for row in found[:limit]:
        table.add_row(str(row["date"]), row["base"], row["quote"], f"{row['rate']:f}", row["source"])
    console(10_000).print(table)
    if len(found) > limit:
        typer.echo(f"There are more than {limit}; see --limit, --base, --quote, --from and --to.", err=True)


def _parsed(fields: Mapping[str, Any], today: date | None) -> "ExchangeRate":
    from pydantic import ValidationError

    from tally.exchange_rate import ExchangeRate

    try:
        return ExchangeRate.model_validate(fields, context={"today": today})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        message = fault["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(message, param_hint=f"'{_OPTION[str(fault['loc'][0])]}'") from None


def _currency(option: str, code: str | None) -> str | None:
    from tally.currencies import known_currency

    try:
        return None if code is None else known_currency(code)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=f"'{option}'") from None


def _day(option: str, text: str | None) -> date | None:
    from tally.exchange_rate import parse_date

    try:
        return None if text is None else parse_date(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=f"'{option}'") from None


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """A file with a bar of how much of it was read, or standard input."""
    from rich.console import Console
    from rich.progress import open as opened_with_progress

    if str(file) == "-":
        yield sys.stdin.buffer
        return
    bar = Console(stderr=True)
    with opened_with_progress(
        file, "rb", description=f"Importing {file.name}", console=bar, disable=not bar.is_terminal, transient=True
    ) as content:
        yield content


def _rates_of(content: BinaryIO, today: date, source: str | None, with_usd: bool) -> "Iterator[ExchangeRate]":
    from tally.rate_files import from_csv, from_xml

    buffered = io.BufferedReader(content)  # type: ignore[type-var]
    if buffered.peek(1).lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"<"):
        return from_xml(buffered.read(), today, source=source, with_usd=with_usd)
    lines = io.TextIOWrapper(buffered, "utf-8-sig", newline="")
    return from_csv(lines, today, source=source, with_usd=with_usd, tell=lambda message: typer.echo(message, err=True))


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
