"""Simulated time: sleeping costs nothing and lets everything happen that was due meanwhile."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2026, 11, 21, 10, tzinfo=UTC)


class SimClock:
    """A `Clock`. `after_step` runs after every event and every advance; `alive` runs before a sleep, and may raise.

    `jumped` is what somebody has put the wall clock forward by, in seconds; time that is measured does not feel it.
    """

    def __init__(self) -> None:
        self._now = self.jumped = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.after_step: Callable[[], None] = lambda: None
        self.alive: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self._now

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self._now + self.jumped)

    def sleep(self, seconds: float) -> None:
        self.alive()
        self.advance(seconds)

    def at(self, delay: float, act: Callable[[], None]) -> None:
        """Do `act` in `delay` seconds. It must not let time pass itself."""
        heapq.heappush(self._events, (self._now + delay, next(self._order), act))

    def every(self, period: float, act: Callable[[], None], *, first: float) -> None:
        """Do `act` in `first` seconds, and every `period` from then on."""

        def again() -> None:
            act()
            self.at(period, again)

        self.at(first, again)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        end = self._now + seconds
        while self._events and self._events[0][0] <= end:
            self._now, _, act = heapq.heappop(self._events)
            act()
            self.after_step()
        self._now = end
        self.after_step()
