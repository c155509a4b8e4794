"""A simulated cluster to which things happen: to servers, hosts, etcd, objects, clocks, and the cluster file.

What happens is over after a while, or once `calm` is called. The laws of
`model_laws` are checked with those of the simulator, after every effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from keyctl.kube.interface import Census
from keyctl.rotation.world import World
from tests.support import sim_config
from tests.support.sim_kill import KillableJournal
from tests.support.sim_objects import SimObject, key_of, new_object
from tests.support.sim_server import BOOT_SECONDS, CONFIG_PATH, SimServer, Spec
from tests.support.simulator import SimCluster, reads
from tests.unit.rotation.model_laws import Laws
from tests.unit.rotation.model_lease import WatchedLease
from tests.unit.rotation.model_process import SteppedSwitch

STRANGER, THIEF = "cp9", "elsewhere"
_KUBELET_LOOKS = 10.0


class ModelCluster(SimCluster):
    """See the module. `landed_late`: what landed after its settle time, by its place and what was stored there."""

    switch_kind = SteppedSwitch
    switch: SteppedSwitch

    def __init__(self, directory: Path, specs: tuple[Spec, ...], config: bytes | None) -> None:
        self.laws: Laws | None = None
        self.base = config
        self.landed_late: set[tuple[bytes, bytes]] = set()
        # What the process under test was shown: a server that nobody lists, a Lease that is another one's.
        self.saw_stranger = self.saw_thief = self.lease_in_doubt = self.tears = False
        self.steps_in_doubt = 0
        self._was_ready: dict[str, bool] = {}
        self._down_until: dict[str, float] = {}
        # By server: the file that somebody else wrote, and the one that was there.
        self._meddled: dict[str, tuple[bytes, bytes]] = {}
        self.others_wrote_ours = False
        self._to_land: list[Callable[[], None]] = []
        self._made = 0
        super().__init__(directory, specs, config)
        self.on_probe = self._was_ready.__setitem__
        self.clock.every(_KUBELET_LOOKS, self._kubelet, first=_KUBELET_LOOKS)
        self.laws = Laws(self)
        self.switch.before = self.laws.before
        self.check_promise()

    # -- what keyctl is given

    def world(self, *, place: str = "here") -> World:
        """See `SimCluster`."""
        lease = WatchedLease(self.lease_record, place, self.clock, self.switch, self._anybody_answers)
        lease.cluster = self
        return replace(super().world(place=place), lease=lease)

    def journal(self, *, place: str = "here") -> KillableJournal:
        """See `SimCluster`."""
        journal = super().journal(place=place)
        if self.laws is not None:
            journal.noted = self.laws.record
        return journal

    def new_process(self) -> None:
        """Another keyctl begins, which has seen nothing yet."""
        self.switch.new_process()
        self.saw_stranger = self.saw_thief = self.lease_in_doubt = self.tears = False
        self._was_ready.clear()

    def census(self) -> Census:
        """See `SimCluster`."""
        self.saw_stranger = any(server.running for server in self.unlisted)
        return super().census()

    def goes_back(self) -> bool:
        """Whether the rotation that is under way was aborted."""
        return any(record["kind"] == "abort" for record in self.journal().unfinished())

    # -- the laws

    def check_promise(self, moment: str = "a step of the clock") -> None:
        """See `SimCluster`; and all other laws."""
        self._note_mended()
        super().check_promise(moment)
        if self.laws is not None:
            self.laws.look(moment)

    def _allow_write(self, server: SimServer, path: str, content: bytes, *, in_place: bool) -> None:
        super()._allow_write(server, path, content, in_place=in_place)
        if path != CONFIG_PATH:
            return
        if self.laws is not None and server.name not in self.broken:
            self.laws.before_file(server, server.on_disk(), sim_config.load(content, ""))
        if self.tears and in_place and server.name not in self.broken:
            server.host.place(path, content[: len(content) // 2])
            server.host.redo[path] = content
            self.broken.add(server.name)
            self.switch.die()

    def _allow_restart(self, server: SimServer) -> None:
        others = [other for other in self.servers if other is not server]
        # NOTE: one that went down after it was last asked is nobody's fault here.
        down = [other.name for other in others if not other.ready and not self._was_ready.get(other.name, True)]
        assert not (down and server.ready), f"R9: {server.name} is restarted while {down} is down"
        if others:
            self._allow_change()
        server.restart()

    def _allow_change(self) -> None:
        held = self.lease_record.held(self.clock.monotonic()) and self.lease_record.place != THIEF
        # NOTE: with nobody there to give it, it is not asked for; who comes up since is nobody's fault here.
        nobody = not self._anybody_answers() or not any(self._was_ready.values())
        # NOTE: what was begun before anything could be seen of it is carried to its end.
        begun_before = self.lease_in_doubt and self.steps_in_doubt <= 1
        assert held or nobody or begun_before, "R8: something is changed without the Lease"

    def resource_at(self, key: bytes) -> str | None:
        """What is stored at `key`, or was: only Secrets come and go."""
        found = self.objects.get(key)
        return found.resource if found is not None else "secrets"

    def _note_mended(self) -> None:
        """Whoever has the file of the rotation again, and has it loaded, is judged again."""
        for server in self.servers:
            if server.name not in self.broken or server.host.redo:
                continue
            theirs, _ = self._meddled.get(server.name, (b"", b""))
            file = server.host.files.get(CONFIG_PATH)
            if file is not None and file.content != theirs and server.config.content != theirs:
                self._meddled.pop(server.name, None)
                self.broken.discard(server.name)

    # -- servers

    def _kubelet(self) -> None:
        """What every host does: it starts what is down; and a server tries again to read what it could not."""
        now = self.clock.monotonic()
        for server in (*self.servers, *self.unlisted):
            starting = now - server.begun < server.boot_seconds + 1
            if not server.running and not starting and now >= self._down_until.get(server.name, 0.0):
                server.boot_seconds = BOOT_SECONDS
                server.restart()
            elif server.running and not server.ready and not server.frozen:
                server.try_again()

    def crash(self, server: SimServer, seconds: float) -> None:
        """It ends, and its host cannot start it for so long."""
        self._down_until[server.name] = self.clock.monotonic() + seconds
        server.stop()

    def freeze(self, server: SimServer, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        server.frozen = True
        self.clock.at(seconds, lambda: setattr(server, "frozen", False))

    def cut_off(self, server: SimServer, seconds: float, *, host: bool) -> None:
        """Nothing gets from here to the server, or to its host."""
        what = server.host if host else server
        what.cut_off = True
        self.clock.at(seconds, lambda: setattr(what, "cut_off", False))

    def lag(self, server: SimServer, seconds: float, *, refuses: bool) -> None:
        """It does not look at its file, or refuses it; or it takes long to start."""
        server.refusing, server.lagging, server.boot_seconds = refuses, not refuses, seconds

        def no_more() -> None:
            server.refusing = server.lagging = False
            server.boot_seconds = BOOT_SECONDS

        self.clock.at(seconds, no_more)

    # -- objects and etcd

    def usable(self, server: SimServer) -> bool:
        """Whether clients get answers from it, and keyctl has to answer for what they get."""
        etcd_answers = not any(etcd.down for etcd in self.etcds.values())
        return server.ready and not server.frozen and server.name not in self.broken and etcd_answers

    def client_stores(self, server: SimServer, name: str, filler: bytes) -> None:
        """A client creates a Secret, or changes it."""
        found = self._another(name, filler)
        self._expect(found)
        server.write(found)
        self.check_promise("a client's write")

    def client_deletes(self, name: str) -> None:
        """A client deletes a Secret."""
        key = key_of("secrets", "default", name)
        if self.laws is not None and key in self.laws.expected:
            del self.laws.expected[key]
            self.forget(key)
            self.check_promise("a client's delete")

    def client_is_held(self, server: SimServer, name: str, filler: bytes, seconds: float) -> None:
        """A client's write is sealed now, and lands in `seconds`, unless another one was faster."""
        found = self._another(name, filler)
        before = self.raw("secrets", found.etcd_key)
        value = server.config.seal("secrets", found.etcd_key, found.plain)

        def land() -> None:
            if self.raw("secrets", found.etcd_key) == before:
                self._expect(found)
                self.store(found, value)

        self.clock.at(seconds, land)

    def client_is_held_for_ever(self, server: SimServer) -> None:
        """A client's create is sealed now, and lands when `land` is called."""
        self._made += 1
        found = new_object("secrets", "default", f"late-{self._made}")
        value = server.config.seal("secrets", found.etcd_key, found.plain)

        def land() -> None:
            self.landed_late.add((found.etcd_key, value))
            if not self._all_read(found, value) or self._is_acting():
                self._late[found.etcd_key, value] = False
            self._expect(found)
            self.store(found, value)
            self.check_promise("a late write")

        self._to_land.append(land)

    def land(self) -> None:
        """What was held longest lands."""
        if self._to_land:
            self._to_land.pop(0)()

    def _all_read(self, found: SimObject, value: bytes) -> bool:
        configs = (config for server in self._judged() for config in (server.config, server.on_disk()))
        return all(reads(config, found, value) for config in configs)

    def _is_acting(self) -> bool:
        """Whether keyctl has looked at all values for the last time before it acts on a server."""
        return self.laws is not None and self.laws.last_record[0] == "intent" and self.switch.process is not None

    def is_late(self, key: bytes, value: bytes) -> bool:
        """Whether nobody can be blamed for that value."""
        return (key, value) in self._late

    def unreadable_still(self) -> set[bytes]:
        """Where values stand that some server cannot read, for they landed too late."""
        return {key for (key, _), unreadable in self._late.items() if unreadable}

    def last_proof_is_made(self) -> bool:
        """Whether nothing looks at any value any more."""
        proofs = [record for record in self.journal().records() if record["kind"] == "proof"]
        return bool(proofs) and proofs[-1]["of"] in {"retired", "gone"}

    def _another(self, name: str, filler: bytes) -> SimObject:
        there = self.objects.get(key_of("secrets", "default", name))
        return new_object("secrets", "default", name, filler=filler, uid=there.uid if there else None)

    def _expect(self, found: SimObject) -> None:
        if self.laws is not None:
            self.laws.expected[found.etcd_key] = found

    def outage(self, seconds: float) -> None:
        """No etcd answers."""
        for etcd in self.etcds.values():
            etcd.down = True
            self.clock.at(seconds, partial(setattr, etcd, "down", False))

    def compact(self) -> None:
        """An API server compacts: whoever reads an older revision, or goes on with an old list, begins anew."""
        for etcd in self.etcds.values():
            etcd.forget_before(etcd.revision)

    def refuse(self, name: str, seconds: float) -> None:
        """A webhook refuses every change of a Secret."""
        key = key_of("secrets", "default", name)
        self.webhook_refuses.add(key)
        self.clock.at(seconds, lambda: self.webhook_refuses.discard(key))

    # -- other people

    def join(self) -> None:
        """A server comes up with the file that all began with; nobody lists it."""
        first = self.servers[0].spec
        self.broken.add(STRANGER)
        joined = self._start(Spec(STRANGER, first.reloads, version=first.version), 9, self.base)
        self.unlisted.append(joined)

    def nobody_joined(self) -> bool:
        """Whether there is room for one."""
        return not self.unlisted and all(server.name != STRANGER for server in self.servers)

    def leave(self) -> None:
        """It goes again."""
        for server in self.unlisted:
            server.stop()
        self.unlisted.clear()
        self.broken.discard(STRANGER)

    def take_in(self) -> bool:
        """What keyctl says: it gets the file of the first server, loads it, and is listed. False where it cannot."""
        (joined,) = self.unlisted
        file = self.servers[0].host.files.get(CONFIG_PATH)
        if file is None or self.servers[0].name in self.broken:
            return False
        joined.host.place(CONFIG_PATH, file.content)
        joined.restart()
        self.clock.advance(30)
        if not joined.ready:
            return False
        self.unlisted.remove(joined)
        self.servers.append(joined)
        self.broken.discard(joined.name)
        return True

    def meddle(self, server: SimServer, *, older: bool) -> None:
        """Somebody else writes the file of a server: the one of the beginning, or one of their own."""
        file = server.host.files.get(CONFIG_PATH)
        planned = self.laws is not None and self.laws.plan is not None
        if file is None or server.name in self.broken or self.base is None or not planned:
            return
        theirs = self.base if older else file.content + b"# rendered by somebody else\n"
        if theirs != file.content:
            self._meddled[server.name] = theirs, file.content
            self.others_wrote_ours |= older
            self.broken.add(server.name)
            server.host.place(CONFIG_PATH, theirs)
            server.written_in_place()

    def put_back(self) -> None:
        """They put back what was there, unless keyctl has written there since; and the server loads it."""
        for name, (theirs, before) in list(self._meddled.items()):
            server = self.server(name)
            file = server.host.files.get(CONFIG_PATH)
            if file is not None and file.content == theirs:
                server.host.place(CONFIG_PATH, before)
                server.written_in_place()
            server.restart()
            self.clock.advance(30)

    def touch_files(self) -> None:
        """Every file bears the time of now, by the clock of its host."""
        for server in self.servers:
            for path, file in list(server.host.files.items()):
                server.host.place(path, file.content)

    def steal_lease(self, seconds: float) -> None:
        """Another machine takes the Lease over, and gives it back later."""
        self.lease_record.place, self.lease_record.renewed = THIEF, self.clock.monotonic()
        self.lease_in_doubt, self.steps_in_doubt = True, 0
        self.clock.at(seconds, self._give_lease_back)

    def _give_lease_back(self) -> None:
        if self.lease_record.place == THIEF:
            self.lease_record.place = None

    def suspend(self, seconds: float) -> None:
        """keyctl does nothing for so long: its machine sleeps."""
        self.lease_in_doubt, self.steps_in_doubt = True, 0
        self.clock.advance(seconds)

    # -- the end of it

    def calm(self) -> None:
        """Whatever was wrong is over; what was held for ever never lands."""
        self._to_land.clear()
        self.webhook_refuses.clear()
        self.conflicts.clear()
        self.lost_answers = 0
        self.switch.lost = None
        for etcd in self.etcds.values():
            etcd.down = False
        self._give_lease_back()
        self._down_until.clear()
        for server in (*self.servers, *self.unlisted):
            server.frozen = server.cut_off = server.host.cut_off = server.lagging = server.refusing = False
            server.boot_seconds = BOOT_SECONDS
