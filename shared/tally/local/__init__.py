"""What only a laptop needs: embedded Postgres, the stack of processes, the gateway, sample data."""

from tally.errors import TallyError


class LocalError(TallyError):
    """Something on this machine stands in the way of `tally up`; the message says what and how to go on."""
