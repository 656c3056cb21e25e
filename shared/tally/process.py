"""What a function's process does once, after it has loaded what it needs."""

import gc

_YOUNG = 50_000


def settle() -> None:
    """Takes all that is loaded out of the garbage collector's sight.

    Otherwise each full collection walks every module again: 70 ms, every few thousand requests, in which no
    request is answered. What is young is looked at less often too: events have no cycles. To be called after large
    imports, in the process that serves.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 100)
