"""What a certificate is let do by a member of etcd, found out by doing it. Nothing is written, no value is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keyctl.etcd.interface import EtcdUsers
from keyctl.etcd_access.wanted import Party, Purpose
from keyctl.stored.display import display
from keyctl.stored.paths import COMPACTION

# Never written, only asked for.
_NAME = b"keyctl-asks-whether-it-may"


@dataclass(frozen=True, slots=True)
class Door:
    """A connection to one member, `endpoint`, with the certificate of `party`."""

    party: Party
    endpoint: str
    users: EtcdUsers


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that was tried: `refusal` is what etcd said to it, None where it let us; `may` what it should do."""

    party: Party
    endpoint: str
    what: str
    refusal: str | None
    may: bool

    @property
    def holds(self) -> bool:
        """Whether etcd did what it should."""
        return (self.refusal is None) == self.may

    def __str__(self) -> str:
        can = "could" if self.refusal is None else "could not"
        said = "" if self.refusal is None else f" ({display(self.refusal)})"
        return f"the {self.party.purpose} {display(self.party.name)} {can} {self.what} at {self.endpoint}{said}"


def tried(doors: Iterable[Door], prefix: bytes, *, enabled: bool) -> Iterator[Trial]:
    """Try at each door what its party needs, and, with users and roles on, what it must not do."""
    for door in doors:
        yield from _tried(door, prefix, enabled=enabled)


def _tried(door: Door, prefix: bytes, *, enabled: bool) -> Iterator[Trial]:
    below = display(prefix)
    match door.party.purpose:
        case Purpose.API_SERVER:
            yield _trial(door, f"read below {below}", door.users.refusal_to_read(prefix))
            yield _trial(door, f"write below {below}", door.users.refusal_to_write(prefix + _NAME))
            yield _trial(door, f"write {display(COMPACTION)}", door.users.refusal_to_write(COMPACTION))
        case Purpose.AUDITOR:
            yield _trial(door, f"read below {below}", door.users.refusal_to_read(prefix))
            if enabled:
                yield _trial(door, f"write below {below}", door.users.refusal_to_write(prefix + _NAME), may=False)
        case Purpose.BACKUP:
            yield _trial(door, "take a snapshot", door.users.refusal_of_snapshot())


def _trial(door: Door, what: str, refusal: str | None, *, may: bool = True) -> Trial:
    return Trial(door.party, door.endpoint, what, refusal, may)
