"""An etcd in memory with everybody who uses it, for tests of what turns its users and roles on."""

from __future__ import annotations

from dataclasses import dataclass, field

from keyctl.etcd_access.apply import Applier
from keyctl.etcd_access.interface import Site
from keyctl.etcd_access.proof import Door
from keyctl.etcd_access.wanted import WAY_BACK, Compactor, Party, Purpose, Wanted, wanted
from tests.support.memory_users import MemoryAuth, MemoryUsers

PREFIX = b"/registry/"
SERVER = Party(Purpose.API_SERVER, "kube-apiserver-etcd-client", "apiserver.crt")
AUDITOR = Party(Purpose.AUDITOR, "auditor", "auditor.crt")
BACKUP = Party(Purpose.BACKUP, "backup", "backup.crt")
PARTIES = (SERVER, AUDITOR, BACKUP)


@dataclass
class MemoryRope:
    """A `Rope` in memory; `given` counts its passwords."""

    password: str | None = None
    given: int = 0

    @property
    def place(self) -> str:
        return "memory"

    def renew(self) -> str:
        self.given += 1
        self.password = f"password-{self.given}"
        return self.password

    def kept(self) -> str | None:
        return self.password

    def forget(self) -> None:
        self.password = None


@dataclass
class Scene:
    """Two members. `deaf` are those that take no common name for a user; `cut` the names that are cut off once on.

    `down` cannot connect at all; `administrator` is the common name of the certificate that keyctl uses.
    `taken_for` says for whom a member takes a name.
    """

    auth: MemoryAuth = field(default_factory=MemoryAuth)
    rope: MemoryRope = field(default_factory=MemoryRope)
    said: list[str] = field(default_factory=list)
    administrator: str = "root"
    deaf: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    members: tuple[str, ...] = ("m1", "m2")
    taken_for: dict[tuple[str, str], str] = field(default_factory=dict)

    def wanted(self, compactor: Compactor = Compactor.ETCD) -> Wanted:
        return wanted(PARTIES, PREFIX, compactor)

    def connection(self, name: str, member: str) -> MemoryUsers:
        return MemoryUsers(
            self.auth,
            self.taken_for.get((name, member), name),
            names_count=member not in self.deaf,
            served_until_enabled=name in self.cut,
            down=name in self.down,
        )

    def site(self) -> Site:
        first = self.members[0]
        return Site(
            users=self.connection(self.administrator, first),
            members=tuple((member, self.connection(self.administrator, member)) for member in self.members),
            doors=tuple(
                Door(party, member, self.connection(party.name, member)) for party in PARTIES for member in self.members
            ),
            rope=self.rope,
            login=lambda password: MemoryUsers(self.auth, WAY_BACK, password=password),
        )

    def applier(self, compactor: Compactor = Compactor.ETCD) -> Applier:
        return Applier(self.site(), self.wanted(compactor), self.said.append)
