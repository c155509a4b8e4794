"""Who else uses an etcd: whether it has users and roles, and how many keys are none of Kubernetes'. Reads no value."""

from __future__ import annotations

from keyctl.errors import UnreachableError
from keyctl.etcd.connections import Connections
from keyctl.etcd.rpc import CallError, Session
from keyctl.etcd.scan import prefix_range
from keyctl.stored.paths import COMPACTION

# etcd writes "from the first key" and "without end" as a zero byte.
_FIRST = _WITHOUT_END = b"\0"


def auth_enabled(connections: Connections) -> bool:
    """Whether etcd's users and roles are on. Raises `UnreachableError`, also where it is not told to us."""

    def ask(session: Session) -> bool | None:
        try:
            return bool(session.auth("AuthStatus").enabled)
        except CallError as error:
            if error.code == "UNIMPLEMENTED" and "AuthStatus" in error.detail:
                return None
            raise

    endpoint, enabled = connections.ask_any(ask)
    if enabled is None:
        raise UnreachableError(
            f"etcd at {endpoint} does not tell whether users and roles are on",
            cause="it is older than etcd 3.5, which began to tell it",
            hint="bring every member to etcd 3.5 or newer first",
        )
    return enabled


def count_outside(connections: Connections, prefix: bytes) -> int:
    """How many keys do not begin with `prefix`, less the one that kube-apiserver has beside it. Linearizable."""
    start, end = prefix_range(prefix)

    def ask(session: Session) -> int:
        before = session.range(_FIRST, start, count_only=True).count
        behind = session.range(end, _WITHOUT_END, count_only=True).count if end != _WITHOUT_END else 0
        own = 0 if COMPACTION.startswith(prefix) else session.range(COMPACTION, count_only=True).count
        return before + behind - own

    return connections.ask_any(ask)[1]
