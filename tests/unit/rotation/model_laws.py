"""What must be so of a cluster at every moment of a rotation, as somebody sees it who has no part in it.

Each law names its rule. Nothing is asked of the machine that decides: only files,
processes, raw values, and the journal are looked at. `AssertionError` where a law is
broken. Promise 1 itself (R1, R10), one server at a time (R9) and how files are
written (R13) are the simulator's own laws.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import KeyState
from keyctl.rotation.journal import Record
from keyctl.rotation.plan import Plan, Stage, Way, plan_from_record, server_from_record
from tests.support.sim_config import Reader, SimConfig, SimReader, UnreadableError
from tests.support.sim_objects import SimObject
from tests.support.sim_server import CONFIG_PATH, SimServer
from tests.support.sim_texts import secret_of
from tests.unit.rotation.test_journal import STEP_OF

if TYPE_CHECKING:
    from tests.unit.rotation.model_cluster import ModelCluster

# Beside those of a rotation that nobody disturbs.
_STEPS = STEP_OF | {
    "store-forget-backup": {"save-snapshot"},
    "write": {"edit-manifest", "restore-manifest"},
    "remove": {"write-file"},
}
_ON_A_HOST = (": write ", ": remove ", ": restart")


class Laws:
    """Watches one cluster. `expected` is what clients have stored, by its key: nobody else changes any of it."""

    def __init__(self, cluster: ModelCluster) -> None:
        self._cluster = cluster
        self.expected: dict[bytes, SimObject] = dict(cluster.objects)
        self.plan: Plan | None = None
        self.way = Way.FORWARD
        self.last_record = ("", "")
        self._seen: object = None
        self._writers: set[tuple[str, Reader]] = set()
        self._wrote: dict[tuple[str, Reader], float] = {}
        self._loaded: dict[str, str | None] = {}
        self._loaded_at = 0.0
        self._versions: dict[str, _Versions] = {name: _Versions() for name in cluster.etcds}
        self._readable: set[tuple[str | None, str, int]] = set()
        self._names: dict[KeyRef, bytes] = {}
        self._known_files: set[bytes] = set()

    # -- after every effect and every step of the clock

    def look(self, moment: str) -> None:
        """Every law that is about how things stand."""
        cluster = self._cluster
        files = tuple(server.host.files.get(CONFIG_PATH) for server in cluster.servers)
        seen = (
            tuple((s.running, s.ready, s.config.sha256) for s in cluster.servers),
            tuple(file.sha256 if file else None for file in files),
            tuple((etcd.revision, etcd.compacted) for etcd in cluster.etcds.values()),
            frozenset(cluster.broken),
        )
        if seen == self._seen:
            return
        self._seen = seen
        trusted = [server for server in cluster.servers if server.name not in cluster.broken]
        self._note_writers(trusted)
        self._r2_what_one_writes_all_read(trusted, moment)
        self._r3_nothing_is_lost(moment)
        self._r5_a_name_is_one_key(trusted)
        self._r6_no_readable_revision_is_unreadable([s for s in trusted if s.ready], moment)
        self._r8_files_are_the_plans(trusted, moment)
        self._r18_infrastructure_is_plaintext()

    def _note_writers(self, trusted: list[SimServer]) -> None:
        """When each server last could write with which key; and when any of them last loaded another file."""
        now = self._cluster.clock.monotonic()
        for writer in self._writers:
            self._wrote[writer] = now
        self._writers = {
            (resource, server.config.readers(resource)[0])
            for server in trusted
            if server.running
            for resource in self._resources()
        }
        loaded = {server.name: server.config.sha256 for server in trusted if server.running}
        if any(self._loaded.get(name, sha) != sha for name, sha in loaded.items()):
            self._loaded_at = now
        self._loaded |= loaded

    def _resources(self) -> set[str]:
        return {found.resource for found in self.expected.values() if found.resource}

    def _r2_what_one_writes_all_read(self, trusted: list[SimServer], moment: str) -> None:
        up = [server for server in trusted if server.ready]
        for resource in self._resources():
            for writing in up:
                writer = writing.config.readers(resource)[0]
                for reading in up:
                    assert writer in reading.config.readers(resource), (
                        f"R2: after {moment} {writing.name} writes {resource} with what {reading.name} cannot read"
                    )

    def _r3_nothing_is_lost(self, moment: str) -> None:
        found = {key: one for key, one in self._cluster.objects.items() if b"keyctl-canary" not in key}
        assert found.keys() == self.expected.keys(), f"promise 1: after {moment} an object is lost, or made up"
        assert found == self.expected, f"promise 1: after {moment} an object is not what its owner stored"

    def _r5_a_name_is_one_key(self, trusted: list[SimServer]) -> None:
        for server in trusted:
            file = server.host.files.get(CONFIG_PATH)
            if file is None or file.content in self._known_files:
                continue
            self._known_files.add(file.content)
            for _, readers in server.on_disk().entries:
                for key in (reader.key for reader in readers if isinstance(reader, SimReader) and reader.key):
                    assert self._names.setdefault(key.ref, key.material) == key.material, f"R5: {key.ref} is two keys"

    def _r6_no_readable_revision_is_unreadable(self, up: list[SimServer], moment: str) -> None:
        """What an old continue token or a list at an exact version reaches, every server opens."""
        for name, etcd in self._cluster.etcds.items():
            versions = self._versions[name]
            versions.follow(etcd.log(), etcd.compacted)
            for server in up:
                for revision, key, value in versions.reachable():
                    if (server.config.sha256, name, revision) in self._readable:
                        continue
                    assert self._opens(server.config, key, value), (
                        f"R6: after {moment} {server.name} cannot open what {key.decode()} was at revision {revision}"
                    )
                    self._readable.add((server.config.sha256, name, revision))

    def _opens(self, config: SimConfig, key: bytes, value: bytes) -> bool:
        resource = self._cluster.resource_at(key)
        try:
            config.open(resource, key, value)
        except UnreadableError:
            return (key, value) in self._cluster.landed_late
        return True

    def _r8_files_are_the_plans(self, trusted: list[SimServer], moment: str) -> None:
        plan = self.plan
        if plan is None:
            return
        stages = []
        planned_for = {planned.name: planned for planned in plan.servers}
        for server in trusted:
            file, planned = server.host.files.get(CONFIG_PATH), planned_for.get(server.name)
            if planned is None:
                # It has joined, and nobody has gone on with the rotation since.
                continue
            disk = planned.stage_of(file.sha256 if file else None)
            assert disk is not None, f"R8: after {moment} {server.name} has a file that is none of the plan's"
            stages.append(disk)
            if server.ready:
                loaded = planned.stage_of(server.config.sha256)
                assert loaded is not None, f"R8: after {moment} {server.name} has loaded a file that is none of it"
                stages.append(loaded)
        assert not stages or max(stages) - min(stages) <= 1, f"R2: after {moment} servers are more than a stage apart"

    def _r18_infrastructure_is_plaintext(self) -> None:
        for found in self.expected.values():
            if found.resource is None:
                stored = self._cluster.raw(None, found.etcd_key)
                assert stored is not None
                assert stored[0].startswith(b"k8s\0"), f"R18: {found.etcd_key.decode()} is encrypted"

    # -- before an effect

    def before(self, label: str) -> None:
        """Every law that is about when something may be done."""
        if label.startswith("journal ") or label == "patch dry":
            return
        kind, step = self.last_record
        assert kind == "intent", f"R17: {label} without an intent before it, but {kind} {step}"
        what = label.rpartition(": ")[2]
        assert step in (_STEPS.get(what) or _STEPS[what.split()[0]]), f"R17: {label} after the intent {step}"
        if any(what in label for what in _ON_A_HOST):
            assert not self._cluster.saw_stranger, f"R11: {label} though a server was seen that nobody lists"
            assert not self._cluster.saw_thief, f"R8: {label} though the Lease was seen to be another one's"

    def before_file(self, server: SimServer, old: SimConfig, new: SimConfig) -> None:
        """Before a server gets a file: what it lets go was written by nobody for as long as a request may last."""
        now, cluster = self._cluster.clock.monotonic(), self._cluster
        for resource in self._resources():
            for gone in set(old.readers(resource)) - set(new.readers(resource)):
                assert (resource, gone) not in self._writers, f"R3: {server.name} lets go of what still writes"
                since = now - self._wrote.get((resource, gone), -1e9)
                assert since >= cluster.settle, (
                    f"R3: {server.name} lets go of a key of {resource} {since:.0f} s after it was last written with"
                )
                self._assert_archived(gone)
                self._assert_unused(resource, gone, server)

    def _assert_archived(self, gone: Reader) -> None:
        if isinstance(gone, SimReader) and gone.key is not None:
            kept = {record.ref: record for record in self._cluster.store_keys.records()}
            assert gone.key.ref in kept, f"R4: {gone.key.ref} leaves a file, and the key store does not have it"
            assert kept[gone.key.ref].state is not KeyState.DESTROYED, "R4"

    def _assert_unused(self, resource: str, gone: Reader, server: SimServer) -> None:
        for found in self.expected.values():
            stored = self._cluster.raw(found.resource, found.etcd_key)
            if found.resource != resource or stored is None or self._cluster.is_late(found.etcd_key, stored[0]):
                continue
            assert gone.open(found.etcd_key, stored[0]) is None, (
                f"R3: {server.name} lets go of what {found.etcd_key.decode()} is under"
            )

    # -- with every record of the journal

    def record(self, record: Record) -> None:
        """Every law that is about what is written down."""
        self._r14_no_key_in(json.dumps(record, default=str))
        self.last_record = str(record["kind"]), str(record.get("step") or record.get("of") or "")
        self._cluster.steps_in_doubt += record["kind"] == "intent"
        match record:
            case {"kind": "begin", "plan": dict(plan)}:
                self.plan, self.way = plan_from_record(plan), Way.FORWARD
            case {"kind": "joined"} if self.plan is not None:
                joined = server_from_record(record)
                known = tuple(one for one in self.plan.servers if one.name != joined.name)
                self.plan = replace(self.plan, servers=(*known, joined))
            case {"kind": "abort"}:
                self.way = Way.BACK
            case {"kind": "proof", "of": "verified" | "retired" | "gone" as of, "revision": int(revision)}:
                self._r3_proven_clean(str(of), revision)
            case {"kind": "end", "state": str(state)}:
                assert (state == "aborted") is (self.way is Way.BACK), f"R7: it was aborted, and ends {state}"
                self._r3_settled_again()

    def told(self, text: str) -> None:
        """What people are shown, or a machine is told."""
        self._r14_no_key_in(text)

    def _r14_no_key_in(self, text: str) -> None:
        for material in self._names.values():
            key = Key(Provider.AESCBC, "any", material)
            for form in (secret_of(key), material.hex(), repr(material)[2:-1]):
                assert form not in text, "R14: a key is told"

    def _r3_proven_clean(self, of: str, revision: int) -> None:
        plan = self.plan
        assert plan is not None
        if of == "verified" and not plan.retires and self.way is Way.FORWARD:
            return
        heads = [f"k8s:enc:{ref.provider}:v1:{ref.name}:".encode() for ref in plan.leaving(self.way) if ref.name]
        main = next(iter(self._cluster.etcds.values()))
        for key, value in main.at(revision).items():
            assert not any(value.startswith(head) for head in heads), (
                f"R3: proven {of} at revision {revision}, where {key.decode()} is under a key that goes"
            )

    def _r3_settled_again(self) -> None:
        if self.plan is not None and (self.plan.retires or self.way is Way.BACK) and self._goes():
            since = self._cluster.clock.monotonic() - self._loaded_at
            assert since >= self._cluster.settle, f"R3: the end, {since:.0f} s after a server last loaded another file"

    def _goes(self) -> bool:
        plan = self.plan
        assert plan is not None
        return self.way is Way.FORWARD or any(server.floor is Stage.BASE for server in plan.servers)


class _Versions:
    """What each revision of one etcd that can still be asked for shows."""

    def __init__(self) -> None:
        self._read = 0
        self._open: dict[bytes, int] = {}
        # By revision: the key, the value, and the revision that superseded it, if any.
        self._all: dict[int, tuple[bytes, bytes, int | None]] = {}

    def follow(self, log: list[tuple[int, bytes, bytes | None]], compacted: int) -> None:
        """Take in what is new, and forget what was compacted."""
        for revision, key, value in log[self._read :]:
            before = self._open.pop(key, None)
            if before is not None:
                self._all[before] = (*self._all[before][:2], revision)
            if value is not None:
                self._all[revision], self._open[key] = (key, value, None), revision
        self._read = len(log)
        for revision, (_, _, end) in list(self._all.items()):
            if end is not None and end <= compacted:
                del self._all[revision]

    def reachable(self) -> Iterable[tuple[int, bytes, bytes]]:
        """(revision, key, value) of each."""
        return ((revision, key, value) for revision, (key, value, _) in self._all.items())
