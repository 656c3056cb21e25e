"""How long to wait before telling again. Pure."""

from datetime import timedelta

FIRST = timedelta(seconds=10)
LONGEST = timedelta(hours=6)


def delay(attempts: int, jitter: float) -> timedelta:
    """The time to wait after so many attempts: twice as long after each, from 10 seconds up to 6 hours.

    `jitter`, a random number from 0 to 1, takes up to half of it off, so that what failed together is not tried again
    together.
    """
    doublings = min(attempts - 1, 20)
    return min(FIRST * (1 << doublings), LONGEST) * (1 - jitter / 2)
