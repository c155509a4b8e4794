"""How many patches at a time, how many in a batch, and how long to wait before it: a controller without a clock.

Pure. One `Pace` is for one API server; each batch gives the next one. More
workers while that brings more answers a second, a quarter fewer when answers get
slow, half of them and a growing pause when the server says that it is too much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

FEWEST, MOST, FIRST = 1, 32, 8
SMALLEST_BATCH, LARGEST_BATCH, FIRST_BATCH = 20, 500, 200
LONGEST_PAUSE = 30.0

# A batch should be over so soon, in seconds: between batches is where the pace changes and etcd is looked at.
_BATCH_SECONDS = 2.0
_STEP = 2
# Less than this is no gain, only noise.
_GAIN = 1.03
# So many batches pass before more workers are tried again where they brought nothing.
_HOLD = 10
# And so many after trouble, so that a server is not driven to its limit every other batch.
_HOLD_AFTER_TROUBLE = 3
# An answer is slow when it takes so many times as long as at the best of times, and never below the floor, in seconds.
_SLOW, _SLOW_FLOOR = 3.0, 0.1
# The best of times is forgotten slowly, for a network may change.
_DRIFT = 1.01
# One object in so many that fails says nothing about the server.
_FAILED_SHARE = 50
_FIRST_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one batch: `answers` in all, over `seconds`, and the median `latency` of one, in seconds.

    `throttled` were answered 429, `failed` 5xx or not at all. `retry_after` is the
    longest time, in seconds, that the server asked us to wait.
    """

    answers: int
    seconds: float
    latency: float
    throttled: int = 0
    failed: int = 0
    retry_after: float = 0.0

    @property
    def troubled(self) -> bool:
        """Whether it was too much for the server: one 429, or more failures than single objects explain."""
        return self.throttled > 0 or self.failed * _FAILED_SHARE > self.answers


@dataclass(frozen=True, slots=True)
class Pace:
    """`workers` at a time, `size` objects in the next batch, which begins `pause` seconds from now at the earliest.

    The rest is memory: troubled batches in a row, the quickest median answer, the
    rate before the last raise, and how many batches not to raise for.
    """

    workers: int = FIRST
    size: int = FIRST_BATCH
    pause: float = 0.0
    troubles: int = 0
    quickest: float = inf
    rate: float = 0.0
    hold: int = 0

    def after(self, seen: Seen) -> Pace:
        """The pace after one more batch."""
        if seen.troubled:
            return self._backed_off(seen)
        rate = seen.answers / max(seen.seconds, 1e-6)
        quickest = min(self.quickest * _DRIFT, seen.latency)
        size = min(max(round(rate * _BATCH_SECONDS), SMALLEST_BATCH), LARGEST_BATCH)
        calm = replace(self, size=size, pause=0.0, troubles=0, quickest=quickest)
        if seen.latency > max(_SLOW_FLOOR, _SLOW * quickest):
            return replace(calm, workers=max(FEWEST, self.workers * 3 // 4), rate=0.0, hold=0)
        if self.hold:
            return replace(calm, hold=self.hold - 1, rate=0.0)
        if rate >= self.rate * _GAIN:
            return replace(calm, workers=min(MOST, self.workers + _STEP), rate=rate)
        return replace(calm, workers=max(FEWEST, self.workers - _STEP), rate=0.0, hold=_HOLD)

    def _backed_off(self, seen: Seen) -> Pace:
        troubles = self.troubles + 1
        growing = _FIRST_PAUSE * 2 ** min(troubles, 10)
        return replace(
            self,
            workers=max(FEWEST, self.workers // 2),
            size=max(SMALLEST_BATCH, self.size // 2),
            pause=min(max(growing, seen.retry_after), LONGEST_PAUSE),
            troubles=troubles,
            rate=0.0,
            hold=_HOLD_AFTER_TROUBLE,
        )
