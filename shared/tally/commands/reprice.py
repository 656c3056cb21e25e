"""`tally prices reprice` and `tally prices unpriced`: what stored events cost with the prices in force now."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tally.commands.database import opened, with_database
from tally.commands.terminal import console
from tally.principal import Principal

if TYPE_CHECKING:
    from rich.table import Table

    from tally.database import Store
    from tally.repricing.work import Scope

_APPLICATION = "tally prices"
_ACTOR = Principal("", "command line", frozenset())
# Of one go; between two of them the progress is shown.
_SECONDS = 1.0
_COLUMNS = ("provider", "model", "month", "currency", "events", "old", "new", "difference")


def reprice(
    provider: Annotated[str | None, typer.Option(help="Only events of this provider.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model; with * at its end, all that begin so.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Only from this time on.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Only before this time.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it, instead of only showing what would change.")] = False,
) -> None:
    """Price stored events again with the prices in force now. Shows what would change; `--apply` does it.

    - `tally prices reprice --model 'gpt-4o*' --from 2026-05-01`: what a corrected price would change

    - `tally prices reprice --model 'gpt-4o*' --from 2026-05-01 --apply`: change it

    Events without a price get one, if there is one by now. Costs that senders gave stay as they are. It is done in
    batches, each as a whole: when it is interrupted, the job `rollup` (or `tally rollup`) goes on behind the last one.
    """
    from tally.repricing import work

    scope = _scope(provider, model, since, until)
    with opened(with_database(), _APPLICATION) as store:
        changes = _applied(store, scope) if apply else work.preview(store, scope)
    _print(changes, applied=apply)


def unpriced(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many models at most.")] = 100,
) -> None:
    """Show the models whose calls have no cost, most calls first: a price is missing, or token counts are.

    - `tally prices set acme new-model --input 1 --output 4`, then `tally prices reprice --model new-model --apply`
    """
    from rich.table import Table

    from tally.clock import Clock
    from tally.usage.inquiry import Inquiry
    from tally.usage.unpriced import models

    everything = Principal("", "command line", frozenset({"read", "read:all"}))
    with opened(with_database(), _APPLICATION) as store:
        now = Clock(store).now()
        with store.snapshot() as connection:
            found = models(Inquiry(connection, everything, now), limit)
    if not found:
        typer.echo("Every call with a model has a cost.", err=True)
        return
    table = Table("provider", "model", "requests", box=None, pad_edge=False)
    for one in found:
        table.add_row(one["provider"] or "(none)", one["model"] or "(none)", f"{one['unpriced_requests']:,}")
    console(10_000).print(table)


def _scope(provider: str | None, model: str | None, since: str | None, until: str | None) -> "Scope":
    from tally.http.management.repricing import ScopeForm
    from tally.http.managing import checked

    given = {"provider": provider, "model": model, "from": since, "to": until}
    return checked(ScopeForm, {name: value for name, value in given.items() if value is not None}).scope()


def _applied(store: "Store", scope: "Scope") -> Sequence[Mapping[str, Any]]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from tally.repricing import work

    with store.transaction() as connection:
        repricing_id = work.begin(connection, _ACTOR, scope)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} events looked at"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        while True:
            work.go_on(store, repricing_id, _SECONDS)
            with store.connect() as connection:
                done = work.find(connection, repricing_id)
            if done.finished_at is not None:
                return done.changes
            progress.update(task, completed=done.events)


def _print(changes: Sequence[Mapping[str, Any]], *, applied: bool) -> None:
    if not changes:
        typer.echo("No cost changes." if not applied else "No cost has changed.", err=True)
        return
    console(10_000).print(_table(changes))
    if not applied:
        typer.echo("Nothing was changed yet; --apply does it.", err=True)


def _table(changes: Sequence[Mapping[str, Any]]) -> "Table":
    from rich.table import Column, Table

    table = Table(
        *(Column(name, justify="right" if name in _COLUMNS[4:] else "left") for name in _COLUMNS),
        box=None,
        pad_edge=False,
    )
    for change in changes:
        texts = [change["provider"] or "(none)", *(change[name] for name in _COLUMNS[1:4])]
        amounts = [f"{change[name]:,f}" for name in _COLUMNS[5:]]
        table.add_row(*texts, f"{change['events']:,}", *amounts)
    return table
