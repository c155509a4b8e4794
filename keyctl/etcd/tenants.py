"""Who else uses an etcd: whether it has users and roles, and how many keys are none of Kubernetes'. Reads no value."""

from __future__ import annotations

from keyctl.etcd.connections import Connections
from keyctl.etcd.rpc import Session
from keyctl.etcd.scan import prefix_range
from keyctl.stored.paths import COMPACTION

# etcd writes "from the first key" and "without end" as a zero byte.
_FIRST = _WITHOUT_END = b"\0"


def auth_enabled(connections: Connections) -> bool:
    """Whether etcd's users and roles are on. Raises `UnreachableError`, also where it is not told to us."""
    _, answer = connections.ask_any(lambda session: session.auth("AuthStatus"))
    return bool(answer.enabled)


def count_outside(connections: Connections, prefix: bytes) -> int:
    """How many keys do not begin with `prefix`, less the one that kube-apiserver has beside it. Linearizable."""
    start, end = prefix_range(prefix)

    def ask(session: Session) -> int:
        before = session.range(_FIRST, start, count_only=True).count
        behind = session.range(end, _WITHOUT_END, count_only=True).count if end != _WITHOUT_END else 0
        own = 0 if COMPACTION.startswith(prefix) else session.range(COMPACTION, count_only=True).count
        return before + behind - own

    return connections.ask_any(ask)[1]
