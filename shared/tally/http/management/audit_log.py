"""The audit log, newest first."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from tally import jsontext
from tally.database import statement
from tally.http.api import JsonAnswer
from tally.http.endpoints.cursors import Cursor, cursor_behind
from tally.http.endpoints.parameters import Parameters, Text, Whole
from tally.http.examples import example
from tally.http.managing import Act, Manager

router = APIRouter(tags=["management"])
_MOST_ITEMS = 200
_ENTRY = {
    "id": 7,
    "at": "2026-05-01T12:00:00Z",
    "actor": "finance",
    "actor_id": "0197b0a5-6a5e-7c3f-9d8a-0f4e2b1c7d6e",
    "action": "create",
    "kind": "exchange rate",
    "subject_id": "USD/RUB/2026-05-01",
    "before": None,
    "after": {"base": "USD", "quote": "RUB", "rate": 80.5},
}


class AuditParameters(Parameters):
    """Which entries, and how many."""

    kind: Text | None = Field(None, description="Only changes of this kind of thing.", examples=["price"])
    subject_id: Text | None = Field(None, description="Only changes of this one.")
    limit: Whole = Field(50, ge=1, le=_MOST_ITEMS, description="Entries at most.")
    cursor: Cursor | None = Field(None, description="The next_cursor of the page before.")


@router.get("/v1/audit-log", responses=example({"items": [_ENTRY], "next_cursor": None}))
async def audit_log(manage: Manager, parameters: Annotated[AuditParameters, Query()]) -> JsonAnswer:
    """Who changed what, newest first, with how it was before and after."""

    def page(act: Act) -> dict[str, Any]:
        after = parameters.cursor
        rows = act.connection.execute(
            statement("audit", "page"),
            {
                "kind": parameters.kind,
                "subject_id": parameters.subject_id,
                "behind": int(after) if after is not None and after.isdecimal() else None,
                "rows": parameters.limit + 1,
            },
        ).mappings()
        items = [{**row, "before": _exact(row["before"]), "after": _exact(row["after"])} for row in rows]
        shown = items[: parameters.limit]
        more = cursor_behind(str(shown[-1]["id"])) if len(items) > len(shown) else None
        return {"items": shown, "next_cursor": more}

    return JsonAnswer(await manage(page))


def _exact(text: str | None) -> object:
    """JSON as it is, with every digit of its numbers."""
    return None if text is None else jsontext.raw(text)
