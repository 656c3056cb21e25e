"""Local time: which instants belong to which day, hour or month, in zones that are hard."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tally.usage.windows import WINDOWS, LocalWindow, WindowName, first_day, start_of_day, windows, zone

ZONES = ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Europe/Moscow"]
ZONES += ["Africa/Casablanca", "Pacific/Apia", "America/St_Johns", "America/Sao_Paulo", "Asia/Tokyo", "Africa/Cairo"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def found(lower: str, upper: str, window: WindowName, where: str) -> list[tuple[str, str, str]]:
    """Lower and upper in UTC, and the start as it is shown."""
    return [
        (f"{one.lower:%m-%dT%H:%M}", f"{one.upper:%m-%dT%H:%M}", one.start.isoformat())
        for one in windows(utc(lower), utc(upper), window, ZoneInfo(where))
    ]


def test_the_last_evening_of_a_month_is_of_the_next_month_further_east() -> None:
    instant = utc("2026-04-30T17:30:00")

    def month_of(where: str) -> str:
        [one] = windows(instant, instant + timedelta(seconds=1), "month", ZoneInfo(where))
        return one.start.isoformat()

    assert month_of("Asia/Tokyo") == "2026-05-01T00:00:00+09:00"
    assert month_of("America/New_York") == "2026-04-01T00:00:00-04:00"


@pytest.mark.parametrize(
    ("where", "start"), [("Asia/Kolkata", "04-30T18:30"), ("Asia/Kathmandu", "04-30T18:15"), ("UTC", "05-01T00:00")]
)
def test_a_day_begins_at_its_own_midnight(where: str, start: str) -> None:
    assert f"{start_of_day(date(2026, 5, 1), ZoneInfo(where)):%m-%dT%H:%M}" == start


def test_the_day_on_which_the_clocks_go_forward_has_23_hours() -> None:
    days = found("2026-03-08T05:00:00", "2026-03-10T04:00:00", "day", "America/New_York")
    assert days == [
        ("03-08T05:00", "03-09T04:00", "2026-03-08T00:00:00-05:00"),
        ("03-09T04:00", "03-10T04:00", "2026-03-09T00:00:00-04:00"),
    ]


def test_an_hour_that_is_repeated_is_two_windows_with_two_offsets() -> None:
    assert found("2026-11-01T05:00:00", "2026-11-01T08:00:00", "hour", "America/New_York") == [
        ("11-01T05:00", "11-01T06:00", "2026-11-01T01:00:00-04:00"),
        ("11-01T06:00", "11-01T07:00", "2026-11-01T01:00:00-05:00"),
        ("11-01T07:00", "11-01T08:00", "2026-11-01T02:00:00-05:00"),
    ]


def test_an_hour_that_does_not_exist_is_no_window() -> None:
    starts = [start for _, _, start in found("2026-03-08T06:00:00", "2026-03-08T08:00:00", "hour", "America/New_York")]
    assert starts == ["2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00"]


def test_half_an_hour_that_is_repeated_is_a_window_of_its_own() -> None:
    # On Lord Howe the clocks go back by half an hour at 02:00 local time.
    assert found("2026-04-04T14:00:00", "2026-04-04T16:30:00", "hour", "Australia/Lord_Howe") == [
        ("04-04T14:00", "04-04T15:00", "2026-04-05T01:00:00+11:00"),
        ("04-04T15:00", "04-04T15:30", "2026-04-05T01:00:00+10:30"),
        ("04-04T15:30", "04-04T16:30", "2026-04-05T02:00:00+10:30"),
    ]


def test_a_day_that_never_was_has_no_window() -> None:
    # Samoa went from the 29th to the 31st of December 2011.
    starts = [start[:10] for _, _, start in found("2011-12-28T12:00:00", "2012-01-02T00:00:00", "day", "Pacific/Apia")]
    assert starts == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01", "2012-01-02"]


def test_a_week_begins_on_monday() -> None:
    assert first_day(date(2026, 5, 3), "week") == date(2026, 4, 27)
    assert first_day(date(2026, 5, 4), "week") == date(2026, 5, 4)


def test_the_first_window_shows_its_calendar_start_even_when_the_range_begins_inside() -> None:
    assert found("2026-05-13T10:17:00", "2026-05-13T11:10:00", "hour", "Asia/Kathmandu") == [
        ("05-13T10:17", "05-13T11:10", "2026-05-13T16:00:00+05:45")
    ]
    assert found("2026-05-13T10:17:00", "2026-05-14T00:00:00", "month", "UTC") == [
        ("05-13T10:17", "05-14T00:00", "2026-05-01T00:00:00+00:00")
    ]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/localtime", "a\0b", "x" * 5000])
def test_what_is_no_zone_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone"):
        zone(name)


@settings(max_examples=300, deadline=None)
@given(
    st.datetimes(datetime(2009, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001 - bounds
    st.integers(1, 40 * 24 * 60),
    st.sampled_from([name for name in WINDOWS if name != "none"]),
    st.sampled_from(ZONES),
)
def test_windows_cover_their_range_without_gap_or_overlap_and_show_the_local_start(
    start: datetime, minutes: int, window: WindowName, where: str
) -> None:
    lower = start.replace(tzinfo=UTC)
    upper = lower + timedelta(minutes=minutes)
    local = ZoneInfo(where)
    cut = list(windows(lower, upper, window, local))
    assert (cut[0].lower, cut[-1].upper) == (lower, upper)
    assert all(before.upper == after.lower for before, after in pairwise(cut))
    assert all(one.lower < one.upper for one in cut)
    assert len({(one.start, one.start.utcoffset()) for one in cut}) == len(cut)
    for one in cut:
        check_start(one, window, local)


def check_start(one: LocalWindow, window: WindowName, where: ZoneInfo) -> None:
    """The start is the floor of the wall clock at each instant inside."""
    for instant in (one.lower, one.lower + (one.upper - one.lower) / 2, one.upper - timedelta(microseconds=1)):
        wall = instant.astimezone(where).replace(tzinfo=None)
        if window == "15m":
            floor = wall.replace(minute=wall.minute // 15 * 15, second=0, microsecond=0)
        elif window == "hour":
            floor = wall.replace(minute=0, second=0, microsecond=0)
        else:
            floor = datetime.combine(first_day(wall.date(), window), datetime.min.time())
        shown = one.start.replace(tzinfo=None)
        # Where midnight does not exist, a day is shown with its first instant.
        assert shown == floor or (
            window in {"day", "week", "month"} and timedelta() < shown - floor <= timedelta(hours=1)
        )
