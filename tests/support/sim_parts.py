"""The parts of a simulated world that belong to one process of keyctl, or that tell it from others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import TypeVar

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.hosts.interface import HostFile, HostUnreachableError
from keyctl.keys.backups import Backup
from keyctl.keys.key import Key, KeyRef
from keyctl.keys.ledger import KeyRecord
from keyctl.rotation.world import Event
from tests.support.memory_host import MemoryHost
from tests.support.memory_store import MemoryKeyStore
from tests.support.sim_clock import SimClock
from tests.support.sim_kill import KillSwitch

T = TypeVar("T")

LEASE_SECONDS = 90.0
_TAKEN = "when the other one is done: keyctl rotate --resume"


@dataclass
class Watcher:
    """A `Reporter` that remembers."""

    events: list[Event] = field(default_factory=list)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def states(self) -> list[str]:
        """The states in the order they were reached."""
        return [event.message for event in self.events if event.kind == "state"]


class SimHost(MemoryHost):
    """A host whose writes and restarts are effects. `before_write` may object; `ways`: each write, in place or not.

    `jumped` is what its clock, which its server has, too, was put forward by lately, ours taken off, in seconds.
    With `cut_off` nobody gets to it. `redo` are rewrites in place that were cut off, with what they were to write.
    """

    def __init__(self, name: str, effect: Callable[[str, Callable[[], object]], object], alive: Callable[[], None]):
        super().__init__(name)
        self._effect, self._alive = effect, alive
        self.before_write: Callable[[str, bytes, bool], None] = lambda path, content, in_place: None
        self.before_remove: Callable[[str], None] = lambda path: None
        self.do_restart: Callable[[], None] = lambda: None
        self.written_in_place: Callable[[], None] = lambda: None
        self.restarts = 0
        self.fails = self.cut_off = False
        self.jumped: Callable[[], float] = lambda: 0.0
        self.swept: list[str] = []
        self.redo: dict[str, bytes] = {}
        self.ways: list[tuple[str, bool]] = []

    def read(self, path: str) -> HostFile | None:
        self._reach()
        found = super().read(path)
        return found if found is None or found.ahead is None else replace(found, ahead=found.ahead + self.jumped())

    def write(self, path: str, content: bytes, *, expected: str | None, in_place: bool = False) -> HostFile:
        self._reach()

        def act() -> None:
            self.before_write(path, content, in_place)
            self.ways.append((path, in_place))
            super(SimHost, self).write(path, content, expected=expected, in_place=in_place)
            if in_place:
                self.written_in_place()

        self._effect(f"{self.name}: write {path}", act)
        return self.files[path]

    def remove(self, path: str, *, expected: str) -> None:
        self._reach()

        def act() -> None:
            self.before_remove(path)
            super(SimHost, self).remove(path, expected=expected)

        self._effect(f"{self.name}: remove {path}", act)

    def sweep(self, path: str) -> tuple[str, ...]:
        self._alive()
        self._reach()
        self.swept.append(path)
        if path in self.redo:
            self.place(path, self.redo.pop(path))
            self.written_in_place()
        return super().sweep(path)

    def restart(self) -> None:
        self._reach()

        def act() -> None:
            self.restarts += 1
            if self.fails:
                raise StoppedError(f"host {self.name}: the restart command failed")
            self.do_restart()

        self._effect(f"{self.name}: restart", act)

    def _reach(self) -> None:
        if self.cut_off:
            raise HostUnreachableError(f"host {self.name} does not answer", cause="ssh: connection timed out")


class SimStore(MemoryKeyStore):
    """A key store whose writes are effects. `forgets`: it does not give back what it was given."""

    def __init__(self, clock: SimClock, switch: KillSwitch) -> None:
        super().__init__(clock=clock.now)
        self._switch = switch
        self.forgets = False

    def put(self, key: Key, *, origin: str) -> KeyRecord:
        put = super().put
        return self._switch.effect("store-put", lambda: put(key, origin=origin))

    def get(self, ref: KeyRef) -> Key | None:
        self._switch.alive()
        return None if self.forgets else super().get(ref)

    def note_state(self, ref: KeyRef, state: str) -> KeyRecord:
        note = super().note_state
        return self._switch.effect("store-note-state", lambda: note(ref, state))

    def destroy(self, ref: KeyRef, *, judged: Collection[Backup] = ()) -> KeyRecord:
        destroy = super().destroy
        return self._switch.effect("store-destroy", lambda: destroy(ref, judged=judged))

    def note_backup(self, backup: Backup) -> None:
        note = super().note_backup
        self._switch.effect("store-note-backup", lambda: note(backup))

    def forget_backup(self, location: str) -> None:
        forget = super().forget_backup
        self._switch.effect("store-forget-backup", lambda: forget(location))


@dataclass
class LeaseRecord:
    """The Lease as the cluster knows it. `place` tells the machines apart; `ran_out` counts how often it did."""

    place: str | None = None
    renewed: float = 0.0

    def held(self, now: float) -> bool:
        return self.place is not None and now - self.renewed <= LEASE_SECONDS


class SimLease:
    """A `RotationLease` of one process at `place`; `answers` says whether any API server does."""

    def __init__(
        self, record: LeaseRecord, place: str, clock: SimClock, switch: KillSwitch, answers: Callable[[], bool]
    ):
        self._record, self._place, self._clock, self._switch = record, place, clock, switch
        self._answers = answers
        self._acquired = False

    def acquire(self) -> None:
        self._switch.alive()
        now = self._clock.monotonic()
        if self._record.held(now) and self._record.place != self._place:
            raise RefusedError("another rotation of this cluster is under way", hint="wait for it", rule="R8")
        if not self._answers():
            raise UnreachableError("no API server to hold a Lease through")
        self._record.place, self._record.renewed = self._place, now
        self._acquired = True

    def check(self) -> None:
        self._switch.alive()
        if not self._acquired:
            raise RuntimeError("the Lease was not acquired")
        if not self._answers():
            return
        if self._record.place != self._place:
            raise StoppedError("the Lease was taken from this rotation", hint=_TAKEN, rule="R8")
        self._record.renewed = self._clock.monotonic()

    def release(self) -> None:
        self._switch.alive()
        if self._acquired and self._record.place == self._place:
            self._record.place = None
        self._acquired = False
