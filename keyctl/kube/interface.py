"""What the use cases need of the Kubernetes API, and no more.

A *resource* is written as in an EncryptionConfiguration: `secrets`,
`deployments.apps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

# The forms of StorageVersionMigration that work: older ones name a version of the resource, and fail at any error.
MIGRATIONS = "storageversionmigrations.storagemigration.k8s.io"
MIGRATION_VERSIONS = ("storagemigration.k8s.io/v1", "storagemigration.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class ServerProbe:
    """What one kube-apiserver, asked on its own address, says of itself.

    `loaded_hash` is "sha256:<hex>" of the EncryptionConfiguration it has loaded,
    None where the server has no such metric (no flag, or older than 1.34).
    `id_hash` is the `apiserver_id_hash` label of its metrics. `start_time` is
    the process's start in Unix seconds, `certificate_serial` its serving
    certificate's: equal pairs are one process behind two addresses (rule R11).
    `reloads` counts the reloads that succeeded, `reloaded_at` is the time of the
    newest in Unix seconds; both are 0 before the first, and always before 1.28.
    `reload_failures` counts refused reloads. `ahead` is how many seconds its clock
    is ahead of ours, None where it did not tell the time. `begun` is when the process
    started, in seconds of our own monotonic clock, by how old it said it was: a clock
    that is set moves `start_time`, and not this; None where it did not tell the time.
    `kms_key_ids` has, for each KMS v2 plugin by its name, the "sha256:<hex>" of the key
    id that the plugin's Status named last; what was configured earlier stays in it.
    `refuses_us` says that it is up and does not take our credentials: it is not down,
    and no restart would mend that.
    """

    name: str
    ready: bool
    loaded_hash: str | None = None
    id_hash: str | None = None
    start_time: float = 0.0
    certificate_serial: int = 0
    reloads: int = 0
    reloaded_at: float = 0.0
    reload_failures: int = 0
    ahead: float | None = field(default=None, compare=False)
    begun: float | None = field(default=None, compare=False)
    version: str = ""
    problem: str = ""
    refuses_us: bool = False
    kms_key_ids: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Census:
    """Who says they are an API server of this cluster.

    `leases` holds the names of the kube-apiserver identity Leases renewed lately,
    with the hostname label of each; `endpoints` the addresses of the
    `kubernetes` Endpoints; `control_plane_nodes` the names of Nodes labelled so,
    `unready_nodes` those of them that are not ready, as far as the kubelets say.
    """

    leases: frozenset[tuple[str, str]]
    endpoints: frozenset[str]
    control_plane_nodes: frozenset[str]
    unready_nodes: frozenset[str] = frozenset()


class Outcome(StrEnum):
    """What became of one empty patch (rule R15). Only raw etcd says that a value is done."""

    SENT = "sent"
    GONE = "gone"
    LOOK_AGAIN = "look-again"
    REFUSED = "refused"
    SLOWER = "slower"


class Refusal(StrEnum):
    """Why an object was not written, as far as the answers tell. `UNMOVED`: they say it was, and raw etcd says no."""

    WEBHOOK_DENIED = "webhook-denied"
    WEBHOOK_FAILED = "webhook-failed"
    CONVERSION_FAILED = "conversion-failed"
    POLICY_DENIED = "policy-denied"
    IMMUTABLE = "immutable"
    INVALID = "invalid"
    QUOTA = "quota"
    TOO_LARGE = "too-large"
    TERMINATING = "namespace-terminating"
    FORBIDDEN = "forbidden"
    NOT_SERVED = "not-served"
    CONFLICT = "conflict"
    BUSY = "busy"
    UNMOVED = "unmoved"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One API object, as found in raw etcd. `uid` is the object's own."""

    resource: str
    namespace: str | None
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Patched:
    """The answer to one empty patch; `resource_version` is None unless it was `SENT`.

    `refusal` says why it was not written, None when it was, or when the object is
    gone; `by` is the webhook, policy, right or version behind that. `message` carries
    no value of the object. `seconds` is how long the answer took, `retry_after` how
    long the server asks us to wait, 0 where it does not.
    """

    ref: ObjectRef
    outcome: Outcome
    resource_version: int | None = None
    status: int = 0
    message: str = ""
    refusal: Refusal | None = None
    by: str = ""
    seconds: float = field(default=0.0, compare=False)
    retry_after: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a metadata-only LIST, and the version that the server shows of it."""

    ref: ObjectRef
    resource_version: int


class MigrationState(StrEnum):
    """What a StorageVersionMigration says of itself. `PENDING`: nobody has taken it up."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Migration:
    """A StorageVersionMigration of one resource. `message` is what its last condition says, without values."""

    name: str
    uid: str
    resource: str
    state: MigrationState
    message: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """The answer to a metadata-only LIST of a whole resource through one server."""

    resource: str
    count: int
    problem: str = ""


class Migrations(Protocol):
    """The cluster's StorageVersionMigrations, through one server. Raises `UnreachableError` with the stage."""

    def find(self, name: str) -> Migration | None:
        """The one of that name, None when there is none."""
        ...

    def create(self, name: str, resource: str) -> Migration:
        """Create it; one that is there already under that name, for that resource, is returned as it is."""
        ...

    def delete(self, migration: Migration) -> None:
        """Delete exactly this one; gone already is fine, and so is another one of its name, which stays."""
        ...

    def manager_silent_for(self) -> float | None:
        """Seconds since kube-controller-manager renewed its Lease; None where that cannot be seen."""
        ...


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

    def list_objects(self, resource: str) -> Iterator[StoredObject]:
        """Every object of `resource`, metadata only, page by page; one may come twice when the list had to begin anew.

        Raises `UnreachableError` also where the server refuses the list.
        """
        ...

    @property
    def migrations(self) -> Migrations:
        """The StorageVersionMigrations as this server serves them."""
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


# A host name or an address, and a port, or `ANY_PORT`.
Reached = tuple[str, int]
ANY_PORT = 0


@dataclass(frozen=True, slots=True)
class OwnNetwork:
    """Where what runs in the cluster can be reached, and what is there ("Service vault/vault").

    A host may begin with `*.`, for every name below it. `nodes` are the Nodes by each of their addresses. `unseen` are
    the resources that we may not list, so that what they tell is missing here.
    """

    reached: Mapping[Reached, str]
    unseen: tuple[str, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)

    def at(self, host: str, port: int) -> str | None:
        """What answers there; None when it is nothing that was seen."""
        parts = host.lower().rstrip(".").split(".")
        names = (".".join(parts), *(f"*.{'.'.join(parts[start:])}" for start in range(1, len(parts))))
        found = (self.reached.get((name, one)) for name in names for one in (port, ANY_PORT))
        return next((what for what in found if what), None)


class NetworkView(Protocol):
    """What one API server tells of the cluster's own network."""

    def own_network(self) -> OwnNetwork:
        """Services, endpoints, Ingresses and Nodes as this server sees them. Raises `UnreachableError`."""
        ...


@dataclass(frozen=True, slots=True)
class Transformed:
    """How often one kube-apiserver has `written` values to etcd, or read them there, in one way, since its start.

    `resource` is written as in an EncryptionConfiguration, "" before Kubernetes 1.32. `prefix` is what the values begin
    with, "k8s:enc:aescbc:v1:"; of a static key the same is counted again as "NAME:". "" is a write that encrypts
    nothing, "identity" a reading of such. `succeeded` False counts failures. What no entry of the configuration covers
    is not counted at all.
    """

    resource: str
    written: bool
    prefix: str
    succeeded: bool
    count: int


class StorageCounters(Protocol):
    """What one API server counts of its own reading and writing."""

    def transformed(self) -> tuple[Transformed, ...]:
        """Its counters; none before the first. Raises `UnreachableError`, also where we may not read its metrics."""
        ...


class Power(StrEnum):
    """What somebody may do by way of the API that opens every Secret, or etcd."""

    SECRETS = "read every Secret"
    EXEC = "run commands in the Pods of kube-system"
    NODES = "run commands in every Pod (nodes/proxy)"


@dataclass(frozen=True, slots=True)
class Grant:
    """One power of one subject, and the binding that gives it. `default`: Kubernetes gave it to a part of itself."""

    power: Power
    subject: str
    binding: str
    default: bool


class RightsView(Protocol):
    """What one API server tells of who may do what."""

    def grants(self) -> tuple[Grant, ...]:
        """Everything in `Power` that RBAC gives. Raises `UnreachableError`, also where we may not see it."""
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
