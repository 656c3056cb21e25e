"""The command `tally`. What it says about its work goes to standard error, results to standard output."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tally import __version__
from tally.commands.budgets import budgets
from tally.commands.database import with_database
from tally.commands.estimate import estimate
from tally.commands.forecast import forecast
from tally.commands.parameters import as_over_http
from tally.commands.prices import prices
from tally.commands.rates import rates
from tally.commands.reprice import reprice, unpriced
from tally.commands.terminal import console
from tally.errors import ConfigurationError, TallyError, Unavailable
from tally.usage.stats import By

if TYPE_CHECKING:
    from tally.settings import Settings

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class _Group(TyperGroup):
    """Turns what went wrong into one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except (TallyError, OSError) as error:
            typer.echo(f"tally: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    name="tally",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tally meters API calls and AI tokens: who used what, how much, how fast, what it cost.\n\n"
    "`tally up` runs all of it on this machine. The other commands work on the database that "
    "TALLY_DATABASE_URL or TALLY_CLOUD_SQL_INSTANCE names, or else on what `tally up` runs from the same data "
    "folder (TALLY_DATA_DIR, by default .tally in the current one). "
    "`tally config` lists every setting.",
)
tokens = typer.Typer(no_args_is_help=True, help="API tokens: who may send and read usage.")
app.add_typer(tokens, name="tokens")
app.add_typer(budgets, name="budgets")
app.add_typer(prices, name="prices")
prices.command()(reprice)
prices.command()(unpriced)
app.add_typer(rates, name="rates")
app.command()(estimate)


@app.command()
def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.", show_default="8080")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of database, logs and admin token.", show_default=".tally"),
    ] = None,
    sample: Annotated[
        bool | None,
        typer.Option("--sample/--no-sample", help="Load sample data into an empty store.", show_default="sample"),
    ] = None,
    admin_token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Admin token.", show_default="made, and kept in the data folder"),
    ] = None,
    emulator: Annotated[
        bool,
        typer.Option(
            "--emulator",
            help="Publish through the installed Google Pub/Sub emulator; it keeps messages in memory only.",
        ),
    ] = False,
) -> None:
    """Run all of Tally on this machine until Ctrl-C.

    Starts a PostgreSQL of its own and every function, applies the migrations, loads sample data, and says how
    to go on. Data stays in the data folder. Options win over TALLY_PORT, TALLY_DATA_DIR, TALLY_SAMPLE and
    TALLY_ADMIN_TOKEN. With PUBSUB_EMULATOR_HOST set, events go through that emulator.
    """
    from tally.settings import read

    chosen = read(port=port, data_dir=data_dir, sample=sample, admin_token=admin_token)
    try:
        from tally.local.up import up as run
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error}; `tally up` needs more: pip install 'tally\\[local]'") from error
    run(chosen, emulator=emulator)


@app.command()
def serve(
    function: Annotated[
        str | None,
        typer.Argument(help="ingest, record, query, admin, rollup or migrate.", show_default="TALLY_FUNCTION"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - a container's own
    port: Annotated[int, typer.Option(min=1, max=65535, envvar="PORT", help="Port to listen on.")] = 8080,
) -> None:
    """Serve one function: what its container runs, and what `tally up` runs for each.

    Every setting is checked first: one that is unknown, malformed or missing ends the start. Without a terminal the
    reason is a line of the function's log.
    """
    from tally.job import job
    from tally.serve import serve as run
    from tally.serve import to_serve
    from tally.settings import variable

    name = function or os.environ.get(variable("function"), "serve")
    with nullcontext() if sys.stderr.isatty() else job(name):
        chosen = to_serve(function)
    run(chosen, host, port)


@app.command()
def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")] = False,
) -> None:
    """Bring the database to the schema that this version needs, with prices where it has none.

    Safe to run twice at once. `--sql` prints all migrations for somebody who applies them by hand. Where functions have
    database users of their own (TALLY_DATABASE_USERS), each is granted what it needs.
    """
    from tally import migrate as migrations
    from tally import price_import
    from tally.settings import settings

    if sql:
        typer.echo(migrations.sql(settings().database_users), nl=False)
        return
    chosen = with_database()
    reached = migrations.upgrade(chosen)
    priced = price_import.seed(chosen)
    typer.echo(f"The database is at migration {reached}{f'; {priced} prices were put into it' if priced else ''}.")


@app.command()
def generate(
    events: Annotated[int, typer.Option(min=1, help="How many.")] = 20_000,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Over how many days up to now.")] = 35,
    seed: Annotated[int, typer.Option(help="Another seed makes other events.")] = 1,
    url: Annotated[str | None, typer.Option(help="Address of Tally.", show_default="what `tally up` runs")] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="API token with scope ingest.", show_default="the admin token"),
    ] = None,
) -> None:
    """Send sample events of four made-up systems, through the same door as real ones."""
    from rich.console import Console

    from tally.local.admin_token import kept_admin_token
    from tally.local.generate import load_sample
    from tally.local.stackfile import running_stack
    from tally.settings import settings

    chosen = settings()
    running = running_stack(chosen.data_dir)
    address = url or (running["url"] if running else None)
    if address is None:
        raise ConfigurationError(f"nothing runs from {chosen.data_dir.resolve()}; start `tally up`, or give --url")
    secret = token or kept_admin_token(chosen)
    if secret is None:
        raise ConfigurationError("no API token is known; give --token")
    console = Console(stderr=True)
    report = load_sample(address, secret, console, events=events, days=days, seed=seed)
    typer.echo(f"{report.events} events accepted in {report.seconds:.1f} s.")


@app.command()
def rollup(
    every: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Go on until stopped, at this interval.")
    ] = None,
) -> None:
    """Fold new events into the figures, make and drop partitions, notice crossed budgets and tell of them.

    With `--every`, budgets are noticed and told beside folding, which waits for no receiver.
    """
    from tally.rollup import run_once
    from tally.watching import watch_once

    chosen = with_database()
    if every is None:
        report = run_once(chosen)
        watched = watch_once(chosen)
        typer.echo(
            f"{report.folded} events folded, {report.partitions_made} partitions made, "
            f"{len(report.partitions_dropped)} dropped, {watched.crossings} crossings of budgets noticed."
        )
        return
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    # What it leaves undone when the process ends is told by the next one.
    threading.Thread(target=_repeat, args=(watch_once, chosen, every, stopped), daemon=True).start()
    _repeat(run_once, chosen, every, stopped)


def _repeat(work: "Callable[[Settings], object]", chosen: "Settings", every: float, stopped: threading.Event) -> None:
    try:
        while not stopped.wait(every):
            try:
                work(chosen)
            except Unavailable as error:  # the next round finds what this one could not do
                typer.echo(f"tally: {error}", err=True)
    finally:
        stopped.set()


@app.command()
def stats(
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many local days, today included.")] = 7,
    by: Annotated[By, typer.Option(help="What each line is about.")] = "day",
    timezone: Annotated[
        str,
        typer.Option(metavar="ZONE", callback=as_over_http, help="Whose days, such as Europe/Moscow."),
    ] = "UTC",
    currency: Annotated[
        str,
        typer.Option(metavar="CODE", callback=as_over_http, help="What costs are shown in, such as EUR."),
    ] = "USD",
) -> None:
    """Show the figures of the last days as a table: requests, errors, response times, tokens, cost.

    - `tally stats --timezone Europe/Moscow`: a line for each of the last 7 days in Moscow

    - `tally stats --days 30 --by model --currency EUR`: the models of the last 30 days

    Operations, agents and models with most tokens come first; users, tokens and routes with most requests. After 20
    of them the others are only counted. The last line is the total of all. p95, the time within which 95 % of
    requests were answered, is right to 2 %; all else is exact and the same as `GET /v1/usage` answers. Wide values are
    cut where the terminal ends; in a pipe they are whole.
    """
    from tally.clock import Clock
    from tally.database import Store
    from tally.principal import Principal
    from tally.schema import SchemaGuard
    from tally.usage.answer import answer
    from tally.usage.engine import QUERY_OPTIONS
    from tally.usage.inquiry import Inquiry
    from tally.usage.question import parse_question
    from tally.usage.stats import stats as stats_of
    from tally.usage.table import rendered
    from tally.usage.windows import zone

    chosen = with_database()
    limit = {"statement_timeout": str(int(chosen.query_timeout_seconds * 1000))}
    store = Store(chosen, "tally stats", pool_size=1, options={**QUERY_OPTIONS, **limit})
    try:
        SchemaGuard(store).check()
        now = Clock(store).now()
        with store.snapshot() as connection:
            inquiry = Inquiry(connection, Principal("", "tally stats", frozenset({"read", "read:all"})), now)
            found = stats_of(
                lambda parameters: answer(inquiry, parse_question(parameters, now)),
                now, by=by, days=days, zone=zone(timezone), currency=currency,
            )  # fmt: skip
    finally:
        store.dispose()
    console(10_000).print(rendered(found))


app.command()(forecast)


@tokens.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for; events sent with it have this as their source.")],
    scope: Annotated[
        list[str],
        typer.Option(help="What it may do: ingest, read, read:all, limits or admin. Repeat for several."),
    ],
    organization: Annotated[str | None, typer.Option(metavar="ID", help="Bind it to an organization.")] = None,
    team: Annotated[str | None, typer.Option(metavar="ID", help="Bind it to a team.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Bind it to a user.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends, such as 2030-12-31T00:00:00+03:00.")
    ] = None,
    token_hash: Annotated[
        str | None,
        typer.Option(metavar="HEX64", help="SHA-256 of a secret made elsewhere, which then never comes here."),
    ] = None,
) -> None:
    """Make an API token and print its secret, this once: only its SHA-256 is stored.

    With `--token-hash` the secret stays where it was made, and the token's id is printed instead.
    """
    from tally.database import Store
    from tally.tokens import create as create_token
    from tally.tokens import register

    bound = {"organization_id": organization, "team_id": team, "user_id": user}
    ends = _moment(expires) if expires else None
    store = Store(with_database(), "tally tokens", pool_size=1)
    try:
        if token_hash is not None:
            typer.echo(register(store, name, scope, token_hash, **bound, expires_at=ends).id)
            return
        made = create_token(store, name, scope, **bound, expires_at=ends)
    finally:
        store.dispose()
    typer.echo(f"Token {made.id} ({made.name}: {', '.join(made.scopes)}). Keep its secret:", err=True)
    typer.echo(made.secret)


@tokens.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id, which `create` printed.")],
) -> None:
    """End an API token for good: within seconds it is refused everywhere. What it sent stays."""
    from tally.database import Store
    from tally.tokens import revoke as revoke_token

    store = Store(with_database(), "tally tokens", pool_size=1)
    try:
        revoke_token(store, token_id)
    finally:
        store.dispose()
    typer.echo(f"Token {token_id} is revoked.")


@app.command()
def smoke(
    url: Annotated[str, typer.Option(help="Address that events are sent to.")],
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="SMOKE_TOKEN",
            help="API token with scopes ingest and read, bound to the organization tally-smoke.",
        ),
    ],
    query_url: Annotated[
        str | None, typer.Option(help="Address that figures are asked from.", show_default="the same")
    ] = None,
) -> None:
    """Send an event to a running Tally three times and see that it is counted once.

    Takes as long as the event takes and a few seconds more, at most some minutes. The event is of the organization
    tally-smoke, thus in nobody else's figures.
    """
    from tally.smoke import Target
    from tally.smoke import smoke as run

    seconds = run(Target(url, query_url or url, token), lambda step: typer.echo(step, err=True))
    typer.echo(f"Tally counts right: smoke test passed in {seconds:.1f} s.")


@app.command()
def config() -> None:
    """List every setting with its value, default and meaning. Secrets are masked."""
    from rich.table import Table

    from tally.settings import Settings, settings, shown, variable

    current, default = settings(), Settings.model_construct()
    table = Table("Variable", "Value", "Default", "Meaning", box=None, pad_edge=False)
    for name, field in Settings.model_fields.items():
        table.add_row(variable(name), shown(current, name), shown(default, name), field.description)
    console(240).print(table)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"tally {__version__}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"expected a time with an offset, such as 2030-12-31T00:00:00+03:00, not {text!r}")
    return moment


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
