"""A snapshot is saved with its manifest and noted in the register, or nothing is left of it."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyctl.backup import save_report
from keyctl.backup.interface import OpenSnapshot
from keyctl.backup.manifest import beside, parse
from keyctl.backup.save import Job, Saved, save
from keyctl.backup.save_all import Outcome
from keyctl.encryption_config.model import EncryptionConfig
from keyctl.errors import ExitCode, RefusedError, StoppedError, UnreachableError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import Key
from keyctl.reports.text import render
from keyctl.stored.source import FileSource, Value
from tests.support import seal
from tests.support.memory_store import MemoryKeyStore
from tests.support.sim_clock import SimClock
from tests.unit.backup.fake_cluster import FakeCluster, FakeEtcd, FakeMember, FakeSnapshot, Values

OLD, NEW = seal.key("old", fill=1), seal.key("new", fill=2)
SWAPPED = seal.key("old", fill=3)
EVERYTHING = seal.config(NEW, OLD)


def secret(name: str, key: Key) -> Values:
    at = f"/registry/secrets/default/{name}".encode()
    return {at: seal.seal(key, at, seal.secret(name))}


LIVE = {
    **secret("a", OLD),
    **secret("b", NEW),
    **secret("c", NEW),
    b"/registry/configmaps/default/d": seal.config_map("d"),
    b"/bootstrap/e": b"not Kubernetes'",
}


class Desk:
    """What saves, and where: the folder, the register, and an etcd whose acts can be made to fail."""

    def __init__(self, folder: Path, live: Values) -> None:
        self.folder, self.store = folder, MemoryKeyStore()
        self.cluster = FakeCluster({"m0": FakeMember("m0", live)})

    def save(
        self,
        name: str = "s.db",
        *,
        config: EncryptionConfig | None = EVERYTHING,
        register: bool = True,
        open_snapshot: OpenSnapshot = FakeSnapshot,
        unread: tuple[str, ...] = (),
    ) -> Saved:
        etcd, store = FakeEtcd(self.cluster, "m0"), self.store if register else None
        job = Job(etcd, "/registry", config, store, open_snapshot, SimClock(), unread)
        return save(job, self.folder / name)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, LIVE)


def test_the_manifest_tells_what_the_snapshot_is_and_which_keys_it_needs(desk: Desk) -> None:
    saved = desk.save()
    document = json.loads(beside(desk.folder / "s.db").read_text())
    assert desk.files == ["s.db", "s.db.keyctl.json"]
    assert stat.S_IMODE(saved.manifest_path.stat().st_mode) == 0o600
    assert document["etcd"] == {
        "name": "main",
        "clusterId": "c1",
        "memberId": "id-m0",
        "endpoint": "https://m0:2379",
        "version": "3.7.3",
        "revision": 50,
    }
    assert (document["kind"], document["at"]) == ("SnapshotManifest", "2026-11-21T10:00:00+00:00")
    assert [(key["name"], key["fingerprint"], key["values"], key["opened"]) for key in document["keys"]] == [
        ("new", NEW.fingerprint, 2, 2),
        ("old", OLD.fingerprint, 1, 1),
    ]
    assert document["resources"] == [
        {"resource": "configmaps", "values": 1, "plaintext": 1},
        {"resource": "secrets", "values": 3, "plaintext": 0},
    ]
    claims = parse(beside(desk.folder / "s.db").read_bytes(), name="m")
    assert (claims.values, claims.revision, claims.resources) == (4, 50, {"configmaps": 1, "secrets": 3})
    for key in (OLD, NEW):
        assert key.material.hex() not in json.dumps(document)


def test_the_register_learns_what_the_live_values_need(desk: Desk) -> None:
    saved = desk.save()
    (backup,) = desk.store.backups()
    assert backup.location == str(desk.folder / "s.db")
    assert (backup.kind, backup.revision, backup.sha256) == (BackupKind.SNAPSHOT, 50, saved.manifest.sha256)
    assert set(backup.needs) == {OLD.ref, NEW.ref}


def test_the_register_knows_it_with_every_possible_key_before_the_first_byte(desk: Desk) -> None:
    seen: list[tuple[Backup, ...]] = []
    desk.cluster.before = lambda _: seen.append(desk.store.backups())
    desk.save()
    ((backup,),) = seen
    assert set(backup.needs) == {OLD.ref, NEW.ref}


def test_without_a_configuration_the_store_says_which_keys_may_be_needed(desk: Desk) -> None:
    desk.store.put(OLD, origin="imported")
    seen: list[tuple[Backup, ...]] = []
    desk.cluster.before = lambda _: seen.append(desk.store.backups())
    saved = desk.save(config=None)
    assert [backup.needs for backups in seen for backup in backups] == [(OLD.ref,)]
    assert {(need.ref.name, need.fingerprint, need.opened) for need in saved.manifest.keys} == {
        ("new", None, 0),
        ("old", None, 0),
    }
    assert saved.unread == 0
    assert save_report.to_report(Outcome((saved,))).exit_code is ExitCode.OK


def test_a_key_of_the_right_name_and_other_bytes_is_not_the_key_it_needs(desk: Desk) -> None:
    saved = desk.save(config=seal.config(NEW, SWAPPED))
    assert {need.ref.name: need.fingerprint for need in saved.manifest.keys} == {"new": NEW.fingerprint, "old": None}
    report = save_report.to_report(Outcome((saved,)))
    assert report.exit_code is ExitCode.UNREADABLE
    assert [finding.id for finding in report.findings] == ["KC-SNAP-005"]
    assert desk.files == ["s.db", "s.db.keyctl.json"]


def test_two_keys_of_one_name_leave_open_which_one_it_needs(desk: Desk) -> None:
    saved = desk.save(config=seal.config(NEW, OLD, SWAPPED))
    assert {need.ref.name: need.fingerprint for need in saved.manifest.keys}["old"] is None


def test_a_snapshot_without_a_value_under_the_prefix_is_kept_and_no_success(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {b"/bootstrap/e": b"not Kubernetes'"})
    report = save_report.to_report(Outcome((desk.save(),)))
    assert report.exit_code is ExitCode.EMPTY
    assert "/bootstrap (1)" in report.findings[0].message
    assert desk.files == ["s.db", "s.db.keyctl.json"]


@pytest.mark.parametrize("taken", ["s.db", "s.db.keyctl.json"])
def test_what_is_there_is_never_overwritten_and_nothing_is_asked_of_etcd(desk: Desk, taken: str) -> None:
    (desk.folder / taken).write_text("mine")
    with pytest.raises(RefusedError, match="exists already"):
        desk.save()
    assert (desk.files, desk.cluster.done, desk.store.backups()) == ([taken], [], ())
    assert (desk.folder / taken).read_text() == "mine"


def test_a_dangling_link_is_there_too(desk: Desk) -> None:
    (desk.folder / "s.db").symlink_to("/nowhere/at/all")
    with pytest.raises(RefusedError, match="exists already"):
        desk.save()


def test_a_manifest_that_comes_there_meanwhile_is_not_overwritten_and_no_snapshot_stays(desk: Desk) -> None:
    other = desk.folder / "s.db.keyctl.json"

    def come(_: str) -> None:
        other.write_text("mine")

    desk.cluster.before = come
    with pytest.raises(RefusedError, match="exists already"):
        desk.save()
    assert (desk.files, other.read_text()) == (["s.db.keyctl.json"], "mine")
    assert desk.store.backups() == ()


def test_a_name_that_cannot_be_looked_for_and_is_registered_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Backup(BackupKind.SNAPSHOT, str(desk.folder / "s.db"), "2026-01-01T00:00:00+00:00", 9, (OLD.ref,))
    desk.store.note_backup(known)
    monkeypatch.setattr("keyctl.backup.save.is_gone", lambda _: False)
    with pytest.raises(RefusedError, match="knows another snapshot by the name"):
        desk.save()
    assert (desk.store.backups(), desk.files) == ((known,), [])


def clear(desk: Desk) -> None:
    for path in desk.folder.iterdir():
        path.unlink()


def test_a_name_whose_snapshot_is_gone_is_used_again_and_its_keys_stay_held_back(desk: Desk) -> None:
    first = desk.save()
    assert first.former is None
    clear(desk)
    desk.cluster.members["m0"].live = secret("b", NEW)
    again = desk.save()
    former, now = sorted(desk.store.backups(), key=lambda one: one.location, reverse=True)
    assert (now.location, now.needs) == (str(desk.folder / "s.db"), (NEW.ref,))
    assert (former.location, set(former.needs)) == (f"{desk.folder / 's.db'}@gone", {OLD.ref, NEW.ref})
    assert former.sha256 == first.manifest.sha256
    assert again.former == former.location
    told = "\n".join(save_report.to_report(Outcome((again,))).notes)
    assert f"keyctl snapshot forget {former.location}" in told


def test_a_name_that_is_used_every_week_has_one_entry_for_all_that_are_gone(desk: Desk) -> None:
    for key in (OLD, NEW, OLD):
        desk.cluster.members["m0"].live = secret("a", key)
        desk.save()
        clear(desk)
    assert [one.location for one in desk.store.backups()] == [str(desk.folder / f"s.db{end}") for end in ("", "@gone")]
    assert set(desk.store.backups()[1].needs) == {OLD.ref, NEW.ref}


def test_a_save_that_fails_under_a_name_that_is_used_again_forgets_no_key(desk: Desk) -> None:
    desk.save()
    clear(desk)
    with pytest.raises(UnusableInputError):
        desk.save(open_snapshot=unreadable)
    (former,) = desk.store.backups()
    assert set(former.needs) == {OLD.ref, NEW.ref}


def test_plaintext_that_must_be_encrypted_is_no_tick_although_the_save_worked(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {**secret("a", NEW), b"/registry/secrets/default/p": seal.secret("p")})
    for number, config in enumerate((EVERYTHING, None)):
        report = save_report.to_report(Outcome((desk.save(f"{number}.db", config=config),)))
        assert (report.exit_code, report.data["plaintext"]) == (ExitCode.OK, 1)
        assert [one.id for one in report.findings] == ["KC-SNAP-008"]
        assert "1 of them in plaintext that must be encrypted" in report.verdict
        last = [line for line in render(report, width=None, color=False, unicode=True, wide=False).splitlines() if line]
        assert next(line for line in last if "saved" in line).startswith("! attention: ")


def test_plaintext_of_what_need_not_be_encrypted_is_no_finding(desk: Desk) -> None:
    report = save_report.to_report(Outcome((desk.save(),)))
    assert (report.findings, report.data["plaintext"]) == ((), 0)
    assert "4 values under /registry at revision 50" in report.verdict


def unreadable(path: Path) -> FileSource:
    raise UnusableInputError(f"{path} is damaged")


def stopped(path: Path) -> FileSource:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("open_snapshot", "error"), [(unreadable, UnusableInputError), (stopped, KeyboardInterrupt)], ids=["damage", "stop"]
)
def test_a_snapshot_that_cannot_be_read_again_does_not_stay(
    desk: Desk, open_snapshot: OpenSnapshot, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        desk.save(open_snapshot=open_snapshot)
    assert (desk.files, desk.store.backups()) == ([], ())


def test_an_etcd_that_fails_leaves_no_note_in_the_register(desk: Desk) -> None:
    def fail(_: str) -> None:
        raise UnreachableError("etcd does not answer")

    desk.cluster.before = fail
    with pytest.raises(UnreachableError):
        desk.save()
    assert (desk.files, desk.store.backups()) == ([], ())


def test_a_file_that_somebody_puts_there_meanwhile_stays_and_the_register_does_not_claim_it(desk: Desk) -> None:
    theirs = desk.folder / "s.db"

    def come(_: str) -> None:
        theirs.write_bytes(b"theirs")

    desk.cluster.before = come
    with pytest.raises(RefusedError):
        desk.save()
    assert (theirs.read_bytes(), desk.store.backups()) == (b"theirs", ())


def test_what_another_run_registered_under_the_name_meanwhile_is_not_forgotten(desk: Desk) -> None:
    theirs = Backup(BackupKind.SNAPSHOT, str(desk.folder / "s.db"), "2026-01-01T00:00:00+00:00", 9, (OLD.ref,), "ab")

    def come(_: str) -> None:
        (desk.folder / "s.db").write_bytes(b"theirs")
        desk.store.note_backup(theirs)

    desk.cluster.before = come
    with pytest.raises(RefusedError):
        desk.save()
    assert desk.store.backups() == (theirs,)


def replacing(source: type[FakeSnapshot]) -> OpenSnapshot:
    """Reads what is saved, or what somebody put in its place while that is done."""

    def open_snapshot(path: Path) -> FileSource:
        content = path.read_bytes()
        path.rename(path.with_name("moved.db"))
        path.write_bytes(content if source is FakeSnapshot else b"theirs")
        return source(path)

    return open_snapshot


class Damaged(FakeSnapshot):
    def batches(self, prefix: bytes) -> Iterator[list[Value]]:
        raise UnusableInputError("the stranger's file is damaged")


@pytest.mark.parametrize("source", [FakeSnapshot, Damaged])
def test_a_file_that_takes_its_place_while_it_is_read_gets_no_manifest_of_ours_and_stays(
    desk: Desk, source: type[FakeSnapshot]
) -> None:
    with pytest.raises(StoppedError, match="moved, removed or replaced while it was read"):
        desk.save(open_snapshot=replacing(source))
    assert desk.files == ["moved.db", "s.db"]
    # Ours was moved, and holds what it holds.
    (backup,) = desk.store.backups()
    assert set(backup.needs) == {OLD.ref, NEW.ref}


def test_configurations_that_were_not_read_are_said_where_they_may_matter(desk: Desk) -> None:
    unread = ("the configuration of cp2 was not read: it is missing",)
    whole = desk.save(unread=unread)
    assert save_report.to_report(Outcome((whole,))).exit_code is ExitCode.OK
    document = json.loads(beside(desk.folder / "s.db").read_text())
    assert (document["configuration"], document["configurationsUnread"]) == ("partial", list(unread))

    nothing = save_report.to_report(Outcome((desk.save("t.db", config=None, unread=unread),)))
    assert (nothing.exit_code, [one.id for one in nothing.findings]) == (ExitCode.INCOMPLETE, ["KC-SNAP-006"])
    assert "does not know every key" in nothing.verdict
    assert json.loads(beside(desk.folder / "t.db").read_text())["configuration"] == "unknown"

    some = save_report.to_report(Outcome((desk.save("u.db", config=seal.config(NEW), unread=unread),)))
    assert (some.exit_code, [one.id for one in some.findings]) == (
        ExitCode.UNREADABLE,
        ["KC-SNAP-005", "KC-SNAP-006"],
    )
    assert "the configurations that could be read do not open 1 of them" in some.verdict


def test_the_keys_of_the_store_may_be_needed_beside_those_of_the_configuration(desk: Desk) -> None:
    desk.store.put(OLD, origin="imported")
    seen: list[tuple[Backup, ...]] = []
    desk.cluster.before = lambda _: seen.append(desk.store.backups())
    desk.save(config=seal.config(NEW))
    assert [set(backup.needs) for backups in seen for backup in backups] == [{NEW.ref, OLD.ref}]


def failing_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"keyctl.backup.save.{name}", fail)


@pytest.mark.parametrize("act", ["write_and_close", "sync_directory"])
def test_a_disk_that_is_full_by_the_manifest_leaves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    failing_at(monkeypatch, act)
    with pytest.raises(StoppedError, match=r"manifest .* could not be written") as caught:
        desk.save()
    assert (desk.files, desk.store.backups()) == ([], ())
    assert caught.value.hints == ("make room for it, or save to another disk",)


def test_a_manifest_and_a_snapshot_that_the_disk_does_not_let_go_are_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    failing_at(monkeypatch, "write_and_close")
    monkeypatch.setattr(Path, "unlink", keep)
    with pytest.raises(StoppedError, match=r"manifest .* could not be written") as caught:
        desk.save()
    left = [
        f"{desk.folder / name} is not complete and could not be removed: remove it" for name in reversed(desk.files)
    ]
    assert caught.value.hints[1:] == tuple(left)
    assert len(left) == 2
    assert len(desk.store.backups()) == 1


def test_a_register_that_fails_in_the_end_leaves_no_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    note: Callable[[Backup], None] = desk.store.note_backup

    def fail_with_the_digest(backup: Backup) -> None:
        if backup.sha256:
            raise UnusableInputError("the register is damaged")
        note(backup)

    monkeypatch.setattr(desk.store, "note_backup", fail_with_the_digest)
    with pytest.raises(UnusableInputError, match="register"):
        desk.save()
    assert desk.files == []


@pytest.mark.parametrize("failure", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=["disk", "interrupt"])
def test_a_file_that_cannot_be_taken_away_again_stays_in_the_register_with_every_possible_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def keep(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(Path, "unlink", keep)
    with pytest.raises((UnusableInputError, KeyboardInterrupt)):
        desk.save(open_snapshot=unreadable)
    (backup,) = desk.store.backups()
    assert (desk.files, set(backup.needs)) == (["s.db"], {OLD.ref, NEW.ref})


def test_a_file_that_etcds_client_left_behind_stays_in_the_register(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: FakeEtcd, path: Path, **__: object) -> None:
        path.write_bytes(b"whole")
        raise StoppedError("it could not be written")

    monkeypatch.setattr(FakeEtcd, "save_snapshot", fail)
    with pytest.raises(StoppedError):
        desk.save()
    assert (desk.files, len(desk.store.backups())) == (["s.db"], 1)


def test_without_a_key_store_nobody_is_told(desk: Desk) -> None:
    assert desk.save(register=False).registered is None
    assert desk.store.backups() == ()


def test_a_directory_that_is_not_there_is_refused_first(desk: Desk) -> None:
    with pytest.raises(RefusedError, match="is no directory"):
        desk.save("no/s.db")
    assert desk.cluster.done == []


def test_the_register_learns_by_which_bytes_a_value_opens_also_where_the_configuration_does_not_know(
    desk: Desk,
) -> None:
    odd = Key(OLD.provider, "a:b", OLD.material)
    desk.cluster.members["m0"].live = {**LIVE, **secret("x", odd)}
    for key in (OLD, odd):
        desk.store.put(key, origin="imported")
    for name, config in (("known.db", EVERYTHING), ("partly.db", seal.config(NEW)), ("unknown.db", None)):
        desk.save(name, config=config)
        noted = {Path(one.location).name: one for one in desk.store.backups()}[name]
        assert {OLD.ref, odd.ref, NEW.ref} == set(noted.needs), name
        prints = {OLD.ref: OLD.fingerprint, odd.ref: odd.fingerprint}
        assert dict(noted.fingerprints) == prints | ({NEW.ref: NEW.fingerprint} if config else {}), name


def test_a_damaged_key_store_is_no_reason_to_have_no_backup(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(ref: object) -> None:
        raise UnusableInputError("the key file is damaged")

    desk.store.put(OLD, origin="imported")
    monkeypatch.setattr(desk.store, "get", damaged)
    desk.save(config=seal.config(NEW))
    (noted,) = desk.store.backups()
    assert set(noted.needs) == {OLD.ref, NEW.ref}
