"""Every etcd of a cluster is saved, each to a file of its own, and what was not saved is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.backup.interface import Unwatched, Watch
from keyctl.backup.save import Job
from keyctl.backup.save_all import Outcome, path_for, save_all
from keyctl.backup.save_report import to_report
from keyctl.errors import ExitCode, RefusedError, StoppedError, UnreachableError
from tests.support import seal
from tests.support.hints import wrong_hints
from tests.support.memory_store import MemoryKeyStore
from tests.support.sim_clock import SimClock
from tests.unit.backup.fake_cluster import FakeCluster, FakeEtcd, FakeMember, FakeSnapshot

KEY = seal.key("key1")
SECRET, EVENT = b"/registry/secrets/default/s", b"/registry/events/default/e"
FILES = ["a.db", "a.db.keyctl.json", "a.events.db", "a.events.db.keyctl.json"]


class Desk:
    """Two etcds, main and events; `before` runs before each is saved, and may raise."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, MemoryKeyStore()
        self.clusters = {
            "main": FakeCluster({"m0": FakeMember("m0", {SECRET: seal.seal(KEY, SECRET, seal.secret("s"))})}),
            "events": FakeCluster({"e0": FakeMember("e0", {EVENT: seal.stored("v1", "Event", "e")})}),
        }
        self.watched: list[str] = []

    def save(self) -> Outcome:
        jobs = []
        for name, cluster in self.clusters.items():
            etcd = FakeEtcd(cluster, next(iter(cluster.members)))
            job = Job(etcd, "/registry", seal.config(KEY), self.store, FakeSnapshot, SimClock(), (), name)
            jobs.append((job, path_for(self.folder / "a.db", name)))
        return save_all(jobs, self.watch)

    def watch(self, name: str) -> Watch:
        self.watched.append(name)
        return Unwatched()

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("file", "name", "path"),
    [
        ("/b/prod-1.db", "main", "/b/prod-1.db"),
        ("/b/prod-1.db", "events", "/b/prod-1.events.db"),
        ("/b/prod-1.db.age", "main", "/b/prod-1.db.age"),
        ("/b/prod-1.db.age", "events", "/b/prod-1.events.db.age"),
        ("prod", "leases.coordination.k8s.io", "prod.leases.coordination.k8s.io"),
        ("/b/a.db", "../x", "/b/a..._x.db"),
    ],
)
def test_each_etcd_has_a_file_of_its_own_beside_the_one_that_is_named(file: str, name: str, path: str) -> None:
    assert path_for(Path(file), name) == Path(path)


def test_each_etcd_is_saved_and_registered_with_a_manifest_of_its_own(desk: Desk) -> None:
    outcome = desk.save()
    assert desk.files == FILES
    assert [Path(one.location).name for one in desk.store.backups()] == ["a.db", "a.events.db"]
    assert [(one.manifest.name, one.manifest.values) for one in outcome.saved] == [("main", 1), ("events", 1)]
    report = to_report(outcome)
    assert (report.exit_code, desk.watched) == (ExitCode.OK, ["main", "events"])
    assert [one["etcd"] for one in snapshots(report.data["snapshots"])] == ["main", "events"]
    assert report.data["file"] == str(desk.folder / "a.db")


def snapshots(data: object) -> list[dict[str, object]]:
    assert isinstance(data, list)
    return data


def test_a_name_that_is_taken_for_one_of_them_is_refused_before_any_is_saved(desk: Desk) -> None:
    (desk.folder / "a.events.db").write_text("mine")
    with pytest.raises(RefusedError, match=r"a\.events\.db exists already"):
        desk.save()
    assert (desk.files, desk.clusters["main"].done, desk.store.backups()) == (["a.events.db"], [], ())


def fail(_: str) -> None:
    raise UnreachableError("etcd does not answer", cause="TCP", hint="look at it")


@pytest.mark.parametrize(("bad", "good"), [("events", "a.db"), ("main", "a.events.db")])
def test_one_that_fails_keeps_no_other_from_being_saved_and_is_no_success(desk: Desk, bad: str, good: str) -> None:
    desk.clusters[bad].before = fail
    report = to_report(desk.save())
    assert (desk.files, report.exit_code) == ([good, f"{good}.keyctl.json"], ExitCode.STOPPED)
    assert f"{bad} was NOT saved" in report.verdict
    assert report.findings[0].id == "KC-SNAP-007"
    assert "etcd does not answer: TCP" in report.findings[0].message
    missing = path_for(desk.folder / "a.db", bad)
    assert report.next_steps[0].startswith(f"keyctl snapshot save {missing} --etcd {bad}")
    assert wrong_hints([f"next: {step}" for step in report.next_steps]) == []
    assert [one["etcd"] for one in snapshots(report.data["notSaved"])] == [bad]
    assert [Path(one.location).name for one in desk.store.backups()] == [good]


def test_where_none_is_saved_the_first_failure_is_told(desk: Desk) -> None:
    for cluster in desk.clusters.values():
        cluster.before = fail
    with pytest.raises(UnreachableError):
        desk.save()
    assert (desk.files, desk.store.backups()) == ([], ())


def interrupt(_: str) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "error"), [("main", KeyboardInterrupt), ("events", StoppedError)])
def test_an_interrupt_is_no_promise_that_nothing_was_done(desk: Desk, name: str, error: type[BaseException]) -> None:
    desk.clusters[name].before = interrupt
    with pytest.raises(error) as caught:
        desk.save()
    assert desk.files == ([] if name == "main" else FILES[:2])
    if isinstance(caught.value, StoppedError):
        assert f"complete: {desk.folder / 'a.db'}; not saved: events" in (caught.value.cause or "")
        assert wrong_hints([f"hint: {hint}" for hint in caught.value.hints]) == []


def test_an_etcd_for_events_may_be_empty_and_the_main_one_may_not(desk: Desk) -> None:
    def empty(name: str) -> None:
        for member in desk.clusters[name].members.values():
            member.live.clear()

    empty("events")
    assert to_report(desk.save()).exit_code is ExitCode.OK
    for path in desk.folder.iterdir():
        path.unlink()
    desk.store = MemoryKeyStore()
    empty("main")
    report = to_report(desk.save())
    assert (report.exit_code, [one.id for one in report.findings]) == (ExitCode.EMPTY, ["KC-DAT-006"])
