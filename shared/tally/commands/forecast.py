"""`tally forecast`: what the coming days will bring."""

from functools import partial
from typing import Annotated

import typer

from tally.commands.database import opened, with_database
from tally.commands.parameters import as_over_http
from tally.commands.terminal import console

_Values = list[str] | None


def forecast(
    days: Annotated[int, typer.Option(min=1, max=366, help="How many local days, from tomorrow on.")] = 30,
    history_days: Annotated[
        int, typer.Option(min=2, max=366, help="How many days up to yesterday to learn from.")
    ] = 84,
    timezone: Annotated[
        str,
        typer.Option(metavar="ZONE", callback=as_over_http, help="Whose days, such as Europe/Moscow."),
    ] = "UTC",
    currency: Annotated[
        str,
        typer.Option(metavar="CODE", callback=as_over_http, help="What costs are shown in, such as EUR."),
    ] = "USD",
    organization: Annotated[_Values, typer.Option(metavar="ID", help="Only calls of this organization.")] = None,
    user: Annotated[_Values, typer.Option(metavar="ID", help="Only calls of this user.")] = None,
    provider: Annotated[_Values, typer.Option(metavar="NAME", help="Only calls of this provider's models.")] = None,
    model: Annotated[_Values, typer.Option(metavar="NAME", help="Only calls of this model.")] = None,
    agent: Annotated[_Values, typer.Option(metavar="ID", help="Only calls of this agent.")] = None,
    operation: Annotated[_Values, typer.Option(metavar="NAME", help="Only calls with this operation.")] = None,
) -> None:
    """Show what the coming days will bring: tokens with bounds, and what they cost.

    - `tally forecast --timezone Europe/Moscow`: each of the next 30 days in Moscow, and all of them

    - `tally forecast --days 7 --model gpt-4o --currency EUR`: the next week of one model

    - `tally forecast --user 7 --user 8`: two users together; other filters are given twice in the same way

    Learnt from the days that are over: the pattern of the week, a level that moves, and a trend where there is one.
    Single days far out of line and outages do not count. A day's tokens are between its bounds in 8 of 10 cases, and so
    is the sum between those of the last line. The figures are those of `GET /v1/forecast`.
    """
    from tally.budgets.running_out import with_budgets
    from tally.clock import Clock
    from tally.principal import Principal
    from tally.usage.forecast_question import ForecastQuestion, answer
    from tally.usage.forecast_table import rendered
    from tally.usage.inquiry import Inquiry
    from tally.usage.windows import zone

    filters = {
        "organization_id": organization, "user_id": user, "provider": provider, "model": model, "agent_id": agent,
        "operation": operation,
    }  # fmt: skip
    question = ForecastQuestion(
        days=days,
        history_days=history_days,
        zone=zone(timezone),
        currency=currency.upper(),
        filters={name: tuple(values) for name, values in filters.items() if values},
    )
    with opened(with_database(), "tally forecast") as store:
        now = Clock(store).now()
        with store.snapshot() as connection:
            inquiry = Inquiry(connection, Principal("", "tally forecast", frozenset({"read", "read:all"})), now)
            found = with_budgets(inquiry, question.filters, question.currency, partial(answer, inquiry, question))
    console(10_000).print(rendered(question, found))
