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


# Makes a source of a snapshot's path; what is wrong with the file is said when it is read.
OpenSnapshot = Callable[[Path], FileSource]
