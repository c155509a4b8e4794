"""What renewing certificates on hosts needs of the outside: places with files, ports that answer, a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keyctl.hosts.interface import Host
from keyctl.kube.interface import ServerProbe
from keyctl.pki.generation import Generation, Ports
from keyctl.renewing.plan import Handing, Party

# What stands in the folder of a party, by the name of the file.
Files = Mapping[str, bytes]


class Clock(Protocol):
    """The time, and waiting."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Journal(Protocol):
    """Keeps what is under way through a crash. `append` returns when the record is on the disk."""

    def append(self, kind: str, at: datetime, fields: Mapping[str, object]) -> None:
        """Write one record."""
        ...

    def unfinished(self) -> tuple[Mapping[str, object], ...]:
        """The records since the last "begin" that no "end" followed."""
        ...


class Probed(Protocol):
    """An API server that says how it is."""

    def probe(self) -> ServerProbe:
        """What it says of itself now. Whatever it does raises nothing."""
        ...


class Directory(Protocol):
    """The directory of the certificates, with the generation that is to come."""

    def told(self, handing: Handing) -> str:
        """Where that is which the operator has to give to other clients, in a sentence."""
        ...

    def require_same_parties(self) -> None:
        """Raise `RefusedError` where one of the generations is for somebody for whom the other one is not."""
        ...

    def settle(self, generation: Generation) -> None:
        """Put the next generation in its place, or give it up. Doing it twice is doing it once."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a party's files are: `folder` on `host`, whose `restart` restarts the party's own process.

    `files` are what the directory has for it, by generation. After a restart, or for what is to show, it has `wait`
    seconds. `api` is there for an API server. `lags`: a restart is only asked for, and comes when a kubelet gets to it.
    """

    party: Party
    host: Host
    folder: str
    files: Mapping[Generation, Files] = field(repr=False)
    wait: float
    api: Probed | None = None
    lags: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """One etcd with everybody whose files are changed, in the order of the cluster file."""

    places: Mapping[Party, Place]
    ports: Ports
    directory: Directory
    clock: Clock

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members."""
        return tuple(party.name for party, place in self.places.items() if place.api is None)
