"""The four systems' lists of single events."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from tally.http.api import JsonAnswer
from tally.http.asking import Asker
from tally.http.endpoints.content_platform import TokenParameters
from tally.http.endpoints.parameters import MOST_WHOLE, WRITTEN_WHOLE, Parameters, Text, ZonedParameters, refused
from tally.http.examples import example
from tally.usage import event_lists, events
from tally.usage.event_lists import MOST_ITEMS, Table
from tally.usage.events import Place
from tally.usage.inquiry import Inquiry
from tally.usage.question import parse_question

router = APIRouter()
_PAGINATION = {"page": 1, "page_size": 50, "total_items": 1, "total_pages": 1, "next_cursor": None}
_TIME = "2026-05-01T12:00:00Z"
_RECEIVED = "2026-05-01T12:00:01Z"


def _of_ours(cursor: str) -> str:
    try:
        events.place_of(cursor)
    except ValueError as error:
        raise PydanticCustomError("cursor", "{reason}", {"reason": str(error)}) from None
    return cursor


Cursor = Annotated[str, AfterValidator(_of_ours)]
PageSize = Annotated[int, Field(ge=1, le=MOST_ITEMS), WRITTEN_WHOLE]


class PageParameters(Parameters):
    """Which page of a list: by number, or by the cursor of the page before it."""

    page: Annotated[int, Field(ge=1, le=MOST_WHOLE), WRITTEN_WHOLE] | None = Field(
        None, description="From 1; the first if not given."
    )
    page_size: PageSize = Field(50, description="Items a page.")
    cursor: Cursor | None = Field(None, description="next_cursor of the page before, in place of page.")

    def at(self) -> int | Place:
        """The number of the page, or the place behind which it begins.

        Raises:
            Malformed: both are given.
        """
        if self.cursor is None:
            return self.page or 1
        if self.page is not None:
            raise refused("cursor", "expected either page or cursor", self.cursor)
        return events.place_of(self.cursor)


class DetailedParameters(TokenParameters, PageParameters):
    """Filters, days and page of system A's detailed table."""


class ActivityParameters(Parameters):
    """Filters and page of system B's activity log."""

    limit: PageSize = Field(50, description="Items a page.")
    cursor: Cursor | None = Field(None, description="next_cursor of the page before.")
    user_id: Text | None = Field(None, description="Only calls of this user; empty for none.")
    organization_id: Text | None = Field(None, description="Only calls of this organization; empty for none.")

    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filters given."""
        given = self.model_dump(include={"user_id", "organization_id"}, exclude_none=True)
        return {name: (value,) for name, value in given.items()}


class RecordParameters(ZonedParameters, PageParameters):
    """Filters, range, search and page of system C's records."""

    operation: Text | None = Field(None, description="Only events with this operation; empty for none.")
    platform: Text | None = Field(None, description="Only events of this platform; empty for none.")
    lower: Text | None = Field(None, alias="from", description="A date or a time with offset, included.")
    upper: Text | None = Field(None, alias="to", description="A date or a time with offset, excluded.")
    search: Text = Field("", description="A part of the topic, the user's name or the token's name, in any case.")

    def shared(self) -> list[tuple[str, str]]:
        """Range, zone and filters, as parameters of `GET /v1/usage`."""
        given = self.model_dump(
            include={"lower", "upper", "timezone", "operation", "platform"}, by_alias=True, exclude_none=True
        )
        return list(given.items())


_DETAILED = {
    "id": "0197b0a5-6a5e-7c3f-9d8a-0f4e2b1c7d6e",
    "created_at": _TIME,
    "user_id": "anna",
    "agent_id": "writer",
    "ai_provider": "openai",
    "ai_model": "gpt-4",
    "prompt_tokens": 1200,
    "completion_tokens": 350,
    "total_tokens": 1550,
    "cost_usd": 0.0065,
    "cost_rub": 0.6,
    "execution_time_ms": 812.5,
    "received_at": _RECEIVED,
}


@router.get(
    "/api/v1/billing/usage/tokens/detailed",
    tags=["system A"],
    responses=example({"success": True, "data": {"items": [_DETAILED], "pagination": _PAGINATION}}),
)
async def tokens_detailed(ask: Asker, parameters: Annotated[DetailedParameters, Query()]) -> JsonAnswer:
    """Every column of each event, newest first. A page far behind costs what the first does."""
    where, at = parameters.zone(), parameters.at()

    def answer(inquiry: Inquiry) -> dict[str, Any]:
        table = Table(parameters.filters(), parameters.span(inquiry.now), where, parameters.page_size, at)
        return event_lists.detailed(inquiry, table)

    return JsonAnswer({"success": True, "data": await ask(answer)})


_ACTIVITY = {
    "id": "0197b0a5-6a5e-7c3f-9d8a-0f4e2b1c7d6e",
    "user_id": "anna",
    "organization_id": "acme",
    "endpoint": "/v1/chat",
    "method": "POST",
    "status_code": 200,
    "response_time_ms": 84.2,
    "total_tokens": 1550,
    "cost": 0.0065,
    "cost_currency": "USD",
    "created_at": _TIME,
}


@router.get(
    "/api/v1/activity",
    tags=["system B"],
    responses=example({"items": [_ACTIVITY], "next_cursor": "t1777636800000000s42"}),
)
async def activity(ask: Asker, parameters: Annotated[ActivityParameters, Query()]) -> JsonAnswer:
    """Calls of users and organizations, newest first."""
    after = None if parameters.cursor is None else events.place_of(parameters.cursor)
    return JsonAnswer(
        await ask(lambda inquiry: event_lists.activity(inquiry, parameters.filters(), parameters.limit, after))
    )


_RECORD = {
    "id": "0197b0a5-6a5e-7c3f-9d8a-0f4e2b1c7d6e",
    "time": _TIME,
    "operation": "TEXT_GENERATION",
    "platform": "telegram",
    "topic": "Весенняя распродажа",
    "user_name": "Анна Петрова",
    "token_hash": "cd" * 32,
    "token_name": "generator",
    "model": "GigaChat-Pro",
    "total_tokens": 1550,
    "tokens_estimated": True,
    "received_at": _RECEIVED,
}


@router.get(
    "/api/v1/ai/records",
    tags=["system C"],
    responses=example({"items": [_RECORD], "pagination": _PAGINATION}),
)
async def ai_records(ask: Asker, parameters: Annotated[RecordParameters, Query()]) -> JsonAnswer:
    """Events with tokens, a model or an operation, newest first, and those of them that a search finds."""
    at = parameters.at()

    def answer(inquiry: Inquiry) -> dict[str, Any]:
        question = parse_question(parameters.shared(), inquiry.now)
        size, search = parameters.page_size, parameters.search
        return event_lists.records(inquiry, Table(question.filters, question.span, question.zone, size, at, search))

    return JsonAnswer(await ask(answer))


_LAST_RECORD = {
    "token_hash": "cd" * 32,
    "route_path": "/v1/chat",
    "used_at": _TIME,
    "response_status": 200,
    "response_time_ms": 84.2,
    "request_method": "POST",
    "error_message": None,
}


@router.get("/api/usage/test-data", tags=["system D"], responses=example({"items": [_LAST_RECORD]}))
async def last_records(ask: Asker, _parameters: Annotated[Parameters, Query()]) -> JsonAnswer:
    """The last ten records."""
    return JsonAnswer(await ask(event_lists.last_records))
