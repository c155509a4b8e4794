"""What the two engines of rewriting have in common: what they work with, and what a round of them is.

An engine only sees to it that objects are written anew. Whether they were, raw
etcd says; see `rewriting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keyctl.etcd.interface import Etcd
from keyctl.kube.interface import ApiServer, ObjectRef
from keyctl.rotation.etcd_room import RoomKeeper
from keyctl.rotation.refusals import Refusals
from keyctl.rotation.scan import Scan
from keyctl.rotation.world import Clock, Event, Reporter
from keyctl.stored.census import WorkItem

_PROGRESS_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Site:
    """What rewriting works with. `tag` names this rotation on this way.

    `served` maps what the API serves to its group and version. `count` makes a fresh
    scan, in which everything opens and `work` is what still has to be rewritten;
    `write` journals; `breathe` raises when there is a reason to stop.
    """

    servers: tuple[ApiServer, ...]
    served: dict[str, str]
    etcds: tuple[Etcd, ...]
    count: Callable[[], Scan]
    write: Callable[[str, Mapping[str, object]], None]
    breathe: Callable[[], None]
    clock: Clock
    reporter: Reporter
    tag: str

    def room(self) -> RoomKeeper:
        """Who looks after etcd's room meanwhile."""
        return RoomKeeper(self.etcds, clock=self.clock, reporter=self.reporter, breathe=self.breathe)


class Sender(Protocol):
    """One way to have objects written anew. `patience`: so many rounds without a smaller count are one too many."""

    patience: int

    def round(self, found: Scan, work: Sequence[WorkItem]) -> None:
        """Have `work`, the first that `found` shows, written anew as far as that goes. Raises `StoppedError`."""
        ...

    def refusals(self, found: Scan) -> Refusals:
        """Why what `found` still shows was not written, as far as the API tells."""
        ...

    def close(self) -> None:
        """Leave nothing of its own in the cluster. Raises `UnreachableError`."""
        ...


@dataclass(slots=True)
class Progress:
    """Tells a watcher how far it is. `total` values since `begun` on the monotonic clock, in seconds."""

    clock: Clock
    reporter: Reporter
    total: int
    begun: float
    done: int = 0
    _told: float = field(default=-1.0)

    def add(self, done: int) -> None:
        """So many more; told now and then."""
        self.done += done
        if self.clock.monotonic() - self._told >= _PROGRESS_EVERY:
            self.tell()

    def tell(self) -> None:
        """Say it now."""
        self._told = self.clock.monotonic()
        rate = self.done / max(self._told - self.begun, 1e-6)
        left = max(self.total - self.done, 0)
        message = f"rewritten {self.done} of {self.total}, {rate:.0f}/s"
        fields = {"done": self.done, "total": self.total, "rate": rate, "left": left / rate if rate else None}
        self.reporter.event(Event("progress", message, fields))


def ref_of(item: WorkItem) -> ObjectRef:
    """The object that `item` is the stored value of."""
    return ObjectRef(item.resource, item.namespace, item.name, item.uid)
