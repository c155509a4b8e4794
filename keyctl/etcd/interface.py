"""What the use cases need of etcd, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keyctl.stored.rights import Permission, Role
from keyctl.stored.source import ValueSource

# What the etcd is called that holds everything but the resources for which there is another one.
MAIN = "main"


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """What one member says of itself. Sizes in bytes; `quota` is 0 where the server does not tell (etcd < 3.6).

    `in_use` is what of `db_size` is not free pages. `leader` is the id of the member that this one follows, "0" for
    none.
    """

    endpoint: str
    version: str
    cluster_id: str
    member_id: str
    revision: int
    db_size: int
    quota: int
    in_use: int = 0
    leader: str = ""
    learner: bool = False
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the cluster knows it. `urls` are where clients reach it; none before it was started once.

    `peer_urls` are where other members reach it.
    """

    id: str
    name: str
    urls: tuple[str, ...]
    learner: bool
    peer_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that stands against a member: `kind` is etcd's name of it, NOSPACE or CORRUPT."""

    member_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    """A snapshot file whose trailing SHA-256 was checked while it arrived.

    `sha256` is that of the database, which is all but the last 32 bytes. `member` is who sent it. `inode` is (device,
    inode) of the file: whatever else comes to stand at `path` is another one.
    """

    path: Path
    size: int
    sha256: str
    member: EndpointStatus | None = None
    inode: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class EtcdUser:
    """A user as etcd tells of it: it does not tell whether there is a password."""

    name: str
    roles: tuple[str, ...]


class Etcd(Protocol):
    """One etcd cluster. Values are only ever read; `compact` is the one thing here that changes it.

    Every call has a deadline and raises `UnreachableError` with the stage that
    failed (name, TCP, TLS of the server, TLS of the client, authorisation).
    """

    def source(self, *, revision: int = 0) -> ValueSource:
        """Read values at `revision`, or at one pinned now by a linearizable first page."""
        ...

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        """Linearizable read of one key: (value, mod_revision), or None."""
        ...

    def count(self, prefix: bytes) -> int:
        """How many keys start with `prefix`, linearizable."""
        ...

    def status(self) -> tuple[EndpointStatus, ...]:
        """Ask every endpoint. All must answer and belong to one cluster, else `UnreachableError`."""
        ...

    def save_snapshot(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> SavedSnapshot:
        """Stream a snapshot to `path` (0600, complete or absent), checking its SHA-256 as it arrives.

        `progress` gets (bytes so far, bytes in all). Refuses to overwrite (`RefusedError`), and a disk without
        room for it (`RefusedError`) before the first byte. After a `RefusedError` nothing of ours stands at `path`.
        """
        ...

    def compact(self, revision: int) -> None:
        """Make every revision before `revision` unreadable; no-op where that is so already.

        Raises `RefusedError` where our certificate or user may not, and
        `UnreachableError` where etcd has not reached `revision`.
        """
        ...

    def is_compacted(self, revision: int) -> bool:
        """Whether what stood at `revision` can no longer be read. Raises what `compact` raises."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class MaintainedEtcd(Etcd, Protocol):
    """An etcd whose files can be worked on, too. What is said to be of one member needs a client of one endpoint."""

    def members(self) -> tuple[Member, ...]:
        """Every member that the cluster knows, linearizable."""
        ...

    def alarms(self) -> tuple[Alarm, ...]:
        """Every alarm that stands."""
        ...

    def disarm(self, alarm: Alarm) -> None:
        """Take `alarm` back. Raises `RefusedError` where our certificate or user may not."""
        ...

    def can_write(self) -> bool:
        """Whether this one member takes writes, found out with a lease that no value has and that is given back."""
        ...

    def finish_compaction(self, revision: int, *, timeout: float) -> None:
        """Wait until this one member has deleted from its file what `compact` to `revision` made unreadable.

        Compacts first where that was not done. Raises what `compact` raises, and `UnreachableError` after `timeout`
        seconds; the member goes on by itself.
        """
        ...

    def defragment(self, *, timeout: float) -> None:
        """Let this one member write its file anew, without free pages; it answers nobody until that is done.

        Raises `RefusedError` where our certificate or user may not, and `UnreachableError` after `timeout` seconds;
        the member goes on by itself.
        """
        ...


class AskedEtcd(MaintainedEtcd, Protocol):
    """An etcd that is also asked who else uses it."""

    def auth_enabled(self) -> bool:
        """Whether etcd's users and roles are on."""
        ...

    def count_outside(self, prefix: bytes) -> int:
        """How many keys do not begin with `prefix`, less the one that kube-apiserver has beside it."""
        ...


class GovernedEtcd(AskedEtcd, Protocol):
    """An etcd whose own users and roles are dealt with, too."""

    def users(self) -> EtcdUsers:
        """Its own users and roles."""
        ...


class EtcdUsers(Protocol):
    """etcd's own users and roles, and what they let this connection do. A certificate's common name is a user's name.

    What etcd does not do for us raises `RefusedError` with its own words; where users and roles are on, all but
    `enabled` and the three `refusal…` need the role root.
    """

    def enabled(self) -> bool:
        """Whether users and roles count."""
        ...

    def users(self) -> tuple[EtcdUser, ...]:
        """Every user, by name."""
        ...

    def roles(self) -> tuple[Role, ...]:
        """Every role, by name; the role root, which needs no permissions, only where somebody has added it."""
        ...

    def add_user(self, name: str, password: str | None = None) -> None:
        """Add a user; without a password only a certificate can be it."""
        ...

    def delete_user(self, name: str) -> None:
        """Delete a user."""
        ...

    def give_role(self, user: str, role: str) -> None:
        """Give a role to a user; no-op where the user has it."""
        ...

    def take_role(self, user: str, role: str) -> None:
        """Take a role away from a user."""
        ...

    def add_role(self, name: str) -> None:
        """Add a role without permissions."""
        ...

    def allow(self, role: str, permission: Permission) -> None:
        """Give a permission to a role, in the place of one for the same keys."""
        ...

    def forbid(self, role: str, permission: Permission) -> None:
        """Take a permission away from a role."""
        ...

    def enable(self) -> None:
        """Let users and roles count from now on."""
        ...

    def disable(self) -> None:
        """Let them count no more: every certificate that etcd accepts may do everything."""
        ...

    def refusal_to_read(self, prefix: bytes) -> str | None:
        """What etcd says to a linearizable count of all keys with `prefix`; None where it answers."""
        ...

    def refusal_to_write(self, key: bytes) -> str | None:
        """What etcd says to a write of `key` under a condition that is never true; None where we may. Nothing changes.

        The right to read `key` is needed, too.
        """
        ...

    def refusal_of_snapshot(self) -> str | None:
        """What etcd says when asked for a snapshot, of which only the beginning is taken; None where it sends one."""
        ...
