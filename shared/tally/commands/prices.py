"""`tally prices`: what models cost."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tally.commands.database import opened, with_database
from tally.commands.terminal import console
from tally.principal import Principal

if TYPE_CHECKING:
    from rich.table import Table
    from sqlalchemy import Connection

    from tally.price_import import Difference
    from tally.prices import Stored
    from tally.pricing.price import Draft

prices = typer.Typer(no_args_is_help=True, help="Prices: what models cost, from when on.")
_APPLICATION = "tally prices"
_ACTOR = Principal("", "command line", frozenset())
_ONCE = {"per_request": "a request", "per_image": "an image"}
_File = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="Prices of your own: JSON as `POST /v1/prices` takes them, in a list; or CSV with the columns provider, "
        "model, currency, valid_from, input, cached_input, cache_write, output, reasoning (a million tokens), "
        "per_request, per_image, conditions (such as processing=batch).",
    ),
]
_DataSet = Annotated[bool, typer.Option("--data-set", help="The installed version of genai-prices instead of a file.")]
_Since = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="From when on prices of the data set hold that differ without a date.",
        show_default="now",
    ),
]


@prices.command("list")
def show(
    provider: Annotated[str | None, typer.Option(help="Only prices of this provider.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model; with *, of all that begin so.")] = None,
    origin: Annotated[
        str | None, typer.Option(help="Only from there: own, tally, or such as 'genai-prices 0.2.3'.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Only those that hold at this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
) -> None:
    """Show prices, the newest first. Amounts are for a million tokens where nothing else is said.

    - `tally prices list --origin own`: those of your own

    - `tally prices list --provider openai --model 'gpt-4o*' --at 2026-05-01T00:00:00+03:00`: what held then
    """
    from tally import prices as book

    with opened(with_database(), _APPLICATION) as store, store.snapshot() as connection:
        moment = _moment("--at", at) if at else None
        found = book.page(connection, provider=provider, model=model, origin=origin, at=moment, rows=limit + 1)
    console(10_000).print(_table(found[:limit]))
    if len(found) > limit:
        typer.echo(f"There are more than {limit}; see --limit, --provider and --model.", err=True)


@prices.command("set")
def put(
    provider: Annotated[str, typer.Argument(help="As events name it; case does not matter.")],
    model: Annotated[str, typer.Argument(help="As events name it; with * at its end, all that begin so.")],
    currency: Annotated[str, typer.Option(metavar="CODE", help="ISO 4217.")] = "USD",
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="When it begins.", show_default="now")
    ] = None,
    input_: Annotated[str | None, typer.Option("--input", metavar="DECIMAL", help="A million input tokens.")] = None,
    cached_input: Annotated[str | None, typer.Option(metavar="DECIMAL", help="A million read from a cache.")] = None,
    cache_write: Annotated[str | None, typer.Option(metavar="DECIMAL", help="A million written to one.")] = None,
    output: Annotated[str | None, typer.Option(metavar="DECIMAL", help="A million output tokens.")] = None,
    reasoning: Annotated[str | None, typer.Option(metavar="DECIMAL", help="A million spent on reasoning.")] = None,
    per_request: Annotated[str | None, typer.Option(metavar="DECIMAL", help="Each call that does not fail.")] = None,
    per_image: Annotated[str | None, typer.Option(metavar="DECIMAL", help="Each image of such a call.")] = None,
    condition: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label that a call must have. Repeat.")
    ] = None,
) -> None:
    """Add a price of your own, which wins over the data set's. One that begins at the same time is corrected.

    - `tally prices set openai gpt-4o --input 2.5 --cached-input 1.25 --output 10 --from 2026-05-01T00:00:00+03:00`

    - `tally prices set openai 'gpt-4o*' --input 1.25 --output 5 --condition processing=batch`: batches

    - `tally prices set yandex yandexgpt --currency RUB --input 400 --output 400`

    - `tally prices set ours search --per-request 0.002`

    Calls that are already stored keep their price until they are priced again.
    """
    from tally import price_import
    from tally import prices as book
    from tally.http.managing import checked
    from tally.pricing.form import PriceForm

    rates = {
        "input": input_, "cached_input": cached_input, "cache_write": cache_write, "output": output,
        "reasoning": reasoning,
    }  # fmt: skip
    form = {
        "provider": provider,
        "model": model,
        "currency": currency,
        "valid_from": since or datetime.now(UTC).isoformat(),
        "per_million": {kind: rate for kind, rate in rates.items() if rate is not None},
        "per_request": per_request,
        "per_image": per_image,
        "conditions": dict(_condition(text) for text in condition or ()),
    }
    draft = checked(PriceForm, form).draft()
    with opened(with_database(), _APPLICATION) as store, store.transaction() as connection:
        book.turn(connection)
        difference = price_import.own_difference(connection, [draft])
        if difference.unchanged:
            typer.echo("It is like this already.")
            return
        if difference.changed:
            stored = book.replace(connection, _ACTOR, difference.changed[0].before.id, draft)
        else:
            stored = book.add(connection, _ACTOR, draft)
    instead = f", in the place of {stored.replaces}" if stored.replaces is not None else ""
    typer.echo(f"Price {stored.id} of {provider} {model} holds from {draft.valid_from.isoformat()}{instead}.")


@prices.command("import")
def import_(file: _File = None, data_set: _DataSet = False, since: _Since = None) -> None:
    """Take over prices from a file, or those of the installed data set; `diff` shows before what would change.

    - `tally prices import prices.csv`

    - `tally prices import --data-set`: after an update of Tally

    All of it is taken or nothing. A price of the file that begins when one in the book does corrects it; any other is
    added. What is in the book only stays.
    """
    from tally import price_import
    from tally import prices as book
    from tally.pricing import dataset

    drafts = _drafts(file, data_set=data_set)
    moment = _moment("--from", since) if since else datetime.now(UTC)
    with opened(with_database(), _APPLICATION) as store, store.transaction() as connection:
        book.turn(connection)
        found = _difference(connection, drafts, moment)
        price_import.apply(connection, _ACTOR, found, dataset.origin() if file is None else file.name)
    typer.echo(f"{len(found.new)} added, {len(found.changed)} changed, {found.unchanged} as they were.")


@prices.command()
def diff(file: _File = None, data_set: _DataSet = False, since: _Since = None) -> None:
    """Show what `import` of the same would change, and change nothing.

    - `tally prices diff prices.csv`

    - `tally prices diff --data-set --from 2026-05-01T00:00:00Z`
    """
    drafts = _drafts(file, data_set=data_set)
    moment = _moment("--from", since) if since else datetime.now(UTC)
    with opened(with_database(), _APPLICATION) as store, store.snapshot() as connection:
        found = _difference(connection, drafts, moment)
    console(10_000).print(_changes(found))
    typer.echo(
        f"{len(found.new)} new, {len(found.changed)} changed, {found.unchanged} unchanged, "
        f"{len(found.gone)} in the book only, which stay."
    )


@prices.command()
def retire(price_id: Annotated[int, typer.Argument(metavar="ID", help="The price's id, which `list` shows.")]) -> None:
    """Take a price out of force. Calls that were priced with it keep what they cost."""
    from tally import prices as book

    with opened(with_database(), _APPLICATION) as store, store.transaction() as connection:
        book.retire(connection, _ACTOR, price_id)
    typer.echo(f"Price {price_id} is retired.")


def _drafts(file: Path | None, *, data_set: bool) -> "list[Draft] | None":
    """The prices of a file; None for those of the data set."""
    if (file is None) != data_set:
        raise typer.BadParameter("expected either a file or --data-set")
    if file is None:
        return None
    from tally.commands.price_file import read

    return read(file)


def _difference(connection: "Connection", drafts: "list[Draft] | None", moment: datetime) -> "Difference":
    from tally import price_import

    if drafts is None:
        return price_import.data_set_difference(connection, moment)
    return price_import.own_difference(connection, drafts)


def _moment(option: str, text: str) -> datetime:
    from tally.event import parse_time

    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error


def _condition(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"--condition: expected NAME=VALUE such as processing=batch, not {text!r}")
    return name, value


def _table(found: "list[Stored]") -> "Table":
    from rich.table import Table

    headings = ("Id", "Provider", "Model", "Conditions", "Valid from", "Rates", "Origin")
    table = Table(*headings, box=None, pad_edge=False)
    for one in found:
        table.add_row(str(one.id), *_names(one.draft), one.draft.origin)
    return table


def _changes(found: "Difference") -> "Table":
    from rich.table import Table

    table = Table("", "Provider", "Model", "Conditions", "Valid from", "Rates", "Before", box=None, pad_edge=False)
    for draft in found.new:
        table.add_row("new", *_names(draft), "")
    for change in found.changed:
        table.add_row("changed", *_names(change.after), _rates(change.before.draft))
    for one in found.gone:
        table.add_row("book only", *_names(one.draft), "")
    return table


def _names(draft: "Draft") -> tuple[str, str, str, str, str]:
    conditions = ", ".join(f"{name}={value}" for name, value in draft.conditions.items())
    return draft.provider, draft.model, conditions, f"{draft.valid_from:%Y-%m-%d %H:%M}", _rates(draft)


def _rates(draft: "Draft") -> str:
    """Such as "USD input 2.5, output 10; above 200000: input 5; a request 0.01"."""
    form = draft.rates.form()
    parts = [_listed(form["per_million"])] if form["per_million"] else []
    parts += [f"above {tier['above']}: {_listed(tier['per_million'])}" for tier in form.get("tiers", ())]
    parts += [f"{one['from']}–{one['to']} UTC: {_listed(one['per_million'])}" for one in form.get("hours", ())]
    parts += [f"{what} {form[name]}" for name, what in _ONCE.items() if name in form]
    return f"{draft.currency} {'; '.join(parts)}"


def _listed(rates: dict[str, str]) -> str:
    return ", ".join(f"{kind.replace('_', ' ')} {rate}" for kind, rate in rates.items())
