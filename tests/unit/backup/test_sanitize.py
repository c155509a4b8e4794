"""Members of etcd are defragmented one at a time, only while all are well, and what is left is read from each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keyctl.backup import sanitize_report
from keyctl.backup.sanitize import Sanitized, Sanitizer, Site, carry_out_all
from keyctl.errors import (
    ExitCode,
    InterruptedEarlyError,
    KeyctlError,
    RefusedError,
    StoppedError,
    UnreachableError,
    UnusableInputError,
)
from keyctl.etcd.interface import Alarm
from keyctl.findings import Report
from keyctl.keys.backups import Backup, BackupKind
from keyctl.stored.source import FileSource
from tests.support import seal
from tests.support.sim_clock import SimClock
from tests.unit.backup.fake_cluster import FakeCluster, FakeEtcd, FakeMember, FakeSnapshot

KEY = seal.key("key1")
AT = b"/registry/secrets/default/s"
SEALED = {AT: seal.seal(KEY, AT, seal.secret("s"))}
PLAIN = seal.secret("s")
CHANGES = ("compact", "delete", "defragment")
WHOLE = ["compact 50"] + [f"{what} {name}" for name in ("m1", "m2", "m0") for what in ("delete", "defragment")]


def three() -> FakeCluster:
    """m0 leads; every file holds a plaintext in its history and one in a free page."""
    return FakeCluster({f"m{n}": FakeMember(f"m{n}", dict(SEALED), [(AT, PLAIN)], [PLAIN]) for n in range(3)})


class Watched:
    """Notes what a `Watch` is told, behind `head`."""

    def __init__(self, head: str, notes: list[str]) -> None:
        self._head, self._notes = head, notes

    def arriving(self, done: int, total: int) -> None:
        self._notes.append(f"{self._head}arriving")

    def reading(self, part: str) -> None:
        self._notes.append(f"{self._head}{part}")


class Worker:
    """A sanitizer over `cluster`, what it said, and a clock that it waits by."""

    def __init__(
        self,
        cluster: FakeCluster,
        scratch: Path,
        *,
        names: tuple[str, ...] = ("m0", "m1", "m2"),
        open_snapshot: Callable[[Path], FileSource] = FakeSnapshot,
    ) -> None:
        self.cluster, self.clock, self.said, self.scratch = cluster, SimClock(), list[str](), scratch
        self.pause: Callable[[], None] = lambda: None
        self.clients = [FakeEtcd(cluster, name) for name in names]
        site = Site(
            etcd=FakeEtcd(cluster, *names),
            members=tuple(self.clients),
            prefix="/registry",
            configs=(seal.config(KEY),),
            open_snapshot=open_snapshot,
            scratch=scratch,
            clock=self.clock,
        )
        self.watched: list[str] = []
        self.sanitizer = Sanitizer(
            site,
            say=self.said.append,
            pause=lambda: self.pause(),
            watch=lambda name: Watched(f"{name} ", self.watched),
        )

    def run(self) -> Sanitized:
        return self.sanitizer.carry_out(self.sanitizer.plan())

    @property
    def changes(self) -> list[str]:
        """What was done to the cluster, snapshots aside."""
        return [what for what in self.cluster.done if what.startswith(CHANGES)]


def test_every_member_deletes_and_is_defragmented_the_leader_last_and_nothing_is_left(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    done = worker.run()
    assert worker.changes == WHOLE
    assert [member.name for member in done.members] == ["m1", "m2", "m0"]
    assert {(member.before, member.after) for member in done.members} == {(3000, 1000)}
    assert [proof.result.outcomes for proof in done.proofs] == [(), (), ()]
    assert {one.name: one.live for one in worker.cluster.members.values()} == {f"m{n}": SEALED for n in range(3)}
    assert list(tmp_path.iterdir()) == []
    report = sanitize_report.to_report([done], ())
    assert report.exit_code is ExitCode.OK
    assert promises(report)


def test_a_plan_changes_nothing_and_names_what_the_run_does(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    lines = sanitize_report.outline([worker.sanitizer.plan()])
    assert worker.cluster.done == []
    named = [line.split()[0] for line in lines if "https://" in line]
    assert named == [member.name for member in worker.run().members]
    assert "the leader, last" in next(line for line in lines if "https://m0" in line)


def ill(member: FakeMember, **state: object) -> Callable[[FakeCluster], None]:
    def change(cluster: FakeCluster) -> None:
        for name, value in state.items():
            setattr(cluster.members[member.name], name, value)

    return change


def raise_alarm(cluster: FakeCluster) -> None:
    cluster.alarms.append(Alarm("id-m1", "CORRUPT"))


def add_member(cluster: FakeCluster) -> None:
    cluster.known["m9"] = FakeMember("m9", {})


def drop_member(cluster: FakeCluster) -> None:
    del cluster.known["m2"]


M1 = FakeMember("m1", {})
ILLNESSES = [
    pytest.param(ill(M1, learner=True), "m1 is a learner", id="learner"),
    pytest.param(ill(M1, leader=""), "m1 follows no leader", id="no leader"),
    pytest.param(ill(M1, leader="m2"), "different leaders: m0, m2", id="two leaders"),
    pytest.param(ill(M1, errors=("disk is failing",)), "m1 says: disk is failing", id="errors"),
    pytest.param(ill(M1, cluster="c2"), "different clusters", id="two clusters"),
    pytest.param(raise_alarm, "alarm CORRUPT stands against member m1", id="alarm"),
    pytest.param(add_member, "member m9 is none of the endpoints (clients reach it at https://m9:2379)", id="unnamed"),
    pytest.param(drop_member, "https://m2:2379 is no member of this cluster any more", id="removed"),
]


@pytest.mark.parametrize(("illness", "cause"), ILLNESSES)
def test_a_cluster_that_is_not_well_is_refused_before_anything_is_done(
    tmp_path: Path, illness: Callable[[FakeCluster], None], cause: str
) -> None:
    worker = Worker(three(), tmp_path)
    illness(worker.cluster)
    with pytest.raises(RefusedError, match="not in a state to be defragmented") as caught:
        worker.run()
    assert cause in (caught.value.cause or "")
    assert worker.cluster.done == []


@pytest.mark.parametrize(("illness", "cause"), ILLNESSES)
def test_what_happens_after_the_plan_was_agreed_to_is_seen_before_the_first_act(
    tmp_path: Path, illness: Callable[[FakeCluster], None], cause: str
) -> None:
    worker = Worker(three(), tmp_path)
    plan = worker.sanitizer.plan()
    illness(worker.cluster)
    with pytest.raises(RefusedError):
        worker.sanitizer.carry_out(plan)
    assert worker.cluster.done == []


def on(act: str, do: Callable[[], None]) -> Callable[[str], None]:
    """What `FakeCluster.before` calls: `do`, when it comes to `act`."""
    return lambda what: do() if what == act else None


@pytest.mark.parametrize(("illness", "cause"), ILLNESSES)
@pytest.mark.parametrize("act", ["defragment m1", "delete m2"])
def test_no_other_member_is_touched_while_one_is_not_well_and_what_was_done_is_told(
    tmp_path: Path, illness: Callable[[FakeCluster], None], cause: str, act: str
) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on(act, lambda: illness(worker.cluster))
    with pytest.raises(StoppedError, match="not sanitized to its end") as caught:
        worker.run()
    told = caught.value.cause or ""
    assert cause in told, told
    assert "compacted to revision 50, defragmented m1" in told
    assert worker.changes == WHOLE[: WHOLE.index(act) + 1]
    assert caught.value.hints[-1].endswith("keyctl sanitize")


def test_a_member_that_recovers_is_waited_for(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    m1 = worker.cluster.members["m1"]

    def go_down() -> None:
        m1.down = True
        worker.clock.at(90, lambda: setattr(m1, "down", False))

    worker.cluster.before = on("delete m2", go_down)
    worker.run()
    assert worker.changes == WHOLE
    assert worker.clock.monotonic() >= 90


def test_a_member_that_stays_away_stops_it_before_the_next_one_is_touched(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on("defragment m1", lambda: setattr(worker.cluster.members["m2"], "down", True))
    with pytest.raises(StoppedError) as caught:
        worker.run()
    assert "etcd at https://m2:2379 does not answer" in (caught.value.cause or "")
    assert worker.changes == WHOLE[:3]


def test_a_member_that_is_down_at_first_is_unreachable_and_nothing_is_done(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.members["m1"].down = True
    with pytest.raises(UnreachableError):
        worker.run()
    assert worker.cluster.done == []


def test_a_member_that_answers_and_cannot_read_with_the_others_is_not_well(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on("defragment m1", lambda: setattr(worker.cluster.members["m1"], "stuck", True))
    with pytest.raises(StoppedError, match="not sanitized"):
        worker.run()
    assert worker.changes == WHOLE[:3]


def test_whoever_leads_by_then_comes_last(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on("defragment m1", lambda: worker.cluster.lead("m2"))
    worker.run()
    assert [what for what in worker.changes if "defragment" in what] == [
        "defragment m1",
        "defragment m0",
        "defragment m2",
    ]


def test_a_member_that_two_endpoints_lead_to_is_worked_on_once(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path, names=("m0", "m1", "m2", "m1"))
    worker.run()
    assert worker.changes == WHOLE


def test_an_endpoint_that_leads_to_several_members_is_no_members_own(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    plan = worker.sanitizer.plan()
    worker.clients[1].names = ["m2"]
    with pytest.raises(UnreachableError, match="leads to one member and then to another"):
        worker.sanitizer.carry_out(plan)
    assert worker.cluster.done == []


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("act", WHOLE[1:])
def test_interrupted_anywhere_it_stops_before_the_next_act_and_says_what_was_done(tmp_path: Path, act: str) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on(act, lambda: setattr(worker, "pause", interrupted))
    with pytest.raises(StoppedError) as caught:
        worker.run()
    expected = WHOLE[: WHOLE.index(act) + 1]
    assert worker.changes == expected
    told = (caught.value.cause or "").split("so far: ")[1]
    defragmented = [what.split()[1] for what in expected if what.startswith("defragment")]
    assert [part for part in told.split(", ") if part.startswith("defragmented")] == [
        f"defragmented {name}" for name in defragmented
    ]


def test_interrupted_within_an_act_it_says_that_the_member_may_still_be_at_it(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on("defragment m1", interrupted)
    with pytest.raises(StoppedError) as caught:
        worker.run()
    assert "m1 is defragmented" in (caught.value.cause or "")
    assert "may still go on by itself" in (caught.value.cause or "")


def test_interrupted_before_the_first_act_nothing_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(three(), tmp_path)
    plan = worker.sanitizer.plan()
    monkeypatch.setattr(FakeEtcd, "status", lambda _: interrupted())
    with pytest.raises(InterruptedEarlyError):
        worker.sanitizer.carry_out(plan)
    assert worker.cluster.done == []


@pytest.mark.parametrize("act", WHOLE)
def test_a_failure_tells_what_was_done_before_it(tmp_path: Path, act: str) -> None:
    worker = Worker(three(), tmp_path)

    def fail() -> None:
        raise UnreachableError("etcd does not answer", cause="TLS", hint="look at it")

    worker.cluster.before = on(act, fail)
    with pytest.raises(KeyctlError) as caught:
        worker.run()
    assert worker.changes == WHOLE[: WHOLE.index(act)]
    if act == WHOLE[0]:
        assert isinstance(caught.value, UnreachableError)
    else:
        assert isinstance(caught.value, StoppedError)
        assert "etcd does not answer: TLS; so far: compacted to revision 50" in (caught.value.cause or "")
        assert caught.value.hints[0] == "look at it"


def test_members_that_came_after_the_plan_make_it_a_plan_of_another_cluster(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    plan = Worker(FakeCluster({"m0": FakeMember("m0", {})}), tmp_path, names=("m0",)).sanitizer.plan()
    with pytest.raises(RefusedError, match="are not those of the plan"):
        worker.sanitizer.carry_out(plan)
    assert worker.cluster.done == []


def test_a_disk_without_room_for_the_proof_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyctl.backup.sanitize.shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    worker = Worker(three(), tmp_path)
    with pytest.raises(RefusedError, match="has no room"):
        worker.run()
    assert worker.cluster.done == []


def test_what_a_snapshot_still_holds_decides_the_exit_code(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    m2 = worker.cluster.members["m2"]
    # Somebody writes in plaintext again while the others are worked on.
    worker.cluster.before = on("snapshot m2", lambda: m2.history.append((AT, PLAIN)))
    report = sanitize_report.to_report([worker.run()], ())
    assert report.exit_code is ExitCode.RESIDUE
    assert [finding.message.split(":")[0] for finding in report.findings if finding.status == "fail"] == ["m2"]
    assert not promises(report)


def test_live_plaintext_is_told_and_not_called_clean(tmp_path: Path) -> None:
    cluster = three()
    for member in cluster.members.values():
        member.live[AT] = PLAIN
    report = sanitize_report.to_report([Worker(cluster, tmp_path).run()], ())
    assert report.exit_code is ExitCode.PLAINTEXT
    assert not promises(report)


def promises(report: Report) -> bool:
    """Whether it says that a snapshot leaks nothing any more."""
    return any("leaks nothing" in step for step in report.next_steps)


def test_a_cluster_without_values_under_the_prefix_proves_nothing_unless_another_one_has_them(tmp_path: Path) -> None:
    elsewhere = three()
    for member in elsewhere.members.values():
        member.live.clear()
        member.history.clear()
    empty, full = Worker(elsewhere, tmp_path).run(), Worker(three(), tmp_path).run()
    assert sanitize_report.to_report([empty], ()).exit_code is ExitCode.EMPTY
    assert not promises(sanitize_report.to_report([empty], ()))
    assert sanitize_report.to_report([full, empty], ()).exit_code is ExitCode.OK
    assert sanitize_report.to_report([empty, empty], ()).exit_code is ExitCode.EMPTY


def test_a_member_without_values_beside_one_that_has_them_is_not_clean(tmp_path: Path) -> None:
    cluster = three()
    for part in (cluster.members["m2"].live, cluster.members["m2"].history):
        part.clear()
    lone, full = Worker(cluster, tmp_path).run(), Worker(three(), tmp_path).run()
    for done in ([lone], [full, lone]):
        report = sanitize_report.to_report(done, ())
        assert report.exit_code is ExitCode.EMPTY
        assert "m2 of etcd holds no values of what must be encrypted, and m1 of the same cluster does" in report.verdict
        named = "m2 of etcd" if len(done) > 1 else "m2"
        assert [one.message.split(":")[0] for one in report.findings if one.status == "fail"] == [named]
        assert not promises(report)
        assert any(step.startswith("etcdctl endpoint hashkv") for step in report.next_steps)


@pytest.mark.parametrize("failure", [UnusableInputError("damaged"), KeyboardInterrupt()], ids=["damage", "interrupt"])
def test_the_snapshot_of_the_proof_does_not_stay_on_the_disk_whatever_happens(
    tmp_path: Path, failure: BaseException
) -> None:
    seen: list[bytes] = []

    def refuse(path: Path) -> FileSource:
        seen.append(path.read_bytes())
        path.with_name("again").hardlink_to(path)
        path.with_name("again").rename(tmp_path / "kept")
        raise failure

    worker = Worker(three(), tmp_path, open_snapshot=refuse)
    with pytest.raises(StoppedError):
        worker.run()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    # Its bytes went, not only its name.
    assert (tmp_path / "kept").read_bytes() == bytes(len(seen[0]))


def test_what_is_out_of_reach_is_listed_with_the_snapshots_that_the_register_knows(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    at = "2026-11-21T10:00:00+00:00"
    register = (
        Backup(BackupKind.SNAPSHOT, str(tmp_path / "a.db"), at, 90, ()),
        Backup(BackupKind.HISTORY, "https://10.0.0.1:2379", at, 90, ()),
    )
    left = "\n".join(sanitize_report.remains(register))
    assert f"the snapshot {tmp_path / 'a.db'}, noted at 2026-11-21" in left
    assert "10.0.0.1" not in left
    for word in ("WAL", "64 MB", "100,000", "snap.db", "unlinked, not wiped", "every other snapshot"):
        assert word in left


FULL = Alarm("id-m1", "NOSPACE")
CURED = [*WHOLE, "disarm NOSPACE id-m1", "write m0", "write m1", "write m2"]


def full(*, quota: int = 4000) -> FakeCluster:
    """Three members whose files become 1,000 bytes, and an alarm for want of space."""
    cluster = three()
    cluster.alarms.append(FULL)
    for member in cluster.members.values():
        member.quota = quota
    return cluster


def deeds(worker: Worker) -> list[str]:
    return [what for what in worker.cluster.done if not what.startswith("snapshot")]


def test_an_alarm_for_want_of_space_is_taken_back_after_the_cure_and_writes_are_tried_on_every_member(
    tmp_path: Path,
) -> None:
    worker = Worker(full(), tmp_path)
    plan = worker.sanitizer.plan()
    told = "\n".join(sanitize_report.outline([plan]))
    assert "3. take back alarm NOSPACE, which stands against m1" in told
    assert "4. read a fresh snapshot" in told
    done = worker.sanitizer.carry_out(plan)
    assert deeds(worker) == CURED
    assert worker.cluster.alarms == []
    report = sanitize_report.to_report([done], ())
    assert report.exit_code is ExitCode.OK
    assert "alarm NOSPACE of etcd taken back, every member takes writes" in report.verdict


@pytest.mark.parametrize(
    "quota",
    [1200, 0],
    ids=["near its quota", "no quota told and no smaller than before"],
)
def test_the_alarm_stays_where_a_file_is_not_well_below_its_quota(tmp_path: Path, quota: int) -> None:
    cluster = full(quota=quota)
    if not quota:
        for member in cluster.members.values():
            member.free.clear()
            member.history.clear()
    worker = Worker(cluster, tmp_path)
    report = sanitize_report.to_report([worker.run()], ())
    assert deeds(worker) == WHOLE
    assert report.exit_code is ExitCode.STOPPED
    assert "still takes NO WRITES for want of space: the file of m0" in report.verdict
    assert "quota" in report.verdict
    assert report.next_steps[0].endswith("then: etcdctl alarm disarm")


def test_without_a_quota_the_size_before_stands_for_it(tmp_path: Path) -> None:
    worker = Worker(full(quota=0), tmp_path)
    worker.run()
    assert deeds(worker) == CURED


def test_a_member_that_takes_no_writes_after_it_is_named(tmp_path: Path) -> None:
    cluster = full()
    cluster.members["m2"].closed = True
    report = sanitize_report.to_report([Worker(cluster, tmp_path).run()], ())
    assert report.exit_code is ExitCode.STOPPED
    assert "m2 still takes no writes" in report.verdict


def test_what_is_left_behind_weighs_more_than_an_alarm_that_stands(tmp_path: Path) -> None:
    cluster = full(quota=1200)
    for member in cluster.members.values():
        member.live[AT] = PLAIN
    assert sanitize_report.to_report([Worker(cluster, tmp_path).run()], ()).exit_code is ExitCode.PLAINTEXT


def test_no_alarm_is_taken_back_of_which_the_plan_did_not_tell(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    plan = worker.sanitizer.plan()
    worker.cluster.alarms.append(FULL)
    with pytest.raises(RefusedError):
        worker.sanitizer.carry_out(plan)
    assert worker.cluster.done == []


@pytest.mark.parametrize("act", ["delete m1", "defragment m1"])
def test_an_alarm_for_want_of_space_that_comes_meanwhile_stops_the_work(tmp_path: Path, act: str) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on(act, lambda: worker.cluster.alarms.append(FULL))
    with pytest.raises(StoppedError) as caught:
        worker.run()
    assert "alarm NOSPACE stands against member m1" in (caught.value.cause or "")
    assert worker.cluster.alarms == [FULL]


def test_another_alarm_beside_it_is_still_refused(tmp_path: Path) -> None:
    cluster = full()
    cluster.alarms.append(Alarm("id-m2", "CORRUPT"))
    with pytest.raises(RefusedError) as caught:
        Worker(cluster, tmp_path).run()
    assert "CORRUPT" in (caught.value.cause or "")
    assert "NOSPACE" not in (caught.value.cause or "")


def test_a_member_that_comes_to_lead_while_it_deletes_is_left_for_the_last(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    worker.cluster.before = on("delete m1", lambda: worker.cluster.lead("m1"))
    worker.run()
    assert worker.changes == [
        "compact 50",
        "delete m1",
        *(f"{what} {name}" for name in ("m0", "m2", "m1") for what in ("delete", "defragment")),
    ]


def test_a_leader_that_changes_for_ever_ends_the_work(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)

    def elect(what: str) -> None:
        assert len(worker.changes) < 50, "it goes on for ever"
        if what.startswith("delete"):
            worker.cluster.lead(what[-2:])

    worker.cluster.before = elect
    with pytest.raises(StoppedError) as caught:
        worker.run()
    assert "the leader changes again and again" in (caught.value.cause or "")
    assert not any(what.startswith("defragment") for what in worker.changes)


def test_what_the_system_refuses_in_the_middle_tells_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("keyctl.backup.scratch.erase", refuse)
    with pytest.raises(StoppedError) as caught:
        Worker(three(), tmp_path).run()
    assert "Input/output error" in (caught.value.cause or "")
    assert "defragmented m0" in (caught.value.cause or "")


@pytest.mark.parametrize("failure", [UnreachableError("gone"), KeyboardInterrupt()], ids=["failure", "interrupt"])
def test_a_second_cluster_that_stops_early_does_not_say_that_nothing_was_changed(
    tmp_path: Path, failure: BaseException
) -> None:
    first, second = Worker(three(), tmp_path), Worker(three(), tmp_path)
    work = [(worker.sanitizer, worker.sanitizer.plan()) for worker in (first, second)]

    def fail(_: str) -> None:
        raise failure

    second.cluster.before = fail
    with pytest.raises(StoppedError) as caught:
        carry_out_all(work)
    assert "finished: etcd" in (caught.value.cause or "")


def test_the_fresh_snapshots_are_watched_as_they_come_and_as_they_are_read(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)
    worker.run()
    assert [note for note in worker.watched if note.startswith("m2 ")] == [
        "m2 arriving",
        "m2 live values",
        "m2 live values: 1",
        "m2 history",
        "m2 history: 0",
        "m2 freed pages, found",
    ]


def test_an_interrupt_while_a_fresh_snapshot_is_read_does_not_wait_for_its_end(tmp_path: Path) -> None:
    worker = Worker(three(), tmp_path)

    def pause() -> None:
        if "m1 live values" in worker.watched:
            raise KeyboardInterrupt

    worker.pause = pause
    with pytest.raises(StoppedError):
        worker.run()
    assert "m1 history" not in worker.watched
    assert list(tmp_path.iterdir()) == []
