"""What a backup needs of the world beside etcd and the key store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keyctl.stored.source import FileSource


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Watch(Protocol):
    """Who wants to know how far work on one file has come."""

    def arriving(self, done: int, total: int) -> None:
        """`done` of `total` bytes have arrived."""
        ...

    def reading(self, part: str) -> None:
        """This part is being read, and how much of it was, in words."""
        ...


class Unwatched:
    """A `Watch` of which nobody wants to know."""

    def arriving(self, done: int, total: int) -> None:
        """See `Watch.arriving`."""

    def reading(self, part: str) -> None:
        """See `Watch.reading`."""


# Makes a source of a snapshot's path; what is wrong with the file is said when it is read.
OpenSnapshot = Callable[[Path], FileSource]
