"""One simulated kube-apiserver: what it has loaded, how it starts and reloads, how it reads and writes values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import yaml

from keyctl.errors import UnreachableError
from keyctl.hosts.interface import HostFile
from keyctl.kube.interface import (
    Census,
    Listed,
    Migrations,
    ObjectRef,
    Outcome,
    Patched,
    Refusal,
    ServerProbe,
    StoredObject,
)
from tests.support import sim_config
from tests.support.sim_clock import SimClock
from tests.support.sim_config import InvalidConfigError, SimConfig, UnreadableError
from tests.support.sim_objects import SERVED, SimObject, key_of, new_object
from tests.support.sim_parts import SimHost

T = TypeVar("T")

CONFIG_PATH = "/etc/kubernetes/enc/enc.yaml"
MANIFEST_PATH = "/etc/kubernetes/manifests/kube-apiserver.yaml"
BOOT_SECONDS = 3.0
POLL_SECONDS = 60.0
EPOCH = 1e9
_NONE = SimConfig()


class Plane(Protocol):
    """What a server needs of its cluster."""

    clock: SimClock
    webhook_refuses: set[bytes]
    conflicts: dict[bytes, int]
    lost_answers: int
    forbidden: set[tuple[str, str]]
    jumps: dict[str, float]
    on_probe: Callable[[str, bool], None]
    aggregated: frozenset[str]

    def raw(self, resource: str | None, key: bytes) -> tuple[bytes, int] | None: ...
    def everything(self) -> list[SimObject]: ...
    def object_at(self, key: bytes) -> SimObject | None: ...
    def store(self, found: SimObject, value: bytes) -> int: ...
    def forget(self, key: bytes) -> None: ...
    def census(self) -> Census: ...
    def alive(self) -> None: ...
    def about_to_patch(self, ref: ObjectRef) -> None: ...
    def effect(self, label: str, act: Callable[[], T]) -> T: ...

    @property
    def migrations(self) -> Migrations: ...


@dataclass(frozen=True, slots=True)
class Spec:
    """How one server is set up."""

    name: str
    reloads: bool = False
    single_file: bool = False
    version: str = "v1.37.1"

    @property
    def minor(self) -> int:
        """The second number of its version."""
        return int(self.version.split(".")[1])


class SimServer:
    """A process that may be down, not ready or ready; its container may see another file than its host.

    It says what it has loaded from 1.34 on, and counts its reloads from 1.28 on. What may be wrong with it: `lagging`
    never reloads, `refusing` refuses to, `silent` does not say what it has loaded, `ahead` is what its clock is ahead;
    with `plugins_away` it neither starts nor reloads with a KMS plugin; `plugin_keys` are the keys that its plugins say
    they have, where not the usual one ("" is none), `sealing_keys` those that they do seal with: `SimConfig.with_keys`;
    `list_problems` are its answers to a LIST of a resource or a GET of a name, `writes_as` is another configuration
    than the one it says it has. `frozen` it does nothing until it goes on, `cut_off` only keyctl gets no answer;
    `boot_seconds` is how long it takes to start.
    """

    def __init__(self, plane: Plane, host: SimHost, spec: Spec, number: int) -> None:
        self.plane, self.host, self.spec = plane, host, spec
        self.name = spec.name
        self.address = f"10.0.0.{number}"
        self.serial = 1000 + number
        self.phase = 7.0 + 13.0 * number
        self.running = self.ready = False
        self.lagging = self.refusing = self.silent = False
        self.plugins_away = self.frozen = self.cut_off = False
        self.boot_seconds = BOOT_SECONDS
        self.ahead: float | None = 0.0
        self.reloads, self.reloaded_at = 0, 0.0
        self.list_problems: dict[str, str] = {}
        self.plugin_keys: dict[str, str] = {}
        self.sealing_keys: dict[str, str] = {}
        self.on_list: Callable[[], None] = lambda: None
        self.writes_as: SimConfig | None = None
        self.ready_since = -1e9
        self.start_time, self.begun = 0.0, plane.clock.monotonic() - 86400.0
        self.jumped_at_start = 0.0
        self.reload_failures = 0
        self.config = _NONE
        self._pinned: HostFile | None = None

    @property
    def answers(self) -> bool:
        """Whether keyctl gets answers from it."""
        return self.running and not self.frozen and not self.cut_off

    def flags(self) -> dict[str, str]:
        manifest = self.host.files.get(MANIFEST_PATH)
        assert manifest is not None
        return _flags(manifest.content)

    def visible(self) -> HostFile | None:
        """The file as the container sees it: a mounted single file stays the inode it was at the start."""
        found = self.host.files.get(CONFIG_PATH)
        return self._pinned if self.spec.single_file and self.running else found

    def written_in_place(self) -> None:
        """The inode that the container has mounted was rewritten."""
        self._pinned = self.host.files.get(CONFIG_PATH)

    def on_disk(self) -> SimConfig:
        """What it would load if it started now. Raises `InvalidConfigError`."""
        return self._load(self.host.files.get(CONFIG_PATH))

    def _load(self, file: HostFile | None) -> SimConfig:
        if "encryption-provider-config" not in self.flags():
            return _NONE
        if file is None:
            raise InvalidConfigError
        return sim_config.load(file.content, file.sha256).with_keys(self.sealing_keys)

    def stop(self) -> None:
        """The process ends."""
        self.running = self.ready = False

    def restart(self) -> None:
        """The process ends, and another begins; it is ready a little later, if at all."""
        self.stop()
        self.frozen = False
        self.start_time = begun = self.now() + self.serial / 1e6
        self.begun, self.jumped_at_start = self.plane.clock.monotonic(), self.jumped
        self.plane.clock.at(self.boot_seconds, lambda: self.boot() if self.start_time == begun else None)

    def boot(self) -> None:
        """Load the file; ready only when every stored value can be read (R10)."""
        self.running = True
        self.reloads, self.reloaded_at, self.reload_failures = 0, 0.0, 0
        self._pinned = self.host.files.get(CONFIG_PATH)
        try:
            self.config = self._load(self._pinned)
        except InvalidConfigError:
            self.running = False
            return
        self.ready = all(self.can_read(found) for found in self.plane.everything()) and not self._lacks_plugin()
        self.ready_since = self.plane.clock.monotonic()

    def poll(self) -> None:
        """What automatic reload does once a minute."""
        file = self.visible()
        if not self.running or self.frozen or self.lagging or file is None or file.sha256 == self.config.sha256:
            return
        if self.flags().get("encryption-provider-config-automatic-reload") != "true":
            return
        try:
            loaded = self._load(file)
            if self.refusing or (self.plugins_away and loaded.plugins()):
                raise InvalidConfigError
            self.config = loaded
            if self.spec.minor >= 28:
                self.reloads, self.reloaded_at = self.reloads + 1, self.now()
        except InvalidConfigError:
            self.reload_failures += 1
        self.try_again()

    def try_again(self) -> None:
        """What it could not read kept it from being ready, and it has tried again ever since."""
        if (
            not self.ready
            and not self._lacks_plugin()
            and all(self.can_read(found) for found in self.plane.everything())
        ):
            self.ready, self.ready_since = True, self.plane.clock.monotonic()

    def _lacks_plugin(self) -> bool:
        return self.plugins_away and bool(self.config.plugins())

    def now(self) -> float:
        """Its clock, in Unix seconds."""
        return EPOCH + self.plane.clock.monotonic() + (self.ahead or 0.0) + self.jumped

    @property
    def jumped(self) -> float:
        """What the clock of its machine was put forward by."""
        return self.plane.jumps.get(self.name, 0.0)

    def can_read(self, found: SimObject) -> bool:
        stored = self.plane.raw(found.resource, found.etcd_key)
        assert stored is not None
        try:
            self.config.open(found.resource, found.etcd_key, stored[0])
        except UnreadableError:
            return False
        return True

    def write_if_stale(self, found: SimObject) -> bool:
        """Store it anew when it is not as this server writes it; whether it was not."""
        stored = self.plane.raw(found.resource, found.etcd_key)
        assert stored is not None
        _, stale = self.config.open(found.resource, found.etcd_key, stored[0])
        if stale:
            self.write(found)
        return stale

    def write(self, found: SimObject) -> int:
        """Store an object as a request through this server does."""
        config = self.writes_as or self.config
        return self.plane.store(found, config.seal(found.resource, found.etcd_key, found.plain))


@functools.lru_cache(maxsize=64)
def _flags(manifest: bytes) -> dict[str, str]:
    command = yaml.safe_load(manifest)["spec"]["containers"][0]["command"]
    return dict(word.removeprefix("--").split("=", 1) for word in command[1:])


class SimApi:
    """The `ApiServer` of one entry of the cluster file: how keyctl reaches one server."""

    def __init__(self, server: SimServer, *, name: str | None = None) -> None:
        self._server, self._plane = server, server.plane
        self._name = name or server.name

    @property
    def name(self) -> str:
        return self._name

    def probe(self) -> ServerProbe:
        self._plane.alive()
        server = self._server
        self._plane.on_probe(server.name, server.answers and server.ready)
        if not server.running:
            return ServerProbe(self._name, ready=False, problem="TCP: connection refused")
        if not server.answers:
            return ServerProbe(self._name, ready=False, problem="TCP: connection timed out")
        return ServerProbe(
            self._name,
            ready=server.ready,
            loaded_hash=server.config.sha256 if server.spec.minor >= 34 and not server.silent else None,
            id_hash=None if server.config.sha256 is None else f"sha256:{server.serial}",
            start_time=server.start_time + server.jumped - server.jumped_at_start,
            certificate_serial=server.serial,
            reloads=server.reloads,
            reloaded_at=server.reloaded_at,
            reload_failures=server.reload_failures,
            ahead=None if server.ahead is None else server.ahead + server.jumped - self._plane.clock.jumped,
            begun=None if server.ahead is None else server.begun,
            version=server.spec.version,
            problem="" if server.ready else "not ready: informer-sync",
            kms_key_ids={name: server.plugin_keys.get(name, f"sha256:{name}") for name in server.config.plugins()},
        )

    def list_metadata(self, resource: str) -> Listed:
        self._ask()
        self._server.on_list()
        found = [one for one in self._plane.everything() if one.resource == resource]
        bad = [one for one in found if not self._server.can_read(one)]
        problem = f"500 InternalError: unable to transform key {bad[0].etcd_key.decode()}" if bad else ""
        return Listed(resource, len(found) - len(bad), self._server.list_problems.get(resource, problem))

    def list_objects(self, resource: str) -> Iterator[StoredObject]:
        self._ask()
        for one in [one for one in self._plane.everything() if one.resource == resource]:
            stored = self._plane.raw(resource, one.etcd_key)
            if stored is not None:
                yield StoredObject(ObjectRef(resource, one.namespace, one.name, one.uid), stored[1])

    @property
    def migrations(self) -> Migrations:
        self._ask()
        return self._plane.migrations

    def get_metadata(self, ref: ObjectRef) -> Listed:
        self._ask()
        found = self._plane.object_at(key_of(ref.resource, ref.namespace, ref.name))
        if found is None:
            return Listed(ref.resource, 0)
        problem = "" if self._server.can_read(found) else "500 InternalError"
        return Listed(ref.resource, 1, self._server.list_problems.get(ref.name, problem))

    def kube_system_uid(self) -> str:
        self._ask()
        found = self._plane.object_at(key_of("namespaces", None, "kube-system"))
        assert found is not None
        return found.uid

    def census(self) -> Census:
        self._ask()
        return self._plane.census()

    def discover(self) -> dict[str, str]:
        self._ask()
        return {name: about.group_version for name, about in SERVED.items()}

    def aggregated_groups(self) -> frozenset[str]:
        self._ask()
        return self._plane.aggregated

    def may(self, verb: str, resource: str, *, namespace: str | None = None) -> bool:
        self._ask()
        return (verb, resource) not in self._plane.forbidden

    def patch_empty(
        self,
        refs: Iterable[ObjectRef],
        *,
        workers: int,
        dry_run: bool = False,
        on_result: Callable[[Patched], None] | None = None,
    ) -> tuple[Patched, ...]:
        self._plane.alive()
        assert workers >= 1
        results = []
        for ref in refs:
            self._plane.clock.advance(0.02)
            self._plane.about_to_patch(ref)
            label = "patch dry" if dry_run else "patch"
            result = self._plane.effect(label, functools.partial(self._patch, ref, dry_run=dry_run))
            results.append(result)
            if on_result:
                on_result(result)
        return tuple(results)

    def _patch(self, ref: ObjectRef, *, dry_run: bool) -> Patched:
        plane, server = self._plane, self._server
        key = key_of(ref.resource, ref.namespace, ref.name)
        found, stored = plane.object_at(key), plane.raw(ref.resource, key)
        if not server.answers:
            return Patched(ref, Outcome.SLOWER, message="TCP: connection refused", refusal=Refusal.BUSY)
        if found is None or stored is None:
            return Patched(ref, Outcome.GONE, status=404)
        if key in plane.webhook_refuses:
            message = 'admission webhook "rules.example" denied it'
            return Patched(ref, Outcome.REFUSED, None, 403, message, Refusal.WEBHOOK_DENIED, "rules.example")
        if plane.conflicts.get(key, 0) > 0:
            plane.conflicts[key] -= 1
            return Patched(ref, Outcome.LOOK_AGAIN, status=409, message="HTTP 409", refusal=Refusal.CONFLICT)
        if ref.uid not in ("", found.uid):
            message = "metadata.uid: field is immutable"
            return Patched(ref, Outcome.LOOK_AGAIN, status=422, message=message, refusal=Refusal.CONFLICT)
        try:
            _, stale = server.config.open(ref.resource, key, stored[0])
        except UnreadableError:
            return Patched(ref, Outcome.SLOWER, status=500, message="unable to transform", refusal=Refusal.BUSY)
        revision = server.write(found) if stale and not dry_run else stored[1]
        if plane.lost_answers > 0:
            plane.lost_answers -= 1
            return Patched(ref, Outcome.SLOWER, message="no answer", refusal=Refusal.BUSY)
        return Patched(ref, Outcome.SENT, revision, 200)

    def create_canary(self, namespace: str, name: str) -> ObjectRef:
        self._ask()
        left = self._plane.object_at(key_of("secrets", namespace, name))
        if left is not None:
            self.delete_canary(ObjectRef("secrets", namespace, name, left.uid))
        found = new_object("secrets", namespace, name, filler=b"")
        self._plane.effect("create-canary", lambda: self._server.write(found))
        return ObjectRef("secrets", namespace, name, found.uid)

    def delete_canary(self, ref: ObjectRef) -> None:
        self._ask()
        key = key_of(ref.resource, ref.namespace, ref.name)

        def delete() -> None:
            found = self._plane.object_at(key)
            if found is not None and found.uid == ref.uid:
                self._plane.forget(key)

        self._plane.effect("delete-canary", delete)

    def _ask(self) -> None:
        self._plane.alive()
        self._plane.clock.advance(0.01)
        if not self._server.answers:
            raise UnreachableError(f"API server {self._name} does not answer", cause="TCP: connection refused")
