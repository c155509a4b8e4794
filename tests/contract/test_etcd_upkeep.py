"""What every `MaintainedEtcd` does with a member's file, kept by the fake of the tests and by a real one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from keyctl.backup.interface import OpenSnapshot
from keyctl.etcd.client import EtcdClient
from keyctl.etcd.interface import Alarm, MaintainedEtcd
from keyctl.etcd_files.source import SnapshotSource
from tests.support.etcd_process import running_etcd
from tests.support.etcd_writer import EtcdWriter
from tests.unit.backup.fake_cluster import FakeCluster, FakeEtcd, FakeMember, FakeSnapshot

KEY = b"/registry/secrets/default/s"
OLD, NEW = b"k8s\0 what was overwritten", b"k8s:enc:aescbc:v1:key1: what stands"


@dataclass(frozen=True)
class Kind:
    """One member, how it is overwritten (the answer is the revision), and how its snapshots are read."""

    etcd: MaintainedEtcd
    overwrite: Callable[[], int]
    open_snapshot: OpenSnapshot


def _fake() -> Kind:
    cluster = FakeCluster({"m0": FakeMember("m0", {KEY: NEW})})

    def overwrite() -> int:
        cluster.members["m0"].history.append((KEY, OLD))
        cluster.revision += 2
        return cluster.revision

    return Kind(FakeEtcd(cluster, "m0"), overwrite, FakeSnapshot)


@contextlib.contextmanager
def _real(folder: Path) -> Generator[Kind]:
    with (
        running_etcd(folder, trustme.CA()) as running,
        EtcdWriter(running) as writer,
        contextlib.closing(EtcdClient((running.url,), running.tls)) as client,
    ):

        def overwrite() -> int:
            writer.put([(KEY, OLD)])
            return writer.put([(KEY, NEW)])

        yield Kind(client, overwrite, SnapshotSource)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.live)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Kind]:
    if request.param == "fake":
        yield _fake()
        return
    with _real(tmp_path) as real:
        yield real


def held(kind: Kind, path: Path) -> tuple[bool, bool, list[bytes]]:
    """Whether a fresh snapshot holds what was overwritten in its history, and in its free pages; and what stands."""
    kind.etcd.save_snapshot(path)
    source = kind.open_snapshot(path)
    live = [value for batch in source.batches(KEY) for _, value, _ in batch]
    history = any(value == OLD for batch in source.history(KEY) for _, value, _ in batch)
    free = any(OLD in one.value for batch in source.fragments() for one in batch)
    return history, free, live


def test_what_was_overwritten_goes_by_deletion_into_free_pages_and_by_defragmenting_out_of_the_file(
    kind: Kind, tmp_path: Path
) -> None:
    revision = kind.overwrite()
    assert held(kind, tmp_path / "1.db")[0]
    kind.etcd.compact(revision)
    kind.etcd.finish_compaction(revision, timeout=30)
    assert held(kind, tmp_path / "2.db") == (False, True, [NEW])
    kind.etcd.defragment(timeout=30)
    assert held(kind, tmp_path / "3.db") == (False, False, [NEW])


def test_finishing_what_is_finished_is_no_error_and_needs_no_compaction_before_it(kind: Kind, tmp_path: Path) -> None:
    revision = kind.overwrite()
    kind.etcd.finish_compaction(revision, timeout=30)
    kind.etcd.finish_compaction(revision, timeout=30)
    assert not held(kind, tmp_path / "s.db")[0]


def test_a_member_tells_who_it_is_and_whom_it_follows(kind: Kind) -> None:
    (status,) = kind.etcd.status()
    (member,) = kind.etcd.members()
    assert (member.id, member.urls, member.learner) == (status.member_id, (status.endpoint,), False)
    assert (status.leader, status.learner, status.errors) == (member.id, False, ())
    assert 0 < status.in_use <= status.db_size
    assert kind.etcd.alarms() == ()


def test_a_saved_snapshot_tells_who_sent_it(kind: Kind, tmp_path: Path) -> None:
    saved = kind.etcd.save_snapshot(tmp_path / "s.db")
    (status,) = kind.etcd.status()
    assert saved.member is not None
    assert (saved.member.member_id, saved.member.cluster_id) == (status.member_id, status.cluster_id)


def test_a_healthy_member_takes_writes_and_taking_back_an_alarm_that_does_not_stand_is_no_error(kind: Kind) -> None:
    (member,) = kind.etcd.members()
    assert kind.etcd.can_write()
    kind.etcd.disarm(Alarm(member.id, "NOSPACE"))
    assert kind.etcd.alarms() == ()
