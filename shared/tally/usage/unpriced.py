"""Models whose requests have no cost."""

from typing import Any

from tally.usage import engine
from tally.usage.figures import whole
from tally.usage.inquiry import Inquiry
from tally.usage.keys import known_values
from tally.usage.spec import Spec

_MEASURE = "unpriced_requests"


def models(inquiry: Inquiry, limit: int) -> list[dict[str, Any]]:
    """At most `limit` of them as `{provider, model, unpriced_requests}`, of all time, most requests first.

    Without a model they are requests of which only tokens are known.

    Raises:
        Forbidden: as `Inquiry.filters`.
        QuestionTooLarge: the time limit.
    """
    keys = ("provider_key", "model_key")
    spec = Spec((_MEASURE,), keys, filters=inquiry.filters(), order_by=f"-{_MEASURE}", limit=limit)
    rows = [row for row in engine.run(inquiry.connection, spec) if whole(row, _MEASURE)]
    known = known_values(inquiry.connection, (row[key] for row in rows for key in keys))

    def name(key: int) -> str | None:
        return known[key].value if key else None

    return [
        {"provider": name(row["provider_key"]), "model": name(row["model_key"]), _MEASURE: whole(row, _MEASURE)}
        for row in rows
    ]
