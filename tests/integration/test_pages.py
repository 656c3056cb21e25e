"""Pages of an answer fit together: whatever arrives or is folded meanwhile, no row is lost, repeated or changed."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tally import jsontext
from tally.database import Store
from tally.rollup import fold_step
from tally.usage.answer import answer, page_of
from tally.usage.inquiry import Inquiry
from tally.usage.question import parse_question
from tests.support.events import random_events
from tests.support.functions import read_json
from tests.support.half_folded import EVERYBODY, NOW, HalfFolded, half_folded
from tests.support.postgres import Server
from tests.support.store import record

SUMS = "requests,errors,total_tokens,cost,avg_response_time_ms,error_rate,success_rate"
ORDERS = (
    "requests", "-requests", "-cost", "avg_response_time_ms", "-error_rate", "success_rate", "-success_rate", "route",
    "-user_id", "-window_start",
)  # fmt: skip
Parameters = list[tuple[str, str]]


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    with half_folded(postgres) as made:
        yield made


def asked(store: Store, parameters: Parameters) -> Any:
    with store.snapshot() as connection:
        found = answer(Inquiry(connection, EVERYBODY, NOW), parse_question(parameters, NOW))
    return read_json(jsontext.dump_answer(found))


def walked(store: Store, parameters: Parameters, limit: int, between: Callable[[int], None]) -> list[Any]:
    """The rows of all pages; `between` is called with the number of each page before it is asked for."""
    rows: list[Any] = []
    cursor: str | None = ""
    number = 0
    while cursor is not None:
        number += 1
        between(number)
        own = [("limit", str(limit)), *([("cursor", cursor)] if cursor else [])]
        page = asked(store, [*parameters, *own])
        assert len(page["rows"]) <= limit
        rows += page["rows"]
        cursor = page["next_cursor"]
    return rows


def question(order: str, *others: tuple[str, str]) -> Parameters:
    by = "route,user_id,label:tier"
    window = [("window", "month"), ("from", "2025-09-01"), ("to", "2026-05-01")] if "window" in order else []
    return [("metrics", SUMS), ("group_by", by), ("order_by", order), *window, *others]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("group_by", ["route,user_id,label:tier", "route,user_id"], ids=["raw", "raw too"])
def test_a_page_begins_where_the_one_before_ended(half: HalfFolded, order: str, group_by: str) -> None:
    parameters = [(name, group_by if name == "group_by" else value) for name, value in question(order)]
    whole = asked(half.store, parameters)["rows"]
    assert len(whole) > 60
    assert walked(half.store, parameters, 7, lambda _: None) == whole


@pytest.mark.parametrize("order", ["-requests", "requests", "-cost", "-avg_response_time_ms", "-error_rate", "user_id"])
@pytest.mark.parametrize(
    "others",
    [
        [("group_by", "user_id")],
        [
            ("group_by", "model"), ("window", "day"), ("from", "2026-03-01"), ("to", "2026-04-08"),
            ("timezone", "Asia/Kolkata"),
        ],
        [("group_by", "user_id"), ("window", "month"), ("from", "2025-09-01"), ("to", "2026-05-01"), ("fill", "zero")],
        [("group_by", "label:region,method")],
    ],
    ids=["user", "model by local day", "filled", "label"],
)  # fmt: skip
def test_what_arrives_and_is_folded_between_pages_changes_none(
    postgres: Server, order: str, others: Parameters
) -> None:
    group_by = dict(others)["group_by"]
    if order == "user_id" and "user_id" not in group_by:
        order = group_by.split(",")[0]
    parameters = [("metrics", SUMS), ("order_by", order), *others]
    rng = random.Random(order + group_by)

    with half_folded(postgres, seed=7) as made:
        whole = asked(made.store, parameters)["rows"]

        def more(number: int) -> None:
            if number == 1:
                return
            times = [NOW - timedelta(seconds=rng.uniform(0, 200 * 86400)) for _ in range(15)]
            record(made.store, list(random_events(rng, times, source=f"page {number}")), NOW)
            for _ in range(number % 3):
                fold_step(made.store, events=120, detailed_from=20)

        limit = max(2, len(whole) // 6)
        assert walked(made.store, parameters, limit, more) == whole
        assert asked(made.store, parameters)["rows"] != whole


@pytest.mark.parametrize("order", ["-requests", "user_id", "-cost"])
def test_a_late_page_reads_what_the_first_does(half: HalfFolded, order: str) -> None:
    parameters = [("metrics", SUMS), ("group_by", "user_id"), ("order_by", order), ("explain", "true"), ("limit", "2")]
    read = []
    with half.store.snapshot() as connection:
        admin = Inquiry(connection, EVERYBODY.__class__("t", "admin", EVERYBODY.scopes | {"admin"}), NOW)
        page = page_of(admin, parse_question(parameters, NOW))
        while True:
            assert page.explain is not None
            read.append({name: rows for name, rows in page.explain["rows_read"].items() if name != "dimensions"})
            if page.next_cursor is None:
                break
            page = page_of(admin, parse_question([*parameters, ("cursor", str(page.next_cursor))], NOW))
    assert len(read) > 5
    # Later pages also look for what was folded after the first: a look at the watermark more, and no event.
    assert {rows["usage_events"] for rows in read} == {read[0]["usage_events"]}
    assert {rows["cube_user_day"] for rows in read} == {read[0]["cube_user_day"]}
