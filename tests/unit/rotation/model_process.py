"""One keyctl that goes on only as far as it is let: between any two of its acts, others do what they like.

It has a thread of its own, and only ever one of the two threads runs. It stops at
points: before and after each effect, and, where that is asked for, whenever it asks
or waits. It says nothing about right and wrong.
"""

from __future__ import annotations

import errno
import math
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import NoReturn, TypeVar

from keyctl.errors import UnreachableError
from keyctl.hosts.restarting import restart_failed
from keyctl.rotation.session import Finished
from tests.support.sim_kill import Killed, KillSwitch

T = TypeVar("T")

# The longest wait asks some thousand times.
_ROUND_IN_CIRCLES = 20_000


class Lost(Enum):
    """What is lost of the next act: what was asked for, which then is not done, or only the answer."""

    REQUEST = auto()
    ANSWER = auto()


class Process:
    """`work`, done bit by bit. Once it `ended` there is a `result` or an `error`."""

    def __init__(self, work: Callable[[], Finished]) -> None:
        self._work = work
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._left, self._finely = 0.0, False
        self._thread: threading.Thread | None = None
        self.ended = False
        self.result: Finished | None = None
        self.error: BaseException | None = None

    def go(self, points: float = math.inf, *, finely: bool = False) -> None:
        """Let it reach its `points`-th point from here, or its end. `finely`: also those where it changes nothing."""
        if self.ended:
            return
        self._left, self._finely = points, finely
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self._back.acquire()
        if self.ended:
            self._thread.join()

    def point(self, *, fine: bool) -> None:
        """Where it may stop. Nothing for any other thread."""
        if threading.current_thread() is not self._thread or (fine and not self._finely):
            return
        self._left -= 1
        if self._left <= 0:
            self._back.release()
            self._turn.acquire()

    def _run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as exc:  # noqa: BLE001 - whoever let it go on judges how it ended
            self.error = exc
        self.ended = True
        self._back.release()


class SteppedSwitch(KillSwitch):
    """Ends its process at the point where it stands, and loses what others lose. `at` is that point's effect."""

    def __init__(self) -> None:
        super().__init__()
        self.process: Process | None = None
        self.lost: Lost | None = None
        self.at = ""
        self.effects = self._asked = 0

    def new_process(self, *, kill_at: int | None = None, before: bool = True) -> None:
        """See `KillSwitch`."""
        super().new_process(kill_at=kill_at, before=before)
        self.process, self.lost, self.at, self.effects, self._asked = None, None, "", 0, 0

    def kill(self) -> None:
        """The process does nothing any more."""
        self._dead = True
        if self.process is not None:
            self.process.go()

    def die(self) -> NoReturn:
        """The process ends right here."""
        self._dead = True
        raise Killed

    def alive(self) -> None:
        """See `KillSwitch`; a point at which nothing is changed."""
        super().alive()
        self._asked += 1
        assert self._asked < _ROUND_IN_CIRCLES, "it asks and asks, and does nothing"
        self._point(fine=True)

    def effect(self, label: str, act: Callable[[], T]) -> T:
        """See `KillSwitch`; two points."""
        super().alive()
        self.at, self._asked = label, 0
        self._point(fine=False)
        result = super().effect(label, lambda: self._losing(label, act))
        self.at = ""
        self._point(fine=False)
        return result

    def _losing(self, label: str, act: Callable[[], T]) -> T:
        self.effects += not label.startswith("journal ")
        lost = None if label.startswith("patch") else self.lost
        self.lost = self.lost if lost is None else None
        # NOTE: a snapshot is complete or absent, by the contract of `Etcd`.
        if lost is Lost.REQUEST or (lost and label == "save-snapshot"):
            raise _error(label)
        result = act()
        if lost is not None:
            raise _error(label)
        return result

    def _point(self, *, fine: bool) -> None:
        if self.process is not None:
            self.process.point(fine=fine)
        super().alive()


def _error(label: str) -> Exception:
    """What the adapter of that act raises when its connection is lost, or its disk is full."""
    if label.startswith("journal "):
        return OSError(errno.ENOSPC, "No space left on device", "journal.jsonl")
    if label.endswith(": restart"):
        return restart_failed(label.partition(":")[0], "it ended with exit status 1")
    return UnreachableError(f"no answer to {label}", cause="TCP: connection reset by peer")
