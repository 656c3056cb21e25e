"""Which part of a range is read from which grain: nothing twice, nothing left out, buckets only where they fit."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tally.cubes import Grain
from tally.usage.coverage import EVER, Coverage, Span, cover, segments

BASE = datetime(2026, 5, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    return BASE + timedelta(hours=hours)


def test_whole_days_inside_hours_around_them_and_raw_events_at_the_edges() -> None:
    assert cover([Span(at(-1.5), at(49.25))], ["day", "hour"]) == Coverage(
        {"day": [Span(at(0), at(48))], "hour": [Span(at(-1), at(0)), Span(at(48), at(49))]},
        [Span(at(-1.5), at(-1)), Span(at(49), at(49.25))],
    )


def test_a_range_within_one_bucket_is_read_raw() -> None:
    assert cover([Span(at(0.25), at(0.75))], ["day", "hour"]) == Coverage({}, [Span(at(0.25), at(0.75))])


def test_whole_buckets_need_no_raw_event() -> None:
    assert cover([Span(at(0), at(24))], ["day"]) == Coverage({"day": [Span(at(0), at(24))]}, [])


def test_without_grains_everything_is_raw() -> None:
    assert cover([Span(at(0), at(24))], []) == Coverage({}, [Span(at(0), at(24))])


def test_all_time_is_whole_buckets() -> None:
    assert cover([EVER], ["day", "hour"]) == Coverage({"day": [EVER]}, [])


def test_a_range_without_a_start_is_whole_buckets_up_to_its_end() -> None:
    assert cover([Span(None, at(1.5))], ["day"]) == Coverage({"day": [Span(None, at(0))]}, [Span(at(0), at(1.5))])


def test_a_bucket_that_two_spans_share_is_read_raw_as_one() -> None:
    assert cover([Span(at(0), at(0.5)), Span(at(0.5), at(1))], ["hour"]) == Coverage({}, [Span(at(0), at(1))])


def test_a_span_is_cut_only_inside() -> None:
    cuts = [at(-1), at(0), at(2), at(4), at(5)]
    assert segments(Span(at(0), at(4)), cuts) == [Span(at(0), at(2)), Span(at(2), at(4))]
    assert segments(EVER, [at(0)]) == [Span(None, at(0)), Span(at(0), None)]
    assert segments(EVER, []) == [EVER]


def test_whole_months_inside_days_and_hours_around_them() -> None:
    lower, upper = datetime(2026, 1, 30, 22, 30, tzinfo=UTC), datetime(2026, 4, 2, 1, tzinfo=UTC)
    assert cover([Span(lower, upper)], ["month", "day", "hour"]) == Coverage(
        {
            "month": [Span(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))],
            "day": [
                Span(datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
                Span(datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)),
            ],
            "hour": [
                Span(datetime(2026, 1, 30, 23, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)),
                Span(datetime(2026, 4, 2, tzinfo=UTC), upper),
            ],
        },
        [Span(lower, datetime(2026, 1, 30, 23, tzinfo=UTC))],
    )


def test_a_month_that_is_cut_is_not_read_whole() -> None:
    first, last = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    middle = datetime(2026, 2, 15, tzinfo=UTC)
    pieces = segments(Span(first, last), [middle])
    assert cover(pieces, ["month", "day"]) == Coverage({"day": [Span(first, last)]}, [])
    assert cover([Span(first, last)], ["month", "day"]) == Coverage({"month": [Span(first, last)]}, [])


QUARTERS = st.lists(st.integers(0, 24 * 4 * 6), min_size=2, max_size=6, unique=True).map(sorted)
GRAINS: st.SearchStrategy[list[Grain]] = st.sampled_from(
    [["day", "quarter_day", "hour"], ["day", "hour"], ["quarter_day"], ["day"], ["hour"], []]
)
LENGTH = {"day": timedelta(days=1), "quarter_day": timedelta(hours=6), "hour": timedelta(hours=1)}


@given(QUARTERS, GRAINS)
def test_every_instant_is_read_exactly_once_and_no_bucket_crosses_a_cut(
    quarters: list[int], grains: list[Grain]
) -> None:
    edges = [BASE + timedelta(minutes=15 * quarter) for quarter in quarters]
    covered = cover([Span(lower, upper) for lower, upper in pairwise(edges)], grains)
    pieces: list[tuple[Grain | None, Span]] = [(None, span) for span in covered.raw]
    pieces += [(grain, span) for grain, buckets in covered.buckets.items() for span in buckets]
    for quarter in range(quarters[0], quarters[-1]):
        instant = BASE + timedelta(minutes=15 * quarter)
        readers = [
            grain
            for grain, span in pieces
            if span.lower is not None and span.upper is not None and span.lower <= instant < span.upper
        ]
        assert len(readers) == 1
        if readers[0] is not None:
            length = LENGTH[readers[0]]
            start = instant - (instant - BASE) % length
            assert edges[0] <= start
            assert start + length <= edges[-1]
            assert not any(start < edge < start + length for edge in edges)
