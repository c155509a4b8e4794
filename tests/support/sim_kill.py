"""The end of a process before or after any of its effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from keyctl.rotation.journal import Journal, Record, as_record

T = TypeVar("T")


class Killed(BaseException):
    """SIGKILL: no handler of the process under test sees it, and nothing the process does afterwards has effect."""


class KillSwitch:
    """Counts effects, notes their labels, and ends the process at the one it was armed for.

    `before` and `after` are told of every effect: that is where a test lets others do something.
    """

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.before: Callable[[str], None] = lambda label: None
        self.after: Callable[[str], None] = lambda label: None
        self._at: int | None = None
        self._before = True
        self._count = 0
        self._dead = False

    def new_process(self, *, kill_at: int | None = None, before: bool = True) -> None:
        """Another process begins; it dies at its effect number `kill_at`, counted from 1."""
        self._at, self._before, self._count, self._dead = kill_at, before, 0, False

    @property
    def count(self) -> int:
        """How many effects this process has had."""
        return self._count

    def alive(self) -> None:
        """Raise `Killed` when the process is dead: its `finally` blocks do not run in a real one."""
        if self._dead:
            raise Killed

    def effect(self, label: str, act: Callable[[], T]) -> T:
        self.alive()
        self._count += 1
        if self._count == self._at and self._before:
            self._die()
        self.before(label)
        self.labels.append(label)
        result = act()
        self.after(label)
        if self._count == self._at:
            self._die()
        return result

    def _die(self) -> None:
        self._dead = True
        raise Killed


class KillableJournal(Journal):
    """The real journal; each record is an effect of its own. `noted` is told of it once it is written."""

    def __init__(self, directory: Path, switch: KillSwitch) -> None:
        super().__init__(directory)
        self._switch = switch
        self.noted: Callable[[Record], None] = lambda record: None

    def append(self, kind: str, at: datetime, fields: Mapping[str, object]) -> None:
        what = fields.get("step") or fields.get("state") or fields.get("of") or ""
        append = super().append

        def write() -> None:
            append(kind, at, fields)
            self.noted(as_record(kind, at, fields))

        self._switch.effect(f"journal {kind} {what}".strip(), write)
