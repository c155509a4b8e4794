"""What the use cases need of the Kubernetes API, and no more.

A *resource* is written as in an EncryptionConfiguration: `secrets`,
`deployments.apps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ServerProbe:
    """What one kube-apiserver, asked on its own address, says of itself.

    `loaded_hash` is "sha256:<hex>" of the EncryptionConfiguration it has loaded,
    None where the server has no such metric (no flag, or older than 1.34).
    `id_hash` is the `apiserver_id_hash` label of that metric. `start_time` is
    the process's start in Unix seconds, `certificate_serial` its serving
    certificate's: equal pairs are one process behind two addresses (rule R11).
    `reload_failures` counts refused reloads. `refuses_us` says that it is up and
    does not take our credentials: it is not down, and no restart would mend that.
    """

    name: str
    ready: bool
    loaded_hash: str | None = None
    id_hash: str | None = None
    start_time: float = 0.0
    certificate_serial: int = 0
    reload_failures: int = 0
    version: str = ""
    problem: str = ""
    refuses_us: bool = False


@dataclass(frozen=True, slots=True)
class Census:
    """Who says they are an API server of this cluster.

    `leases` holds the names of the kube-apiserver identity Leases renewed lately,
    with the hostname label of each; `endpoints` the addresses of the
    `kubernetes` Endpoints; `control_plane_nodes` the names of Nodes labelled so.
    """

    leases: frozenset[tuple[str, str]]
    endpoints: frozenset[str]
    control_plane_nodes: frozenset[str]


class Outcome(StrEnum):
    """What became of one empty patch (rule R15). Only raw etcd says that a value is done."""

    SENT = "sent"
    GONE = "gone"
    LOOK_AGAIN = "look-again"
    REFUSED = "refused"
    SLOWER = "slower"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One API object, as found in raw etcd. `uid` is the object's own."""

    resource: str
    namespace: str | None
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Patched:
    """The answer to one empty patch; `resource_version` is None unless it was `SENT`."""

    ref: ObjectRef
    outcome: Outcome
    resource_version: int | None = None
    status: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer to a metadata-only LIST of a whole resource through one server."""

    resource: str
    count: int
    problem: str = ""


class ApiServer(Protocol):
    """One kube-apiserver on its own address.

    `probe` never raises for a server that is down: that is an answer. The others
    raise `UnreachableError` with the stage that failed.
    """

    @property
    def name(self) -> str:
        """The name of its entry in the cluster file."""
        ...

    def probe(self) -> ServerProbe:
        """Readiness, loaded hash, identity."""
        ...

    def list_metadata(self, resource: str) -> Listed:
        """LIST every object of `resource`, metadata only, all pages; a refusal is a `problem`, not an exception."""
        ...

    def get_metadata(self, ref: ObjectRef) -> Listed:
        """GET without resourceVersion, metadata only: the server opens the stored bytes. `count` is 1 or 0."""
        ...

    def kube_system_uid(self) -> str:
        """The uid of the namespace kube-system as this server sees it."""
        ...

    def census(self) -> Census:
        """Identity Leases, Endpoints and Nodes as this server sees them."""
        ...

    def discover(self) -> dict[str, str]:
        """Every resource this server serves and can list and patch → its preferred "group/version"."""
        ...

    def aggregated_groups(self) -> frozenset[str]:
        """API groups that another process serves: it holds their key (rule R18)."""
        ...

    def may(self, verb: str, resource: str, *, namespace: str | None = None) -> bool:
        """Ask a SelfSubjectAccessReview whether we may."""
        ...

    def patch_empty(
        self,
        refs: Iterable[ObjectRef],
        *,
        workers: int,
        dry_run: bool = False,
        on_result: Callable[[Patched], None] | None = None,
    ) -> tuple[Patched, ...]:
        """Send an empty merge patch with the object's uid for each of `refs`, `workers` at a time, kept-alive."""
        ...

    def create_canary(self, namespace: str, name: str) -> ObjectRef:
        """Create a Secret without data that carries nothing but its name."""
        ...

    def delete_canary(self, ref: ObjectRef) -> None:
        """Delete it; gone already is fine."""
        ...


class RotationLease(Protocol):
    """The Lease that lets one rotation run in a cluster (rule R8)."""

    def acquire(self) -> None:
        """Take it, or raise `RefusedError` (R8) naming the holder."""
        ...

    def check(self) -> None:
        """Renew when due. Raises `StoppedError` when somebody else holds it; a server that is restarting is no loss."""
        ...

    def release(self) -> None:
        """Give it back; never raises for a server that is down."""
        ...
