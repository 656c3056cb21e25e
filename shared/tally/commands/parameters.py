"""Options of commands that are parameters of the interface too."""

from datetime import UTC, datetime

import typer

from tally.errors import Malformed


def as_over_http(parameter: typer.CallbackParam, value: str) -> str:
    """Refuses what `GET /v1/usage` refuses for the parameter of the same name, in the same words."""
    from tally.usage.question import parse_question

    try:
        parse_question([(str(parameter.name), value)], datetime.now(UTC))
    except Malformed as error:
        raise typer.BadParameter(error.errors[0]["message"]) from error
    return value
