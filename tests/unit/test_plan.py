"""A question takes the narrowest cube of each grain that knows all that it needs, and raw events where none does."""

from datetime import UTC, datetime, timedelta

import pytest

from tally.cubes import CUBES, HISTOGRAM
from tally.usage.coverage import EVER, Span
from tally.usage.plan import EXACT_PERCENTILES, plan
from tally.usage.spec import Spec

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
# From within an hour to within an hour, over whole hours, quarters of a day, days and a month.
WIDE = Span(FIRST - timedelta(days=2, hours=9, minutes=7), FIRST + timedelta(days=40, hours=5, minutes=9))


def chosen(spec: Spec) -> dict[str, str]:
    return {grain: cube.table.name for grain, cube in plan(spec).calls.cubes.items()}


def chosen_for_costs(spec: Spec) -> list[str]:
    part = plan(spec).costs
    assert part is not None
    return [cube.table.name for cube in part.cubes.values()]


@pytest.mark.parametrize(
    ("spec", "cubes"),
    [
        (Spec(("requests",), span=WIDE), "source_day source_hour"),
        (Spec(("errors",), ("route_key",), WIDE), "route_day route_quarter_day route_hour"),
        (Spec(("requests",), ("route_key", "status"), WIDE), "route_status_month"),
        (Spec(("requests",), ("status_class",), WIDE), "status_day"),
        (Spec(("unique_users",), span=WIDE), "user_month user_day"),
        (Spec(("unique_routes",), span=WIDE), "route_day route_quarter_day route_hour"),
        (Spec(("requests",), ("label:tier",), WIDE), ""),
        (Spec(("requests",), ("platform_key",), WIDE), ""),
        (Spec(("requests",), ("user_key", "route_key"), WIDE), ""),
    ],
)
def test_the_narrowest_cube_that_knows_all_is_taken(spec: Spec, cubes: str) -> None:
    assert [*chosen(spec).values()] == [f"cube_{name}" for name in cubes.split()]


@pytest.mark.parametrize(
    ("spec", "cubes"),
    [
        (Spec(("cost:USD",), span=WIDE), "source_day source_hour"),
        (Spec(("cost:EUR", "requests"), ("model_key",), WIDE), "model_day model_quarter_day model_hour"),
        (Spec(("unpriced_requests",), ("user_key",), WIDE), "user_day"),
        (Spec(("list_cost:USD",), ("route_key",), WIDE), "route_day route_hour"),
        (Spec(("cost:USD",), ("user_key", "route_key"), WIDE), ""),
        (Spec(("cost:USD",), ("user_key",)), "user_day"),
    ],
)
def test_costs_come_from_cubes_of_costs_and_never_by_month(spec: Spec, cubes: str) -> None:
    assert chosen_for_costs(spec) == [f"cost_{name}" for name in cubes.split()]


def test_costs_are_looked_up_only_where_they_are_asked_for() -> None:
    assert plan(Spec(("requests", "total_tokens", "p95"))).costs is None


def test_cubes_of_detailed_users_answer_only_about_users_that_are_named() -> None:
    named = Spec(("requests",), ("model_key",), WIDE, filters={"user_key": [7]})
    assert chosen(named)["day"] == "cube_user_model_day"
    for filters in ({}, {"user_key": [7, None]}):
        everybody = Spec(("requests",), ("user_key", "model_key"), WIDE, filters=filters)
        assert not any(cube.detailed for cube in plan(everybody).cubes)
    assert any(cube.detailed for cube in CUBES)


def test_what_no_bucket_covers_is_read_from_events() -> None:
    spec = Spec(("requests",), span=Span(FIRST, FIRST + timedelta(minutes=59)))
    assert plan(spec).cubes == []
    assert plan(spec).calls.coverage.raw == [spec.span]


def test_all_time_needs_no_event() -> None:
    found = plan(Spec(("requests",), ("token_key",))).calls
    assert found.coverage.raw == []
    assert found.coverage.buckets == {"day": [EVER]}
    assert plan(Spec(("requests",), ("user_key",))).calls.coverage.buckets == {"month": [EVER]}


def test_percentiles_come_from_histograms_where_the_range_is_long() -> None:
    days = plan(Spec(("p95",), ("route_key",), WIDE)).calls
    assert all(HISTOGRAM in {measure.name for measure in cube.measures} for cube in days.cubes.values())
    assert days.cubes.keys() == {"day"}
    short = Span(FIRST, FIRST + EXACT_PERCENTILES)
    assert plan(Spec(("p95",), ("route_key",), short)).cubes == []
