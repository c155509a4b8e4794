"""A Kubernetes API in memory, for tests of those who use one: `ApiServer` and `RotationLease` over a dict of objects.

`tests/contract/test_kube.py` runs the same cases on it and on a real one. Its
failures are attributes that a test sets.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.kube.answers import Answer, describe, refusal
from keyctl.kube.interface import (
    MIGRATIONS,
    Census,
    Listed,
    Migration,
    MigrationState,
    ObjectRef,
    Outcome,
    Patched,
    Refusal,
    ServerProbe,
    StoredObject,
    Transformed,
)
from keyctl.kube.outcomes import judge

# Resource, namespace, name.
Key = tuple[str, str | None, str]
# Called with the server that writes and the object it writes; gives the revision of that write, None for none.
Write = Callable[["FakeApiServer", ObjectRef], int | None]


def key_of(ref: ObjectRef) -> Key:
    """The place of an object, whichever object it is."""
    return (ref.resource, ref.namespace, ref.name)


@dataclass(slots=True)
class FakeObject:
    """One object. `stale`: the next empty patch writes it anew."""

    uid: str
    resource_version: int
    stale: bool = False


@dataclass(slots=True)
class FakeCluster:
    """What all servers share. `write` replaces what happens on a write, for simulators that encrypt."""

    objects: dict[Key, FakeObject] = field(default_factory=dict)
    served: dict[str, str] = field(
        default_factory=lambda: {"secrets": "v1", "configmaps": "v1", "deployments.apps": "apps/v1"}
    )
    aggregated: frozenset[str] = frozenset()
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    census: Census = field(default_factory=lambda: Census(frozenset(), frozenset(), frozenset()))
    revision: int = 100
    write: Write | None = None
    lease: tuple[str, float] | None = None
    migrations: dict[str, Migration] = field(default_factory=dict)

    def add(self, resource: str, namespace: str | None, name: str, *, stale: bool = False) -> ObjectRef:
        """Put an object there, without any server."""
        ref = ObjectRef(resource, namespace, name, str(uuid.uuid4()))
        self.revision += 1
        self.objects[key_of(ref)] = FakeObject(ref.uid, self.revision, stale)
        return ref

    def make_stale(self) -> None:
        """As when another key begins to write."""
        for stored in self.objects.values():
            stored.stale = True

    def written(self, server: FakeApiServer, ref: ObjectRef) -> int | None:
        """The revision of a write of `ref` through `server`, None when nothing had to be written."""
        if self.write:
            return self.write(server, ref)
        stored = self.objects.get(key_of(ref))
        if stored and not stored.stale:
            return None
        self.revision += 1
        return self.revision


@dataclass(slots=True)
class FakeApiServer:
    """One server. What goes wrong with it:

    `down`: nothing answers. `ready`, `loaded_hash` and the like: see `ServerProbe`;
    `lag` probes answer with the hash before the last `load`. `answers`: HTTP status
    and message for patches of an object. `unreadable`: objects whose stored bytes it
    cannot open. `forbidden`: (verb, resource) we may not. `before`: called before each
    request with the verb and the resource, to be slow, to interrupt, to change things.
    """

    name: str
    cluster: FakeCluster
    down: bool = False
    ready: bool = True
    loaded_hash: str | None = None
    id_hash: str | None = None
    start_time: float = field(default_factory=itertools.count(1000).__next__)
    certificate_serial: int = field(default_factory=itertools.count(1).__next__)
    reload_failures: int = 0
    reloads: int = 0
    version: str = "v1.37.1"
    counters: tuple[Transformed, ...] = ()
    lag: int = 0
    answers: dict[Key, tuple[int, str]] = field(default_factory=dict)
    unreadable: set[Key] = field(default_factory=set)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    before: Callable[[str, str], None] | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    _previous: str | None = None

    @property
    def url(self) -> str:
        """Only for messages."""
        return f"https://{self.name}.test:6443"

    def load(self, loaded_hash: str, *, lag: int = 0) -> None:
        """Load another configuration; `lag` probes still answer with the one before."""
        self._previous, self.loaded_hash, self.lag = self.loaded_hash, loaded_hash, lag

    def probe(self) -> ServerProbe:
        """See `ApiServer`."""
        self._note("probe", "")
        if self.down:
            return ServerProbe(self.name, ready=False, problem="connection refused")
        lagging = self.lag > 0
        self.lag = max(0, self.lag - 1)
        return ServerProbe(
            name=self.name,
            ready=self.ready,
            loaded_hash=self._previous if lagging else self.loaded_hash,
            id_hash=self.id_hash,
            start_time=self.start_time,
            certificate_serial=self.certificate_serial,
            reload_failures=self.reload_failures,
            reloads=self.reloads,
            version=self.version,
            problem="" if self.ready else "not ready: informer-sync",
        )

    def list_metadata(self, resource: str) -> Listed:
        """See `ApiServer`."""
        self.ask("list", resource)
        if resource not in self.cluster.served:
            return Listed(resource, 0, f"no API serves {resource}")
        keys = [key for key in self.cluster.objects if key[0] == resource]
        if bad := [key for key in keys if key in self.unreadable]:
            return Listed(resource, 0, describe(_status(500, f"unable to transform key of {bad[0][2]}")))
        return Listed(resource, len(keys))

    def list_objects(self, resource: str) -> Iterator[StoredObject]:
        """See `ApiServer`."""
        self.ask("list", resource)
        if resource not in self.cluster.served:
            raise UnreachableError(f"the API server at {self.url} does not serve {resource}")
        for (kind, namespace, name), stored in list(self.cluster.objects.items()):
            if kind == resource:
                yield StoredObject(ObjectRef(kind, namespace, name, stored.uid), stored.resource_version)

    @property
    def migrations(self) -> FakeMigrations:
        """See `ApiServer`."""
        return FakeMigrations(self)

    def get_metadata(self, ref: ObjectRef) -> Listed:
        """See `ApiServer`."""
        self.ask("get", ref.resource)
        if ref.resource not in self.cluster.served:
            return Listed(ref.resource, 0, f"no API serves {ref.resource}")
        if key_of(ref) in self.unreadable:
            return Listed(ref.resource, 0, describe(_status(500, "Internal error occurred")))
        return Listed(ref.resource, int(key_of(ref) in self.cluster.objects))

    def kube_system_uid(self) -> str:
        """See `ApiServer`."""
        self.ask("get", "namespaces")
        return self.cluster.uid

    def census(self) -> Census:
        """See `ApiServer`."""
        self.ask("list", "leases.coordination.k8s.io")
        return self.cluster.census

    def transformed(self) -> tuple[Transformed, ...]:
        """See `StorageCounters`."""
        self.ask("get", "metrics")
        return self.counters

    def discover(self) -> dict[str, str]:
        """See `ApiServer`."""
        self.ask("discover", "the API")
        return dict(self.cluster.served)

    def aggregated_groups(self) -> frozenset[str]:
        """See `ApiServer`."""
        self.ask("list", "apiservices.apiregistration.k8s.io")
        return self.cluster.aggregated

    def may(self, verb: str, resource: str, *, namespace: str | None = None) -> bool:
        """See `ApiServer`."""
        self.ask("create", "selfsubjectaccessreviews.authorization.k8s.io")
        return (verb, resource) not in self.forbidden

    def patch_empty(
        self,
        refs: Iterable[ObjectRef],
        *,
        workers: int,
        dry_run: bool = False,
        on_result: Callable[[Patched], None] | None = None,
    ) -> tuple[Patched, ...]:
        """See `ApiServer`; one after the other, whatever `workers`."""
        results = []
        for ref in refs:
            self._note("patch", ref.resource)
            results.append(self._patch(ref, dry_run=dry_run))
            if on_result:
                on_result(results[-1])
        return tuple(results)

    def create_canary(self, namespace: str, name: str) -> ObjectRef:
        """See `ApiServer`."""
        self.ask("create", "secrets")
        ref = ObjectRef("secrets", namespace, name, str(uuid.uuid4()))
        self.cluster.objects.pop(key_of(ref), None)
        self.cluster.objects[key_of(ref)] = FakeObject(ref.uid, self.cluster.written(self, ref) or 0)
        return ref

    def delete_canary(self, ref: ObjectRef) -> None:
        """See `ApiServer`."""
        self.ask("delete", "secrets")
        stored = self.cluster.objects.get(key_of(ref))
        if stored and ref.uid == stored.uid:
            del self.cluster.objects[key_of(ref)]

    def _patch(self, ref: ObjectRef, *, dry_run: bool) -> Patched:
        if self.down:
            return Patched(ref, Outcome.SLOWER, message="connection refused", refusal=Refusal.BUSY)
        if ref.resource not in self.cluster.served:
            message = f"no API serves {ref.resource}"
            return Patched(ref, Outcome.REFUSED, None, 0, message, Refusal.NOT_SERVED, ref.resource)
        stored = self.cluster.objects.get(key_of(ref))
        if key_of(ref) in self.answers:
            return judge(ref, _status(*self.answers[key_of(ref)]), self.url)
        if ("patch", ref.resource) in self.forbidden:
            return judge(ref, _status(403, f"may not patch {ref.resource}"), self.url)
        if stored is None:
            return judge(ref, _status(404, f'{ref.resource} "{ref.name}" not found', name=ref.name), self.url)
        if key_of(ref) in self.unreadable:
            return judge(ref, _status(500, "Internal error occurred"), self.url)
        if ref.uid not in ("", stored.uid):
            return judge(ref, _status(422, "field is immutable", field="metadata.uid"), self.url)
        revision = None if dry_run else self.cluster.written(self, ref)
        if revision is not None:
            stored.resource_version, stored.stale = revision, False
        return Patched(ref, Outcome.SENT, stored.resource_version, 200)

    def _note(self, verb: str, resource: str) -> None:
        self.requests.append((verb, resource))
        if self.before:
            self.before(verb, resource)

    def ask(self, verb: str, resource: str) -> None:
        """One more request, which may fail."""
        self._note(verb, resource)
        if self.down:
            raise UnreachableError(f"the API server at {self.url} cannot be reached", cause="connection refused")
        if (verb, resource) in self.forbidden:
            raise refusal(self.url, verb, resource, _status(403, f"may not {verb} {resource}"))


@dataclass(frozen=True, slots=True)
class FakeMigrations:
    """`Migrations` through one server, with nobody to carry them out."""

    server: FakeApiServer

    def find(self, name: str) -> Migration | None:
        """See `Migrations`."""
        self.server.ask("get", MIGRATIONS)
        return self.server.cluster.migrations.get(name)

    def create(self, name: str, resource: str) -> Migration:
        """See `Migrations`."""
        self.server.ask("create", MIGRATIONS)
        made = Migration(name, str(uuid.uuid4()), resource, MigrationState.PENDING)
        found = self.server.cluster.migrations.setdefault(name, made)
        if found.resource != resource:
            raise RefusedError(f"there is another StorageVersionMigration called {name}")
        return found

    def delete(self, migration: Migration) -> None:
        """See `Migrations`."""
        self.server.ask("delete", MIGRATIONS)
        found = self.server.cluster.migrations.get(migration.name)
        if found and found.uid == migration.uid:
            del self.server.cluster.migrations[migration.name]

    def manager_silent_for(self) -> float | None:
        """See `Migrations`."""
        self.server.ask("get", "leases.coordination.k8s.io")
        return None


@dataclass(slots=True)
class FakeRotationLease:
    """`RotationLease` in a `FakeCluster`; `place` and `run` as in `keyctl.kube.lease.Holder`; `clock` in seconds."""

    cluster: FakeCluster
    servers: tuple[FakeApiServer, ...]
    clock: Callable[[], float]
    place: str = "here"
    run: str = "1"
    duration: float = 90
    _held: bool = False

    def acquire(self) -> None:
        """See `RotationLease`."""
        if all(server.down for server in self.servers):
            raise UnreachableError("no API server can be reached", cause="connection refused")
        holder, until = self.cluster.lease or ("", 0.0)
        if holder and until > self.clock() and holder.rpartition("#")[0] != self.place:
            raise RefusedError(
                "another rotation of this cluster is under way", cause=f"the Lease is held by {holder}", rule="R8"
            )
        self._take()

    def check(self) -> None:
        """See `RotationLease`; renews every time."""
        if not self._held:
            raise RuntimeError("the Lease was not acquired")
        if all(server.down for server in self.servers):
            return
        if not self.cluster.lease or self.cluster.lease[0] != self._holder:
            raise StoppedError("the Lease was taken from this rotation", rule="R8")
        self._take()

    def release(self) -> None:
        """See `RotationLease`."""
        mine = self._held and self.cluster.lease is not None and self.cluster.lease[0] == self._holder
        self._held = False
        if mine and not all(server.down for server in self.servers):
            self.cluster.lease = None

    @property
    def _holder(self) -> str:
        return f"{self.place}#{self.run}"

    def _take(self) -> None:
        self.cluster.lease = (self._holder, self.clock() + self.duration)
        self._held = True


def replaced(ref: ObjectRef) -> ObjectRef:
    """The same place with another object's uid."""
    return replace(ref, uid=str(uuid.uuid4()))


def _status(code: int, message: str, *, name: str = "", field: str = "") -> Answer:
    causes = [{"field": field}] if field else []
    document = {"kind": "Status", "message": message, "details": {"name": name, "causes": causes}}
    return Answer(code, json.dumps(document).encode())
