"""Looks at each source again and again, in a thread of its own, and notes on the board what came of it.

What a look is, is given; this knows only when, and that a look that failed leaves the last truth where it is. An error
that nobody expected ends everything: a source that nobody looks at any more would be served as if it were fresh.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keyctl.errors import KeyctlError
from keyctl.exporter.board import Board, Look, Sample
from keyctl.exporter.catalogue import Source
from keyctl.exporter.facts import Facts
from keyctl.exporter.samples import samples
from keyctl.exporter.schedule import rest


class Clock(Protocol):
    """Both clocks of a machine."""

    def now(self) -> datetime:
        """The time of day, with its zone."""
        ...

    def monotonic(self) -> float:
        """Seconds that nobody sets."""
        ...


@dataclass(frozen=True, slots=True)
class Watched:
    """A source, to be looked at every `interval` seconds. `look` raises `KeyctlError` or `OSError` where it cannot."""

    source: Source
    look: Callable[[], Facts]
    interval: float


class Teller(Protocol):
    """Hears what changes."""

    def away(self, source: Source, error: KeyctlError | OSError) -> None:
        """The last look at `source` failed. May be said of every look."""
        ...

    def back(self, source: Source) -> None:
        """A look at `source` came to its end. May be said of every look."""
        ...


@dataclass(slots=True)
class Watch:
    """Everything that is watched. `share` is the load budget, 0 to 1 (`keyctl.exporter.schedule`)."""

    watched: tuple[Watched, ...]
    board: Board
    clock: Clock
    teller: Teller
    share: float
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)
    _bug: BaseException | None = field(default=None, init=False)

    def once(self) -> None:
        """Look at each source once, one after the other."""
        for one in self.watched:
            self._turn(one)

    def start(self) -> None:
        """Begin to look at all of them."""
        for one in self.watched:
            # NOTE: a daemon, for a look that hangs must not keep the process from ending.
            thread = threading.Thread(target=self._keep, args=(one,), name=f"look at {one.source}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def ask_to_stop(self) -> None:
        """Begin no other look."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait until somebody asks to stop, or `seconds` are over; whether somebody did.

        Raises what nobody expected in one of the threads.
        """
        stopped = self._stop.wait(seconds)
        if self._bug is not None:
            raise self._bug
        return stopped

    def finish(self, seconds: float) -> None:
        """Let the looks that are under way come to their end, but wait no longer than `seconds` in all."""
        until = self.clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - self.clock.monotonic(), 0))

    def _keep(self, one: Watched) -> None:
        try:
            pause = self._turn(one)
            while not self._stop.wait(pause):
                pause = self._turn(one)
        except BaseException as error:  # noqa: BLE001 — told to the main thread, which ends everything
            self._bug = error
            self._stop.set()

    def _turn(self, one: Watched) -> float:
        """One look; how long to rest after it."""
        began, start = self.clock.now(), self.clock.monotonic()
        found: tuple[Sample, ...] | None = None
        failure: KeyctlError | OSError | None = None
        try:
            found = samples(one.look())
        except (KeyctlError, OSError) as error:
            failure = error
        took = self.clock.monotonic() - start
        pause = rest(took, one.interval, self.share, succeeded=found is not None)
        ended = self.clock.now()
        self.board.note(one.source, Look(began.timestamp(), ended.timestamp(), took, took + pause, found))
        if failure is None:
            self.teller.back(one.source)
        else:
            self.teller.away(one.source, failure)
        return pause
