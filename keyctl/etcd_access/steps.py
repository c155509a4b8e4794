"""From the users and roles there are to those there must be: steps in an order, pure values.

Every step is told by what was observed, so doing it all again does nothing: what is there is no step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keyctl.etcd.interface import EtcdUser
from keyctl.etcd_access.wanted import ROOT, Wanted, below
from keyctl.stored.display import display
from keyctl.stored.rights import Permission, Role


@dataclass(frozen=True, slots=True)
class Seen:
    """What etcd says of its users and roles at one moment."""

    enabled: bool
    users: tuple[EtcdUser, ...]
    roles: tuple[Role, ...]

    def roles_of(self, user: str) -> tuple[str, ...] | None:
        """The roles of `user`; None where there is no such user."""
        return next((one.roles for one in self.users if one.name == user), None)

    def permissions_of(self, role: str) -> tuple[Permission, ...] | None:
        """The permissions of `role`; None where there is no such role."""
        return next((one.permissions for one in self.roles if one.name == role), None)


@dataclass(frozen=True, slots=True)
class AddRole:
    """A role without permissions."""

    role: str

    def __str__(self) -> str:
        return f"add the role {display(self.role)}"


@dataclass(frozen=True, slots=True)
class Allow:
    """A permission more, or another kind of it for the same keys."""

    role: str
    permission: Permission

    def __str__(self) -> str:
        return f"let the role {display(self.role)} {told(self.permission)}"


@dataclass(frozen=True, slots=True)
class AddUser:
    """A user that only a certificate can be."""

    user: str

    def __str__(self) -> str:
        return f"add the user {display(self.user)}, without a password: only a certificate with this common name is it"


@dataclass(frozen=True, slots=True)
class GiveRole:
    """A role more for a user."""

    user: str
    role: str

    def __str__(self) -> str:
        return f"give the role {display(self.role)} to the user {display(self.user)}"


@dataclass(frozen=True, slots=True)
class TakeRole:
    """A role that a user has and does not need."""

    user: str
    role: str

    def __str__(self) -> str:
        return f"take the role {display(self.role)} from the user {display(self.user)}"


@dataclass(frozen=True, slots=True)
class Forbid:
    """A permission that a role has and does not need."""

    role: str
    permission: Permission

    def __str__(self) -> str:
        return f"no longer let the role {display(self.role)} {told(self.permission)}"


Addition = AddRole | Allow | AddUser | GiveRole
Narrowing = TakeRole | Forbid


def told(permission: Permission) -> str:
    """What a permission is, for a reader."""
    verb = "read and write" if permission.kind == "readwrite" else permission.kind
    key, end = display(permission.key), permission.range_end
    if not end:
        return f"{verb} {key}"
    if permission.key.endswith(b"/") and end == below(permission.key):
        return f"{verb} everything below {key}"
    return f"{verb} everything from {key} on" if end == b"\0" else f"{verb} from {key} up to {display(end)}"


def additions(seen: Seen, wanted: Wanted) -> tuple[Addition, ...]:
    """What is missing, rights before who has them."""
    return (*_missing_roles(seen, wanted), *_missing_users(seen, wanted))


def narrowings(seen: Seen, wanted: Wanted) -> tuple[Narrowing, ...]:
    """What the users and roles of `wanted` have beyond it. Nobody else's are touched."""
    return (*_extra_roles(seen, wanted), *_extra_permissions(seen, wanted))


def inverse(step: Narrowing) -> Addition:
    """The step that gives back what `step` took."""
    match step:
        case TakeRole(user, role):
            return GiveRole(user, role)
        case Forbid(role, permission):
            return Allow(role, permission)


def _missing_roles(seen: Seen, wanted: Wanted) -> Iterator[Addition]:
    for role in wanted.roles:
        has = seen.permissions_of(role.name)
        if has is None:
            yield AddRole(role.name)
        yield from (Allow(role.name, one) for one in role.permissions if one not in (has or ()))


def _missing_users(seen: Seen, wanted: Wanted) -> Iterator[Addition]:
    for user in wanted.users:
        has = seen.roles_of(user.name)
        if has is None:
            yield AddUser(user.name)
        if user.role not in (has or ()):
            yield GiveRole(user.name, user.role)


def _extra_roles(seen: Seen, wanted: Wanted) -> Iterator[Narrowing]:
    # Next to root another role says nothing, and nothing is gained by taking it.
    for user in wanted.users:
        if user.role != ROOT:
            yield from (TakeRole(user.name, one) for one in seen.roles_of(user.name) or () if one != user.role)


def _extra_permissions(seen: Seen, wanted: Wanted) -> Iterator[Narrowing]:
    for role in wanted.roles:
        # What is there for the same keys is replaced, not taken.
        kept = {(one.key, one.range_end) for one in role.permissions}
        for one in seen.permissions_of(role.name) or ():
            if (one.key, one.range_end) not in kept:
                yield Forbid(role.name, one)
