"""Which users and roles an etcd of Kubernetes needs, from the certificates that use it. Pure values.

etcd takes the common name of a client certificate for the name of a user. kube-apiserver knows no other way to say
who it is, so every user here is without a password.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from keyctl.errors import RefusedError
from keyctl.stored.paths import COMPACTION
from keyctl.stored.rights import Permission, Role

# Both the user that etcd demands before it turns users on, and the one role that may do everything.
ROOT = "root"
# Of ours, while users and roles are being turned on; see `keyctl.etcd_access.apply`.
WAY_BACK = "keyctl-way-back"
API_SERVER_ROLE = "kube-apiserver"
AUDITOR_ROLE = "keyctl-auditor"


class Purpose(StrEnum):
    """What somebody uses etcd for."""

    API_SERVER = "API server"
    AUDITOR = "auditor"
    BACKUP = "backup"


class Compactor(StrEnum):
    """Who deletes old revisions. etcd reserves that to the role root; its own automatic compaction needs no user."""

    API_SERVER = "apiserver"
    ETCD = "etcd"


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody with a certificate: what for, its common name, and the file it is from."""

    purpose: Purpose
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class WantedUser:
    """A user and its one role; `purpose` is None for root, which nobody but the administrator is."""

    name: str
    role: str
    purpose: Purpose | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The users and roles that there must be; `prefix` is where the API servers store, with a slash at its end."""

    users: tuple[WantedUser, ...]
    roles: tuple[Role, ...]
    prefix: bytes

    @property
    def administrators(self) -> frozenset[str]:
        """Whose role is root."""
        return frozenset(user.name for user in self.users if user.role == ROOT)


def wanted(parties: Iterable[Party], prefix: bytes, compactor: Compactor) -> Wanted:
    """What there must be for `parties`, with the least rights that do.

    Raises `RefusedError` for a certificate that no user of its own can be made for.
    """
    end = below(prefix)
    every_role = (
        Role(API_SERVER_ROLE, (Permission("readwrite", prefix, end), Permission("readwrite", COMPACTION, b""))),
        Role(AUDITOR_ROLE, (Permission("read", prefix, end),)),
    )
    users = {ROOT: WantedUser(ROOT, ROOT, None)}
    for party in parties:
        user = WantedUser(party.name, _role(party.purpose, compactor), party.purpose)
        if users.setdefault(_checked(party), user) != user:
            raise RefusedError(
                f"{party.name!r} would be two users of etcd in one",
                cause=f"{party.file} is to be the {party.purpose} and has the common name of another certificate",
                hint="issue a certificate with a common name of its own: keyctl certs issue DIR --client NAME",
            )
    in_use = {user.role for user in users.values()}
    roles = tuple(Role(one.name, _in_order(one)) for one in every_role if one.name in in_use)
    return Wanted(tuple(users.values()), roles, prefix)


def below(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`, which ends with a slash."""
    # 0 follows the slash.
    return prefix[:-1] + b"0"


def _role(purpose: Purpose, compactor: Compactor) -> str:
    match purpose:
        case Purpose.API_SERVER:
            return ROOT if compactor is Compactor.API_SERVER else API_SERVER_ROLE
        case Purpose.AUDITOR:
            return AUDITOR_ROLE
        case Purpose.BACKUP:
            # etcd sends a snapshot to the role root only: there is no smaller right.
            return ROOT


def _checked(party: Party) -> str:
    if not party.name:
        raise RefusedError(
            f"the certificate {party.file} has no common name, so etcd could know who has it by a password only",
            cause="kube-apiserver has no password for etcd, and a password is no proof of a certificate",
            hint="issue one with a common name: keyctl certs issue DIR --client NAME",
        )
    if party.name == ROOT:
        raise RefusedError(
            f"{party.file} is to be the {party.purpose}, and its common name is {ROOT}, which is the administrator's",
            cause="etcd demands a user of this name that may do everything",
            hint=(
                "name the API servers' own certificate: --apiserver-cert FILE",
                "issue a certificate with another common name: keyctl certs issue DIR --client NAME",
            ),
        )
    if party.name == WAY_BACK:
        raise RefusedError(
            f"{WAY_BACK} is the name of a user that is made and deleted here",
            cause=f"it is the common name of {party.file}",
            hint="issue a certificate with another common name: keyctl certs issue DIR --client NAME",
        )
    return party.name


def _in_order(role: Role) -> tuple[Permission, ...]:
    return tuple(sorted(role.permissions, key=lambda one: (one.key, one.range_end)))
