"""`LiveUsers`: the `EtcdUsers` of `keyctl.etcd.interface` over etcd's service Auth. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from keyctl.errors import RefusedError
from keyctl.etcd import tenants
from keyctl.etcd.connections import Connections, Endpoint, is_authorisation
from keyctl.etcd.interface import EtcdUser
from keyctl.etcd.rpc import CallError, Session
from keyctl.etcd.scan import prefix_range
from keyctl.stored.rights import Permission, Role

_Answer = TypeVar("_Answer")
# authpb.Permission.Type.
_KINDS = {0: "read", 1: "write", 2: "readwrite"}
# How etcd says no, which it would say at every endpoint.
_NO = frozenset({"FAILED_PRECONDITION", "INVALID_ARGUMENT", "PERMISSION_DENIED"})


class LiveUsers:
    """The users and roles of the etcd behind `connections`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def enabled(self) -> bool:
        """See `EtcdUsers.enabled`."""
        return tenants.auth_enabled(self._connections)

    def users(self) -> tuple[EtcdUser, ...]:
        """See `EtcdUsers.users`."""

        def read(session: Session) -> tuple[EtcdUser, ...]:
            names = sorted(session.auth("UserList").users)
            return tuple(EtcdUser(name, tuple(session.auth("UserGet", name=name).roles)) for name in names)

        return self._ask("tell its users", read)

    def roles(self) -> tuple[Role, ...]:
        """See `EtcdUsers.roles`."""

        def read(session: Session) -> tuple[Role, ...]:
            names = sorted(session.auth("RoleList").roles)
            return tuple(Role(name, _permissions(session, name)) for name in names)

        return self._ask("tell its roles", read)

    def add_user(self, name: str, password: str | None = None) -> None:
        """See `EtcdUsers.add_user`."""
        how = {"options": {"no_password": True}} if password is None else {"password": password}
        self._change(f"add the user {name}", "UserAdd", name=name, **how)

    def delete_user(self, name: str) -> None:
        """See `EtcdUsers.delete_user`."""
        self._change(f"delete the user {name}", "UserDelete", name=name)

    def give_role(self, user: str, role: str) -> None:
        """See `EtcdUsers.give_role`."""
        self._change(f"give the role {role} to {user}", "UserGrantRole", user=user, role=role)

    def take_role(self, user: str, role: str) -> None:
        """See `EtcdUsers.take_role`."""
        self._change(f"take the role {role} from {user}", "UserRevokeRole", name=user, role=role)

    def add_role(self, name: str) -> None:
        """See `EtcdUsers.add_role`."""
        self._change(f"add the role {name}", "RoleAdd", name=name)

    def allow(self, role: str, permission: Permission) -> None:
        """See `EtcdUsers.allow`."""
        kind = next(number for number, name in _KINDS.items() if name == permission.kind)
        perm = {"permType": kind, "key": permission.key, "range_end": permission.range_end}
        self._change(f"give a permission to the role {role}", "RoleGrantPermission", name=role, perm=perm)

    def forbid(self, role: str, permission: Permission) -> None:
        """See `EtcdUsers.forbid`."""
        keys = {"key": permission.key, "range_end": permission.range_end}
        self._change(f"take a permission from the role {role}", "RoleRevokePermission", role=role, **keys)

    def enable(self) -> None:
        """See `EtcdUsers.enable`."""
        self._change("turn users and roles on", "AuthEnable")

    def disable(self) -> None:
        """See `EtcdUsers.disable`."""
        self._change("turn users and roles off", "AuthDisable")

    def refusal_to_read(self, prefix: bytes) -> str | None:
        """See `EtcdUsers.refusal_to_read`."""
        start, end = prefix_range(prefix)
        return self._refusal(lambda session: session.range(start, end, count_only=True))

    def refusal_to_write(self, key: bytes) -> str | None:
        """See `EtcdUsers.refusal_to_write`."""
        return self._refusal(lambda session: session.write_never(key))

    def refusal_of_snapshot(self) -> str | None:
        """See `EtcdUsers.refusal_of_snapshot`."""

        def begin(session: Session) -> None:
            with closing(session.snapshot()) as chunks:
                next(chunks, None)

        return self._refusal(begin)

    def _refusal(self, question: Callable[[Session], object]) -> str | None:
        def ask(session: Session) -> str | None:
            try:
                question(session)
            except CallError as error:
                if not is_authorisation(error):
                    raise
                return error.detail
            return None

        return self._connections.ask_any(ask)[1]

    def _change(self, what: str, method: str, **fields: object) -> None:
        self._ask(what, lambda session: session.auth(method, **fields))

    def _ask(self, what: str, question: Callable[[Session], _Answer]) -> _Answer:
        """The answer to `question`. Raises `RefusedError`: etcd does not let us do `what`."""

        def ask(session: Session) -> _Answer | CallError:
            try:
                return question(session)
            except CallError as error:
                if error.code not in _NO:
                    raise
                return error

        endpoint, answer = self._connections.ask_any(ask)
        if isinstance(answer, CallError):
            raise _refused(endpoint, answer, what) from answer
        return answer


def _permissions(session: Session, role: str) -> tuple[Permission, ...]:
    """The permissions of `role` in the order of keys, whichever order they were given in."""
    told = session.auth("RoleGet", role=role).perm
    found = (Permission(_KINDS.get(one.permType, str(one.permType)), one.key, one.range_end) for one in told)
    return tuple(sorted(found, key=lambda one: (one.key, one.range_end)))


def _refused(endpoint: Endpoint, error: CallError, what: str) -> RefusedError:
    return RefusedError(
        f"etcd at {endpoint} does not {what} for us",
        cause=error.detail,
        hint="use a certificate whose common name is a user with the role root" if is_authorisation(error) else (),
    )
