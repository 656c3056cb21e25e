"""Billing periods begin on an organization's own day, at its own midnight."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tally.usage.periods import period_at


@pytest.mark.parametrize(
    ("instant", "start_day", "zone", "start", "end"),
    [
        ("2026-05-01T00:00Z", 1, "UTC", "2026-05-01T00:00Z", "2026-06-01T00:00Z"),
        ("2026-05-31T23:59:59.999999Z", 1, "UTC", "2026-05-01T00:00Z", "2026-06-01T00:00Z"),
        ("2026-05-31T21:00Z", 1, "Europe/Moscow", "2026-05-31T21:00Z", "2026-06-30T21:00Z"),
        ("2026-05-14T20:59:59Z", 15, "Europe/Moscow", "2026-04-14T21:00Z", "2026-05-14T21:00Z"),
        ("2026-05-14T21:00Z", 15, "Europe/Moscow", "2026-05-14T21:00Z", "2026-06-14T21:00Z"),
        ("2026-01-03T00:00Z", 28, "UTC", "2025-12-28T00:00Z", "2026-01-28T00:00Z"),
        ("2026-02-28T00:00Z", 28, "UTC", "2026-02-28T00:00Z", "2026-03-28T00:00Z"),
        ("2026-12-31T23:00Z", 2, "UTC", "2026-12-02T00:00Z", "2027-01-02T00:00Z"),
        # The clocks change within the period.
        ("2026-03-20T00:00Z", 1, "America/New_York", "2026-03-01T05:00Z", "2026-04-01T04:00Z"),
        ("2026-04-05T15:00Z", 5, "Australia/Lord_Howe", "2026-04-04T13:00Z", "2026-05-04T13:30Z"),
        ("2026-05-01T00:00Z", 1, "Asia/Kathmandu", "2026-04-30T18:15Z", "2026-05-31T18:15Z"),
    ],
)
def test_a_period_begins_at_the_local_midnight_of_its_day(
    instant: str, start_day: int, zone: str, start: str, end: str
) -> None:
    found = period_at(datetime.fromisoformat(instant), start_day, ZoneInfo(zone))
    assert (found.start, found.end) == (datetime.fromisoformat(start), datetime.fromisoformat(end))
