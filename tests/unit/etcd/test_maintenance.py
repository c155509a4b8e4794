from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import pytest

from keyctl.errors import RefusedError, StoppedError, UnreachableError
from keyctl.etcd import partial
from keyctl.etcd.maintenance import member_status, save_snapshot
from keyctl.etcd.rpc import CallError, SnapshotChunk
from tests.support.scripted_etcd import Answer, Chunk, Header, ScriptedEtcd, ScriptedSession, Status, Step, install

DATA = bytes(range(256)) * 16
DIGEST = hashlib.sha256(DATA).digest()
WHOLE: list[Step] = [Chunk(1096, DATA[:3000]), Chunk(0, DATA[3000:]), Chunk(0, DIGEST)]
DOWN = CallError("UNAVAILABLE", "Socket closed")


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ScriptedEtcd:
    return install(tmp_path_factory.mktemp("tls"), monkeypatch)


def fit(header: Header | None = None) -> list[Step]:
    """What a member answers that may be copied: how it is, a linearizable read, how it is then."""
    header = header or Header()
    return [Status(header), Answer(header=header), Status(header)]


def streaming(*blobs: Step) -> ScriptedSession:
    return ScriptedSession(fit(), blobs=list(blobs))


def test_a_snapshot_is_written_whole_and_for_its_owner_only(scripted: ScriptedEtcd, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    seen: list[tuple[int, int]] = []
    saved = save_snapshot(scripted.connect(streaming(*WHOLE)), path, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == DATA + DIGEST
    assert (saved.path, saved.size, saved.sha256) == (path, 4128, DIGEST.hex())
    assert seen == [(3000, 4128), (4096, 4128), (4128, 4128)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_digest_may_arrive_in_pieces(scripted: ScriptedEtcd, tmp_path: Path) -> None:
    whole = DATA + DIGEST
    blobs = [Chunk(4096 - 4090, whole[:4090]), Chunk(0, whole[4090:4100]), Chunk(0, whole[4100:])]
    assert save_snapshot(scripted.connect(streaming(*blobs)), tmp_path / "s.db").sha256 == DIGEST.hex()


@pytest.mark.parametrize(
    ("blobs", "words"),
    [
        pytest.param([Chunk(0, DATA)], "4096 bytes of 4128", id="no digest"),
        pytest.param([Chunk(1096, DATA[:3000])], "3000 bytes of 4128", id="cut"),
        pytest.param([], "0 bytes of 0", id="nothing"),
        pytest.param([Chunk(0, DATA[:-1]), Chunk(0, DIGEST)], "4127 bytes", id="half a page"),
        pytest.param([Chunk(0, DATA[:-1] + b"x"), Chunk(0, DIGEST)], "SHA-256", id="changed on the way"),
    ],
)
def test_a_snapshot_that_is_not_whole_leaves_no_file(
    scripted: ScriptedEtcd, tmp_path: Path, blobs: list[Step], words: str
) -> None:
    with pytest.raises(UnreachableError, match="is not whole") as caught:
        save_snapshot(scripted.connect(streaming(*blobs)), tmp_path / "s.db")
    assert words in (caught.value.cause or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (DOWN, UnreachableError),
        (OSError(28, "No space left on device"), StoppedError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["transport", "disk", "interrupt"],
)
def test_a_failure_half_way_leaves_no_file(
    scripted: ScriptedEtcd, tmp_path: Path, failure: BaseException, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        save_snapshot(scripted.connect(streaming(WHOLE[0], failure)), tmp_path / "s.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "helps"),
    [
        (errno.ENOSPC, "larger disk"),
        (errno.EDQUOT, "larger disk"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "another directory"),
        (errno.EACCES, "another directory"),
        (errno.EIO, "another one"),
    ],
    ids=errno.errorcode.get,
)
def test_what_the_disk_refuses_comes_with_what_helps(
    scripted: ScriptedEtcd, tmp_path: Path, number: int, helps: str
) -> None:
    failure = OSError(number, os.strerror(number))
    with pytest.raises(StoppedError) as caught:
        save_snapshot(scripted.connect(streaming(WHOLE[0], failure)), tmp_path / "s.db")
    assert caught.value.cause == os.strerror(number)
    assert helps in " ".join(caught.value.hints)


@pytest.mark.parametrize(
    ("failure", "error"),
    [(OSError(5, "Input/output error"), StoppedError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["disk", "interrupt"],
)
@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_a_failure_after_the_file_got_its_name_leaves_no_file(
    scripted: ScriptedEtcd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    error: type[BaseException],
    links: bool,
) -> None:
    path, was_there = tmp_path / "s.db", list[bool]()

    def fail(_: Path) -> None:
        was_there.append(path.exists())
        raise failure

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    monkeypatch.setattr("keyctl.etcd.maintenance._sync_directory", fail)
    with pytest.raises(error):
        save_snapshot(scripted.connect(streaming(*WHOLE)), path)
    assert (was_there, list(tmp_path.iterdir())) == ([True], [])


def test_an_interrupt_in_the_moment_in_which_the_file_gets_its_name_leaves_no_file(
    scripted: ScriptedEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Path.hardlink_to

    def interrupted(path: Path, target: Path) -> None:
        link(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "hardlink_to", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_snapshot(scripted.connect(streaming(*WHOLE)), tmp_path / "s.db")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_and_nothing_is_asked(scripted: ScriptedEtcd, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_text("mine")
    with pytest.raises(RefusedError, match="exists already"):
        save_snapshot(scripted.connect(streaming(*WHOLE)), path)
    assert path.read_text() == "mine"
    assert scripted.opened == []


def test_a_dangling_link_is_an_existing_file(scripted: ScriptedEtcd, tmp_path: Path) -> None:
    (tmp_path / "s.db").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RefusedError, match="exists already"):
        save_snapshot(scripted.connect(streaming(*WHOLE)), tmp_path / "s.db")


def test_a_disk_without_room_is_refused_before_the_first_byte(
    scripted: ScriptedEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyctl.etcd.maintenance.shutil.disk_usage", lambda _: SimpleNamespace(free=4127))
    session = streaming(AssertionError("the stream was opened"))
    with pytest.raises(RefusedError, match="no room") as caught:
        save_snapshot(scripted.connect(session), tmp_path / "s.db")
    assert caught.value.cause == "it needs 4128 bytes, 4127 are free"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_refused(scripted: ScriptedEtcd, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="cannot hold a snapshot"):
        save_snapshot(scripted.connect(streaming(*WHOLE)), tmp_path / "absent" / "s.db")


def test_every_member_is_asked(scripted: ScriptedEtcd) -> None:
    one = Status(Header(cluster_id=0xABC, member_id=1, revision=7), dbSize=10, dbSizeQuota=20)
    two = Status(Header(cluster_id=0xABC, member_id=2, revision=8), version="3.5.9")
    found = member_status(scripted.connect(ScriptedSession([one]), ScriptedSession([two])))
    assert [(status.member_id, status.revision, status.version) for status in found] == [
        ("1", 7, "3.7.3"),
        ("2", 8, "3.5.9"),
    ]
    assert (found[0].cluster_id, found[0].db_size, found[0].quota, found[1].quota) == ("abc", 10, 20, 0)


def test_one_member_that_is_down_is_an_error(scripted: ScriptedEtcd) -> None:
    with pytest.raises(UnreachableError, match="etcd at etcd2:2379"):
        member_status(scripted.connect(ScriptedSession([Status()]), ScriptedSession([DOWN])))


def test_several_members_that_are_down_are_all_named(scripted: ScriptedEtcd) -> None:
    sessions = [ScriptedSession([answer]) for answer in (DOWN, Status(), DOWN)]
    with pytest.raises(UnreachableError, match="2 of 3 etcd endpoints") as caught:
        member_status(scripted.connect(*sessions))
    assert [line.partition(" could")[0] for line in (caught.value.cause or "").splitlines()] == [
        "etcd at etcd1:2379",
        "etcd at etcd3:2379",
    ]


def test_what_helps_each_member_that_is_down_is_said_once(scripted: ScriptedEtcd) -> None:
    sessions = [ScriptedSession([answer]) for answer in (DOWN, DOWN, DOWN)]
    connections = scripted.connect(*sessions)
    connections._diagnose = lambda url: f"it is down\nstart it\nsee {url[-6:]}"
    with pytest.raises(UnreachableError, match="3 of 3") as caught:
        member_status(connections)
    assert caught.value.hints == ("start it", "see 1:2379", "see 2:2379", "see 3:2379")


def test_members_of_two_clusters_are_an_error_that_names_both(scripted: ScriptedEtcd) -> None:
    sessions = [ScriptedSession([Status(Header(cluster_id=number))]) for number in (0xA, 0xB)]
    with pytest.raises(UnreachableError, match="different clusters") as caught:
        member_status(scripted.connect(*sessions))
    assert "https://etcd1:2379: cluster a" in (caught.value.cause or "")
    assert "https://etcd2:2379: cluster b" in (caught.value.cause or "")


def come_meanwhile(path: Path) -> ScriptedSession:
    """A stream after whose first piece somebody else's file stands at `path`."""

    class Meddling(ScriptedSession):
        def snapshot(self) -> Generator[SnapshotChunk]:
            for chunk in super().snapshot():
                path.write_text("mine")
                yield chunk

    return Meddling(fit(), blobs=WHOLE)


def no_links(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_a_file_that_came_there_while_the_snapshot_arrived_is_not_overwritten(
    scripted: ScriptedEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    path = tmp_path / "s.db"
    with pytest.raises(RefusedError, match="exists already"):
        save_snapshot(scripted.connect(come_meanwhile(path)), path)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("mine", [path])


def test_a_file_system_without_hard_links_takes_a_snapshot_too(
    scripted: ScriptedEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    saved = save_snapshot(scripted.connect(streaming(*WHOLE)), tmp_path / "s.db")
    assert saved.path.read_bytes() == DATA + DIGEST
    assert list(tmp_path.iterdir()) == [saved.path]


def test_a_snapshot_tells_who_sent_it(scripted: ScriptedEtcd, tmp_path: Path) -> None:
    saved = save_snapshot(scripted.connect(streaming(*WHOLE)), tmp_path / "s.db")
    assert saved.member is not None
    assert (saved.member.cluster_id, saved.member.member_id, saved.member.leader) == ("abc", "def", "def")
    assert (saved.member.endpoint, saved.member.version) == ("https://etcd1:2379", "3.7.3")


def test_what_a_killed_run_left_is_taken_away_by_the_next_one_for_the_same_name(
    scripted: ScriptedEtcd, tmp_path: Path
) -> None:
    path = tmp_path / "s[1].db"
    killed, arriving = partial.create(path)
    other, of_another = partial.create(tmp_path / "s[1].db.b")
    mine = tmp_path / ".s1.db.x.part"
    mine.write_bytes(b"not ours")
    save_snapshot(scripted.connect(streaming(*WHOLE)), path)
    # Somebody writes it still: its lock is held.
    assert arriving.exists()
    os.close(killed)
    os.close(other)
    path.unlink()
    save_snapshot(scripted.connect(streaming(*WHOLE)), path)
    assert sorted(tmp_path.iterdir()) == sorted((path, of_another, mine))


def test_a_file_that_was_swept_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    swept: list[Path] = []

    def meanwhile(descriptor: int, operation: int) -> None:
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    descriptor, name = partial.create(tmp_path / "s.db")
    os.close(descriptor)
    assert swept != [name]
    assert list(tmp_path.iterdir()) == [name]
