"""Users and roles of an etcd in memory that keep the contract of `EtcdUsers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from keyctl.errors import RefusedError, UnreachableError
from keyctl.etcd.interface import EtcdUser
from keyctl.etcd_access.wanted import ROOT
from keyctl.stored.rights import Permission, Role

_EMPTY = "etcdserver: user name is empty"
_UNKNOWN = "etcdserver: user name not found"
_DENIED = "etcdserver: permission denied"


@dataclass
class MemoryAuth:
    """One cluster's users and roles, and every change that was made. `alive` runs before every change and may raise."""

    enabled: bool = False
    roles_of: dict[str, list[str]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    permissions: dict[str, dict[tuple[bytes, bytes], str]] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    alive: Callable[[str], None] = lambda _change: None

    def change(self, name: str) -> None:
        self.alive(name)
        self.changes.append(name)


class MemoryUsers:
    """A connection: `name` is the common name of its certificate, or the user with whose `password` it logged in.

    `names_count` is False at a member that does not take common names for users.
    """

    def __init__(
        self,
        auth: MemoryAuth,
        name: str,
        *,
        names_count: bool = True,
        password: str | None = None,
        down: bool = False,
        served_until_enabled: bool = False,
    ) -> None:
        self._auth, self._name, self._down = auth, name, down
        self._empty = not names_count and password is None
        self._cut = served_until_enabled
        if password is not None and auth.passwords.get(name) != password:
            raise UnreachableError("etcd refused the request", cause="authentication failed")

    def enabled(self) -> bool:
        self._reach()
        return self._auth.enabled

    def users(self) -> tuple[EtcdUser, ...]:
        self._require_root("tell its users")
        return tuple(EtcdUser(name, tuple(sorted(roles))) for name, roles in sorted(self._auth.roles_of.items()))

    def roles(self) -> tuple[Role, ...]:
        self._require_root("tell its roles")
        return tuple(
            Role(name, tuple(Permission(kind, *keys) for keys, kind in sorted(found.items())))
            for name, found in sorted(self._auth.permissions.items())
        )

    def add_user(self, name: str, password: str | None = None) -> None:
        self._change(f"add-user {name}", name not in self._auth.roles_of, "user name already exists")
        self._auth.roles_of[name] = []
        if password is not None:
            self._auth.passwords[name] = password

    def delete_user(self, name: str) -> None:
        allowed = not (name == ROOT and self._auth.enabled)
        self._change(f"delete-user {name}", name in self._auth.roles_of and allowed, "user name not found")
        del self._auth.roles_of[name]
        self._auth.passwords.pop(name, None)

    def give_role(self, user: str, role: str) -> None:
        known = user in self._auth.roles_of and (role == ROOT or role in self._auth.permissions)
        self._change(f"give-role {user} {role}", known, "role name not found")
        if role not in self._auth.roles_of[user]:
            self._auth.roles_of[user].append(role)

    def take_role(self, user: str, role: str) -> None:
        has = role in self._auth.roles_of.get(user, ())
        self._change(f"take-role {user} {role}", has, "role is not granted to the user")
        self._auth.roles_of[user].remove(role)

    def add_role(self, name: str) -> None:
        self._change(f"add-role {name}", name not in self._auth.permissions, "role name already exists")
        self._auth.permissions[name] = {}

    def allow(self, role: str, permission: Permission) -> None:
        self._change(f"allow {role}", role in self._auth.permissions, "role name not found")
        self._auth.permissions[role][permission.key, permission.range_end] = permission.kind

    def forbid(self, role: str, permission: Permission) -> None:
        keys = permission.key, permission.range_end
        has = keys in self._auth.permissions.get(role, {})
        self._change(f"forbid {role}", has, "permission is not granted to the role")
        del self._auth.permissions[role][keys]

    def enable(self) -> None:
        ready = ROOT in self._auth.roles_of.get(ROOT, ())
        self._change("enable", ready, "root user does not exist")
        self._auth.enabled = True

    def disable(self) -> None:
        self._change("disable", True, "")
        self._auth.enabled = False

    def refusal_to_read(self, prefix: bytes) -> str | None:
        return self._refusal("read", prefix, prefix[:-1] + bytes([prefix[-1] + 1]))

    def refusal_to_write(self, key: bytes) -> str | None:
        return self._refusal("readwrite", key, b"")

    def refusal_of_snapshot(self) -> str | None:
        return self._not_root()

    def _refusal(self, kind: str, key: bytes, end: bytes) -> str | None:
        self._reach()
        if not self._auth.enabled or self._is_root():
            return None
        if self._empty:
            return _EMPTY
        for role in self._auth.roles_of.get(self._name, ()):
            for (start, until), allowed in self._auth.permissions.get(role, {}).items():
                inside = key == start and not end if not until else start <= key and (end or key + b"\0") <= until
                if inside and kind in (allowed, "read" if allowed == "readwrite" else allowed):
                    return None
        return _DENIED

    def _not_root(self) -> str | None:
        self._reach()
        if not self._auth.enabled or self._is_root():
            return None
        if self._empty:
            return _EMPTY
        return _DENIED if self._name in self._auth.roles_of else _UNKNOWN

    def _is_root(self) -> bool:
        return not self._empty and ROOT in self._auth.roles_of.get(self._name, ())

    def _reach(self) -> None:
        if self._down or (self._cut and self._auth.enabled):
            raise UnreachableError("etcd could not be reached", cause="TCP: connection refused")

    def _require_root(self, what: str) -> None:
        if (refusal := self._not_root()) is not None:
            raise RefusedError(f"etcd does not {what} for us", cause=refusal)

    def _change(self, name: str, allowed: bool, otherwise: str) -> None:
        self._require_root(name)
        if not allowed:
            raise RefusedError(f"etcd does not {name} for us", cause=f"etcdserver: {otherwise}")
        self._auth.change(name)
