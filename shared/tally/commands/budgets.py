"""`tally budgets`: what may be spent, by whom, and how much of it is."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tally.commands.database import opened, with_database
from tally.commands.terminal import console
from tally.principal import Principal

if TYPE_CHECKING:
    from rich.table import Table

    from tally.budgets.budget import Standing

budgets = typer.Typer(no_args_is_help=True, help="Budgets: what may be spent, by whom, and what is.")
_APPLICATION = "tally budgets"
_ACTOR = Principal("", "command line", frozenset())


@budgets.command("list")
def show() -> None:
    """Show how every budget stands in its window now, and what is expected at the window's end."""
    from tally.budgets import storage
    from tally.budgets.forecast import forecasts
    from tally.budgets.spending import alike, standings
    from tally.clock import Clock

    with opened(with_database(), _APPLICATION) as store:
        now = Clock(store).now()
        with store.snapshot() as connection:
            groups = alike(storage.every(connection), now)
            found = [one for group in groups for one in standings(connection, group)]
            ends = forecasts(connection, found, now)
    console(10_000).print(_table(sorted(found, key=lambda one: one.budget.id), ends))


@budgets.command("set")
def put(
    budget_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Which to change; what is not given stays.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What it is called.")] = None,
    amount: Annotated[str | None, typer.Option(metavar="DECIMAL", help="What may be spent in a window.")] = None,
    currency: Annotated[str | None, typer.Option(metavar="CODE", help="What in, such as USD.")] = None,
    window: Annotated[str | None, typer.Option(help="day, week, month or total.")] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Whose days, weeks and months.", show_default="UTC")
    ] = None,
    organization: Annotated[str | None, typer.Option(metavar="ID", help="Only calls of this organization.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only calls of this user.")] = None,
    token: Annotated[str | None, typer.Option(metavar="ID", help="Only calls made with this token.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="ID", help="Only calls of this agent.")] = None,
    model: Annotated[str | None, typer.Option(help="Only calls of this model.")] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="PERCENT", help="Whose crossing is told. Repeat.", show_default="50, 80, 100"),
    ] = None,
    hard: Annotated[
        bool | None, typer.Option("--hard/--soft", help="Whether checks of limits deny once it is spent.")
    ] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Where crossings are posted to.")] = None,
) -> None:
    """Make a budget, or change one with `--id`; print its id.

    A new webhook's secret is printed below the id, this once: posts are signed with it.
    """
    from tally.budgets.fields import BudgetFields
    from tally.budgets.managing import BudgetManager
    from tally.http.managing import checked

    options = {
        "name": name, "amount": amount, "currency": currency, "window": window, "timezone": timezone,
        "organization_id": organization, "user_id": user, "token_id": token, "agent_id": agent, "model": model,
        "thresholds": threshold or None, "hard": hard, "webhook_url": webhook,
    }  # fmt: skip
    given = {option: value for option, value in options.items() if value is not None}

    def merged(current: Mapping[str, Any]) -> BudgetFields:
        return checked(BudgetFields, {**current, **given})

    chosen = with_database()
    with opened(chosen, _APPLICATION) as store, store.transaction() as connection:
        manager = BudgetManager(connection, _ACTOR, chosen.private_webhooks)
        done = manager.add(merged({})) if budget_id is None else manager.change(budget_id, merged)
    typer.echo(done.budget.id)
    if done.webhook_secret is not None:
        typer.echo("Keep the secret of its webhook:", err=True)
        typer.echo(done.webhook_secret)


@budgets.command()
def delete(budget_id: Annotated[str, typer.Argument(metavar="ID", help="The budget's id.")]) -> None:
    """Delete a budget. What is still to be told to its webhook is given up."""
    from tally.budgets.managing import BudgetManager

    chosen = with_database()
    with opened(chosen, _APPLICATION) as store, store.transaction() as connection:
        BudgetManager(connection, _ACTOR, chosen.private_webhooks).remove(budget_id)
    typer.echo(f"Budget {budget_id} is deleted.")


def _table(standings: "list[Standing]", ends: Mapping[str, Decimal | None]) -> "Table":
    from rich.table import Table

    table = Table("id", "name", "of", "window", box=None, pad_edge=False)
    for column in ("amount", "spent", "%", "left", "forecast"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in standings:
        budget = one.budget
        forecast = ends[budget.id]
        table.add_row(
            budget.id,
            _printable(budget.name),
            _printable(", ".join(f"{field} {value}" for field, value in budget.subject.given()) or "everything"),
            budget.window if budget.window == "total" else f"{budget.window}, {budget.timezone}",
            f"{budget.amount:,f} {budget.currency}",
            f"{one.spent:z,.4f}{'*' if _is_incomplete(one) else ''}",
            f"{one.percent:z,.1f}",
            f"{one.left:z,.4f}",
            "-" if forecast is None else f"{forecast:z,.4f}",
        )
    if any(map(_is_incomplete, standings)):
        table.caption = "* without costs that have no amount in the currency"
    return table


def _is_incomplete(standing: "Standing") -> bool:
    return "unconverted_requests" in standing.left_out


def _printable(text: str) -> str:
    """A text as it may be printed: control characters would be commands to the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
