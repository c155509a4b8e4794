"""How long to rest between two looks: the interval, and longer where looking would take more than its share. Pure."""

from __future__ import annotations

# Looks do not follow each other without a pause, whatever the interval.
_LEAST = 1.0


def rest(took: float, interval: float, share: float, *, succeeded: bool) -> float:
    """Seconds to rest after a look that took `took` seconds, so that looks begin `interval` seconds apart.

    `share` (0 to 1) is the load budget: looking may take no more of all time than that, so a look of 30 s at a share
    of 0.1 is followed by 270 s of rest. A look that failed has waited more than it has read, and what it waits for is
    to be seen soon when it is back: it is followed by as much rest as it took.
    """
    budget = took * (1 / share - 1) if succeeded else took
    return max(interval - took, budget, _LEAST)
