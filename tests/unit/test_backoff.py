"""Attempts to tell come at growing, spread intervals."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tally.notifications.backoff import FIRST, LONGEST, delay


def test_the_time_doubles_from_ten_seconds_to_six_hours() -> None:
    assert [delay(attempts, 0).total_seconds() for attempts in (1, 2, 3, 11, 12, 13, 1000)] == [
        10, 20, 40, 10240, 20480, 21600, 21600,
    ]  # fmt: skip


@given(attempts=st.integers(1, 10**9), jitter=st.floats(0, 1))
def test_jitter_takes_off_up_to_half(attempts: int, jitter: float) -> None:
    whole = delay(attempts, 0)
    assert FIRST <= whole <= LONGEST
    assert whole / 2 - timedelta(microseconds=1) <= delay(attempts, jitter) <= whole
