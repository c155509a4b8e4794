"""A simulated cluster that really encrypts: etcd, API servers on their hosts, a Lease, a clock, and what goes wrong.

After every effect and every step of the clock it checks promise 1: every ready
server reads every stored value, exactly, and so would every server that started
with the file on its disk (R1, R10). Before an effect it checks that the effect is
allowed: read before write (R2), one server down at a time (R9), the Lease held
(R8), the way to write that the container sees (R13). A violation is an
`AssertionError` right there. One thing is not keyctl's doing: a request that
outlasts the settle time (`hold_until_told`). The very value that it stores is
excused from promise 1 until every server has come to read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from keyctl.kube.interface import Census, ObjectRef
from keyctl.rotation.journal import LocalLock
from keyctl.rotation.plan import State
from keyctl.rotation.session import Session
from keyctl.rotation.world import EtcdPlace, Server, World
from tests.support import sim_config, sim_texts
from tests.support.sim_clock import SimClock
from tests.support.sim_config import InvalidConfigError, SimConfig, UnreadableError
from tests.support.sim_etcd import SimEtcd, open_snapshot
from tests.support.sim_kill import KillableJournal, KillSwitch
from tests.support.sim_migration import SimMigrator
from tests.support.sim_objects import PREFIX, SimObject, infrastructure, key_of, new_object
from tests.support.sim_parts import LeaseRecord, SimHost, SimLease, SimStore, Watcher
from tests.support.sim_server import CONFIG_PATH, EPOCH, MANIFEST_PATH, POLL_SECONDS, SimApi, SimServer, Spec

T = TypeVar("T")

ENDPOINT_SECONDS = 5.0
THREE_RESTARTED = (Spec("cp1"), Spec("cp2"), Spec("cp3"))
THREE_RELOADING = (Spec("cp1", reloads=True), Spec("cp2", reloads=True), Spec("cp3", reloads=True))
MIXED = (Spec("cp1"), Spec("cp2", reloads=True), Spec("cp3", single_file=True))


class SimCluster:
    """See the module. `config` None: no server has the encryption flag. Objects are made through the first server.

    `excused` are servers whose file is not keyctl's doing; `broken` those of which nothing is. `jumps` is, by server,
    what the clock of its machine was put forward by. `on_probe` is told which server is asked, and whether it is ready.
    """

    switch_kind = KillSwitch

    def __init__(
        self,
        directory: Path,
        specs: tuple[Spec, ...] = THREE_RESTARTED,
        config: bytes | None = sim_texts.SECRETS,
        *,
        overrides: tuple[str, ...] = (),
        distribution: str = "kubeadm",
    ) -> None:
        self.directory, self.distribution, self.overrides = directory, distribution, overrides
        self.clock, self.switch = SimClock(), self.switch_kind()
        self.settle, self.wait = 60.0, 180.0
        self.etcds = {name: self._etcd(name) for name in ("https://10.0.0.9:2379", "https://10.0.0.8:2379")}
        self.store_keys = SimStore(self.clock, self.switch)
        self.lease_record = LeaseRecord()
        self.migrations = SimMigrator(self)
        self.aggregated: frozenset[str] = frozenset({"metrics.k8s.io"})
        self.forbidden, self.webhook_refuses = set[tuple[str, str]](), set[bytes]()
        self.conflicts, self.lost_answers = dict[bytes, int](), 0
        self.jumps: dict[str, float] = {}
        self.on_probe: Callable[[str, bool], None] = lambda name, ready: None
        self.before_patch: Callable[[ObjectRef], None] = lambda ref: None
        self.excused, self.broken = set[str](), set[str]()
        self.extra_entries: list[Server] = []
        self.objects: dict[bytes, SimObject] = {}
        self._hopeless: set[bytes] = set()
        # What landed too late, by its place and what was stored there; true once some server could not read it.
        self._late: dict[tuple[bytes, bytes], bool] = {}
        self.were_unreadable: set[bytes] = set()
        self._seen_good: set[tuple[str | None, bytes, bytes]] = set()
        self._good_moments: set[tuple[str | int | None, ...]] = set()
        self.servers = [self._start(spec, number, config) for number, spec in enumerate(specs, 1)]
        self.unlisted: list[SimServer] = []
        self._fill()
        self.clock.after_step, self.clock.alive = self.check_promise, self.switch.alive
        self.check_promise()

    # -- what keyctl is given

    def world(self, *, place: str = "here") -> World:
        """The world as a new process at `place` builds it."""
        main, other = (EtcdPlace(etcd, (name,)) for name, etcd in self.etcds.items())
        places = (main, replace(other, resources=self.overrides)) if self.overrides else (main,)
        return World(
            cluster="prod",
            distribution=self.distribution,
            prefix=PREFIX,
            etcds=places,
            servers=(*(self.listed(server) for server in self.servers), *self.extra_entries),
            store=self.store_keys,
            lease=SimLease(self.lease_record, place, self.clock, self.switch, self._anybody_answers),
            clock=self.clock,
            snapshot_directory=self.directory / "snapshots",
            open_snapshot=open_snapshot,
            settle=self.settle,
            operator=f"somebody at {place}",
        )

    def listed(self, server: SimServer, *, name: str | None = None) -> Server:
        """The entry of `server` in the cluster file."""
        return Server(
            name=name or server.name,
            api=SimApi(server, name=name),
            host=server.host,
            config_path=CONFIG_PATH,
            manifest_path=MANIFEST_PATH,
            reloads=server.spec.reloads,
            wait=self.wait,
            url_host=server.address,
            hostname=server.name,
            advertise_address=server.address,
        )

    def journal(self, *, place: str = "here") -> KillableJournal:
        return KillableJournal(self.directory / "state" / place, self.switch)

    def session(
        self,
        *,
        place: str = "here",
        watcher: Watcher | None = None,
        pause: Callable[[], None] = lambda: None,
        pause_after: State | None = None,
    ) -> Session:
        """A session as a new process builds it."""
        journal, lock = self.journal(place=place), LocalLock(self.directory / "state" / place)
        told = watcher or Watcher()
        return Session(self.world(place=place), journal, lock, told, pause=pause, pause_after=pause_after)

    # -- what simulated servers need (`sim_server.Plane`)

    def etcd_of(self, resource: str | None) -> SimEtcd:
        main, other = self.etcds.values()
        return other if resource in self.overrides else main

    def raw(self, resource: str | None, key: bytes) -> tuple[bytes, int] | None:
        return self.etcd_of(resource).raw(key)

    def everything(self) -> list[SimObject]:
        return list(self.objects.values())

    def object_at(self, key: bytes) -> SimObject | None:
        return self.objects.get(key)

    def store(self, found: SimObject, value: bytes) -> int:
        """What a server writes: the object as it is from now on."""
        self.objects[found.etcd_key] = found
        return self.etcd_of(found.resource).put(found.etcd_key, value)

    def forget(self, key: bytes) -> None:
        found = self.objects.pop(key)
        self.etcd_of(found.resource).remove(key)

    def census(self) -> Census:
        now = self.clock.monotonic()
        running = [server for server in (*self.servers, *self.unlisted) if server.running]
        return Census(
            frozenset((f"apiserver-{server.name}", server.name) for server in running),
            frozenset(s.address for s in running if s.ready and now - s.ready_since >= ENDPOINT_SECONDS),
            frozenset(server.name for server in self.servers),
        )

    def alive(self) -> None:
        self.switch.alive()

    def about_to_patch(self, ref: ObjectRef) -> None:
        self.before_patch(ref)

    def effect(self, label: str, act: Callable[[], T]) -> T:
        """Run an effect of keyctl's: allowed, not killed, and every value readable after it."""

        def checked() -> T:
            result = act()
            self.check_promise(label)
            return result

        return self.switch.effect(label, checked)

    # -- the laws

    def check_promise(self, moment: str = "a step of the clock") -> None:
        """Promise 1. `AssertionError` names the server, the value and the moment."""
        for server in self._judged():
            if server.ready:
                self._check_reads(server.config, f"{server.name} at {moment}")
            if server.name not in self.excused:
                try:
                    self._check_reads(server.on_disk(), f"{server.name}, if it started after {moment},")
                except InvalidConfigError:
                    raise AssertionError(f"{server.name} has a file after {moment} that no server loads") from None
        if self._late:
            self._excuse_no_longer()

    def _judged(self) -> list[SimServer]:
        return [server for server in (*self.servers, *self.unlisted) if server.name not in self.broken]

    def still_excused(self) -> set[bytes]:
        """Where values stand that landed too late, and that nobody has made readable everywhere yet."""
        return {key for key, _ in self._late}

    def _excuse_no_longer(self) -> None:
        """A value that landed too late, and that was unreadable somewhere, has no excuse once all servers read it."""
        configs = {config for s in self._judged() for config in (s.on_disk(), *((s.config,) if s.ready else ()))}
        for (key, value), was_unreadable in list(self._late.items()):
            found = self.objects.get(key)
            stored = None if found is None else self.raw(found.resource, key)
            if found is None or stored is None or stored[0] != value:
                del self._late[key, value]
            elif not all(reads(config, found, value) for config in configs):
                self._late[key, value] = True
                self.were_unreadable.add(key)
            elif was_unreadable:
                del self._late[key, value]
                self._good_moments.clear()

    def _check_reads(self, config: SimConfig, who: str) -> None:
        moment = (config.sha256, *(etcd.revision for etcd in self.etcds.values()))
        if moment in self._good_moments:
            return
        for key, found in self.objects.items():
            stored = self.raw(found.resource, key)
            assert stored is not None
            seen = config.sha256, key, stored[0]
            if key in self._hopeless or seen in self._seen_good or (key, stored[0]) in self._late:
                continue
            try:
                plain, _ = config.open(found.resource, key, stored[0])
            except UnreadableError:
                raise AssertionError(f"{who} cannot read {key.decode()}") from None
            assert plain == found.plain, f"{who} reads something else at {key.decode()}"
            self._seen_good.add(seen)
        self._good_moments.add(moment)

    def _allow_write(self, server: SimServer, path: str, content: bytes, *, in_place: bool) -> None:
        self._allow_change()
        if path != CONFIG_PATH:
            return
        config = sim_config.load(content, "sha256:" + hashlib.sha256(content).hexdigest())
        for resource in config.named():
            writer = config.readers(resource)[0]
            for other in self._judged():
                known = (other.config if other.ready else other.on_disk()).readers(resource)
                assert writer in known, (
                    f"R2: {server.name} is given a writer of {resource} that {other.name} cannot read"
                )
                assert other is server or known[0] in config.readers(resource), (
                    f"R3: {server.name} is given a file that cannot read what {other.name} writes of {resource}"
                )
        mounted = server.spec.single_file and "encryption-provider-config" in server.flags()
        assert in_place == mounted, f"R13: {server.name} does not see what is written to it that way"

    def _allow_remove(self, server: SimServer, path: str) -> None:
        self._allow_change()
        if path == CONFIG_PATH:
            assert "encryption-provider-config" not in server.flags(), f"{server.name} would not start without its file"

    def _allow_restart(self, server: SimServer) -> None:
        others = [other for other in self.servers if other is not server]
        down = [other.name for other in others if not other.ready]
        assert not (down and server.ready), f"R9: {server.name} is restarted while {down} is down"
        if others:
            self._allow_change()
        server.restart()

    def _allow_change(self) -> None:
        held = self.lease_record.held(self.clock.monotonic())
        assert held or not self._anybody_answers(), "R8: something is changed without the Lease"

    # -- making it

    def _etcd(self, name: str) -> SimEtcd:
        return SimEtcd(name, between_pages=lambda: self.clock.advance(0.01), alive=self.alive, effect=self.effect)

    def _start(self, spec: Spec, number: int, config: bytes | None) -> SimServer:
        host = SimHost(spec.name, self.effect, self.alive)
        host.now = lambda: EPOCH - 2 * 86400.0
        host.place(MANIFEST_PATH, sim_texts.manifest(spec, encrypts=config is not None, overrides=self.overrides))
        if config is not None:
            host.place(CONFIG_PATH, config)
        server = SimServer(self, host, spec, number)
        host.do_restart = lambda: self._allow_restart(server)
        host.written_in_place = server.written_in_place
        host.before_write = lambda path, content, in_place: self._allow_write(server, path, content, in_place=in_place)
        host.before_remove = lambda path: self._allow_remove(server, path)
        server.start_time = EPOCH - 86400.0 + number
        server.boot()
        host.now = lambda: EPOCH + self.clock.monotonic() + server.jumped
        host.jumped = lambda: server.jumped - self.clock.jumped
        server.ready_since = -1e9
        self.clock.every(POLL_SECONDS, server.poll, first=server.phase)
        return server

    def _fill(self) -> None:
        for name in ("kube-system", "default", "team-a"):
            self.create("namespaces", None, name)
        for number in range(5):
            self.create("secrets", "default", f"db-{number}")
        self.create("secrets", "team-a", "token")
        self.create("configmaps", "kube-system", "settings")
        self.create("widgets.example.com", "team-a", "left-handed")
        for path in ("masterleases/10.0.0.1", "ranges/serviceips"):
            self.servers[0].write(infrastructure(path))

    def server(self, name: str) -> SimServer:
        return next(server for server in (*self.servers, *self.unlisted) if server.name == name)

    def create(self, resource: str, namespace: str | None, name: str, *, through: str | None = None) -> SimObject:
        """Create an object through a server, as anybody does."""
        found = new_object(resource, namespace, name)
        (self.server(through) if through else self.servers[0]).write(found)
        return found

    def under(self, resource: str) -> set[bytes]:
        """The heads, up to the key's name, of the values of `resource`."""
        found = (one for one in self.objects.values() if one.resource == resource)
        values = (self.etcd_of(resource).all()[one.etcd_key] for one in found)
        return {b":".join(value.split(b":")[:5]) if value.startswith(b"k8s:enc:") else b"plaintext" for value in values}

    def _anybody_answers(self) -> bool:
        return any(server.answers for server in self.servers)

    # -- what goes wrong

    def hold_create(self, through: str, resource: str, namespace: str, name: str, *, seconds: float) -> None:
        """A create that is sealed now, under what the server has loaded, and lands in `seconds`."""
        found = new_object(resource, namespace, name)
        value = self.server(through).config.seal(resource, found.etcd_key, found.plain)
        self.clock.at(seconds, lambda: void(self.store(found, value)))

    def hold_until_told(self, through: str, resource: str, namespace: str, name: str) -> Callable[[], None]:
        """A create that is sealed now, and lands when what is returned is called, however late that is."""
        found = new_object(resource, namespace, name)
        value = self.server(through).config.seal(resource, found.etcd_key, found.plain)

        def land() -> None:
            self._late[found.etcd_key, value] = False
            self.store(found, value)
            self.check_promise("a late write")

        return land

    def write_now_and_then(self, *, period: float) -> None:
        """Somebody creates, changes and deletes Secrets through whichever server is ready."""
        turns = iter(range(10**6))

        def turn() -> None:
            number = next(turns)
            if not (ready := [server for server in self.servers if server.ready]):
                return
            server = ready[number % len(ready)]
            server.write(new_object("secrets", "default", f"busy-{number}"))
            server.write(new_object("secrets", "default", f"db-{number % 5}", filler=b"y" * (number % 50)))
            if number >= 4:
                self.forget(key_of("secrets", "default", f"busy-{number - 4}"))

        self.clock.every(period, turn, first=period / 2)

    def put_undecryptable(self, resource: str, namespace: str, name: str) -> bytes:
        """A value that no key of anybody opens. Returns its key."""
        found = new_object(resource, namespace, name)
        self._hopeless.add(found.etcd_key)
        self.store(found, b"k8s:enc:aescbc:v1:lost-key:" + bytes(64))
        return found.etcd_key

    def change_file(self, name: str, content: bytes) -> None:
        """Somebody else writes the file of a server; what that breaks is not keyctl's doing."""
        self.excused.add(name)
        self.server(name).host.place(CONFIG_PATH, content)

    def add_unlisted(self, config: bytes) -> SimServer:
        """One more API server, that the cluster file does not know."""
        server = self._start(Spec("cp9"), 9, config)
        self.unlisted.append(server)
        return server


def reads(config: SimConfig, found: SimObject, value: bytes) -> bool:
    """Whether a server with `config` reads `value` where `found` is stored."""
    try:
        config.open(found.resource, found.etcd_key, value)
    except UnreadableError:
        return False
    return True


def void(_: object) -> None:
    """Nothing."""
