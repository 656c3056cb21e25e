"""What questions share that have parameters of their own beside some of `GET /v1/usage`. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from difflib import get_close_matches

from tally.errors import Malformed
from tally.usage.question import DIMENSIONS, Faults, Question, is_dimension, parse_question
from tally.usage.spec import LABEL

Parameters = list[tuple[str, str]]


def apart(
    parameters: Iterable[tuple[str, str]], own: Sequence[str], shared: Sequence[str], faults: Faults
) -> tuple[dict[str, str], Parameters]:
    """The parameters named in `own`, and those named in `shared` with all dimensions; others are added to `faults`."""
    mine: dict[str, str] = {}
    others: Parameters = []
    for name, value in parameters:
        if name in own:
            mine[name] = value
        elif name in shared or is_dimension(name):
            others.append((name, value))
        else:
            known = [*own, *shared, *DIMENSIONS]
            near = get_close_matches(name[:100], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)} and {LABEL}NAME"
            faults.add(name[:100], f"is not a parameter; {hint}", value)
    return mine, others


def parse_shared(shared: Parameters, now: datetime, faults: Faults) -> Question:
    """The question of the shared parameters.

    Raises:
        Malformed: names every bad parameter, those that `faults` has before them.
    """
    try:
        question = parse_question(shared, now)
    except Malformed as error:
        faults.errors += error.errors
        raise faults.error() from None
    faults.raise_if_any()
    return question
