"""`EtcdClient`: the `Etcd` of `keyctl.etcd.interface` over mutual TLS. Importing this loads gRPC.

Reads, but for `compact`, the work that `MaintainedEtcd` adds, and what `users` changes; no call writes or deletes a
live value.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keyctl.etcd import history, maintenance, tenants, upkeep
from keyctl.etcd.connections import Connections
from keyctl.etcd.interface import Alarm, EndpointStatus, Member, SavedSnapshot
from keyctl.etcd.scan import LiveSource, prefix_range
from keyctl.etcd.tls import MutualTls
from keyctl.etcd.users import LiveUsers


class EtcdClient:
    """One etcd cluster behind `endpoints` (`https://HOST:PORT`). The constructor checks the files and connects nowhere.

    `timeout` in seconds limits every call, and in a stream the wait for each item.
    `server_name` replaces the host in the check of the server's certificate.
    `user` and `password` are those of etcd's own authentication. `diagnose` is
    asked, with an endpoint, why it did not answer: the cause in the first line of
    what it returns, hints in the others, nothing when it sees nothing wrong.

    Raises `WrongUsageError` for an endpoint that is not https and
    `UnusableInputError` for files that are no usable key pair.
    """

    def __init__(
        self,
        endpoints: tuple[str, ...],
        tls: MutualTls,
        *,
        timeout: float = 10.0,
        server_name: str | None = None,
        user: str | None = None,
        password: str | None = None,
        diagnose: Callable[[str], str] | None = None,
    ) -> None:
        self._connections = Connections(
            endpoints,
            tls,
            timeout=timeout,
            server_name=server_name,
            user=user,
            password=password,
            diagnose=diagnose,
        )

    def source(self, *, revision: int = 0) -> LiveSource:
        """Read values at `revision`, or at one pinned now by a linearizable first read."""
        return LiveSource(self._connections, revision)

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        """Linearizable read of one key: (value, mod_revision), or None."""
        _, answer = self._connections.ask_any(lambda session: session.range(key))
        return (answer.kvs[0].value, answer.kvs[0].mod_revision) if answer.kvs else None

    def count(self, prefix: bytes) -> int:
        """How many keys start with `prefix`, linearizable."""
        start, end = prefix_range(prefix)
        _, answer = self._connections.ask_any(lambda session: session.range(start, end, count_only=True))
        return answer.count

    def status(self) -> tuple[EndpointStatus, ...]:
        """Ask every endpoint. All must answer and belong to one cluster, else `UnreachableError`."""
        return maintenance.member_status(self._connections)

    def save_snapshot(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> SavedSnapshot:
        """Stream a snapshot to `path`; see `keyctl.etcd.maintenance.save_snapshot`."""
        return maintenance.save_snapshot(self._connections, path, progress)

    def compact(self, revision: int) -> None:
        """Make every revision before `revision` unreadable; see `keyctl.etcd.history.compact`."""
        history.compact(self._connections, revision)

    def is_compacted(self, revision: int) -> bool:
        """Whether what stood at `revision` can no longer be read."""
        return history.is_compacted(self._connections, revision)

    def members(self) -> tuple[Member, ...]:
        """Every member that the cluster knows, linearizable."""
        return upkeep.members(self._connections)

    def auth_enabled(self) -> bool:
        """Whether etcd's users and roles are on; see `keyctl.etcd.tenants`."""
        return tenants.auth_enabled(self._connections)

    def users(self) -> LiveUsers:
        """Its own users and roles, over the same connections."""
        return LiveUsers(self._connections)

    def count_outside(self, prefix: bytes) -> int:
        """How many keys do not begin with `prefix` and are not Kubernetes' own; see `keyctl.etcd.tenants`."""
        return tenants.count_outside(self._connections, prefix)

    def alarms(self) -> tuple[Alarm, ...]:
        """Every alarm that stands."""
        return upkeep.alarms(self._connections)

    def disarm(self, alarm: Alarm) -> None:
        """Take `alarm` back; see `keyctl.etcd.upkeep`."""
        upkeep.disarm(self._connections, alarm)

    def can_write(self) -> bool:
        """Whether the one member here takes writes; see `keyctl.etcd.upkeep`."""
        return upkeep.can_write(self._connections)

    def finish_compaction(self, revision: int, *, timeout: float) -> None:
        """Wait until the one member here has deleted what was compacted; see `keyctl.etcd.upkeep`."""
        upkeep.finish_compaction(self._connections, revision, timeout=timeout)

    def defragment(self, *, timeout: float) -> None:
        """Let the one member here write its file anew; see `keyctl.etcd.upkeep`."""
        upkeep.defragment(self._connections, timeout=timeout)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()
