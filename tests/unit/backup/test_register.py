"""Registered snapshots whose file is gone: what forgetting them means for keys, and how many of them are named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.backup import register, sanitize_report
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.key import KeyRef
from tests.support import seal
from tests.support.memory_store import MemoryKeyStore

AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
OLD, NEW = seal.key("old", fill=1).ref, seal.key("new", fill=2).ref


def noted(path: Path, *needs: KeyRef, at: str = "2026-11-21T10:00:00+00:00") -> Backup:
    return Backup(BackupKind.SNAPSHOT, str(path), at, 9, needs)


@pytest.fixture
def store(tmp_path: Path) -> MemoryKeyStore:
    store = MemoryKeyStore()
    store.note_backup(noted(tmp_path / "a.db", OLD, NEW))
    store.note_backup(noted(tmp_path / "b.db", NEW))
    store.note_backup(Backup(BackupKind.HISTORY, "https://10.0.0.9:2379", "2026-11-21", 9, (OLD,)))
    return store


def test_a_key_is_freed_only_where_no_other_registered_backup_needs_it(store: MemoryKeyStore, tmp_path: Path) -> None:
    plan = register.forgetting(store, [tmp_path / "a.db"])
    assert (plan.freed, set(plan.held)) == ((), {OLD, NEW})
    store.forget_backup("https://10.0.0.9:2379")
    assert register.forgetting(store, [tmp_path / "a.db"]).freed == (OLD,)
    both = register.forgetting(store, [tmp_path / "a.db", tmp_path / "b.db", tmp_path / "a.db"])
    assert (set(both.freed), both.held, len(both.forgotten)) == ({OLD, NEW}, (), 2)
    assert len(store.backups()) == 2, "looking forgets nothing"


def test_a_snapshot_that_is_still_there_is_not_forgotten(store: MemoryKeyStore, tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    with pytest.raises(RefusedError, match="is not forgotten"):
        register.forgetting(store, [tmp_path / "a.db"])


@pytest.mark.parametrize("name", ["c.db", "https://10.0.0.9:2379"])
def test_what_is_no_registered_snapshot_is_told(store: MemoryKeyStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnusableInputError, match="no backup at"):
        register.forgetting(store, [tmp_path / name])


def test_the_newest_that_are_there_are_named_and_the_others_counted(tmp_path: Path) -> None:
    backups = []
    for day in range(300):
        path = tmp_path / f"{day:03}.db"
        if day >= 200:
            path.touch()
        backups.append(noted(path, at=f"2026-01-01T00:{day:03}"))
    lines = [line for line in sanitize_report.remains(backups) if "registered" in line or str(tmp_path) in line]
    assert [Path(line.split()[2].rstrip(",")).name for line in lines[:5]] == [
        f"{day}.db" for day in range(299, 294, -1)
    ]
    assert lines[5].startswith("95 older registered snapshots")
    assert lines[6].startswith("what copies there are of 200 registered snapshots")
    assert len(lines) == 7


def test_a_few_snapshots_are_all_named_without_a_count(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    assert list(register.elsewhere([noted(tmp_path / "a.db")])) == [
        f"the snapshot {tmp_path / 'a.db'}, noted at 2026-11-21T10:00:00+00:00"
    ]
    assert list(register.elsewhere([])) == []


def deleted(path: Path, *needs: KeyRef, tested: Proven | None = None) -> Backup:
    prints = tuple((need, f"print of {need.name}") for need in needs)
    return Backup(BackupKind.SNAPSHOT, str(path), AT.isoformat(), 9, needs, "x", prints, tested)


def test_what_a_policy_deletes_is_one_entry_that_needs_every_key_of_any_of_them(tmp_path: Path) -> None:
    store = MemoryKeyStore()
    place = tmp_path / "main"
    assert register.note_deleted(store, place, [], at=AT, copies=True) is None
    name = register.note_deleted(store, place, [deleted(tmp_path / "a.db", OLD)], at=AT, copies=True)
    assert register.note_deleted(store, place, [deleted(tmp_path / "b.db", NEW)], at=AT, copies=True) == name
    (entry,) = store.backups()
    assert entry.location == name == f"{place}@gone"
    assert register.is_former(entry)
    assert set(entry.needs) == {OLD, NEW}
    assert {print_ for _, print_ in entry.fingerprints} == {"print of old", "print of new"}
    assert entry.sha256 == ""


def test_without_copies_it_needs_only_what_it_needed_before(tmp_path: Path) -> None:
    store = MemoryKeyStore()
    register.note_deleted(store, tmp_path / "main", [deleted(tmp_path / "a.db", OLD)], at=AT, copies=True)
    register.note_deleted(store, tmp_path / "main", [deleted(tmp_path / "b.db", NEW)], at=AT, copies=False)
    assert [one.needs for one in store.backups()] == [(OLD,)]


@pytest.mark.parametrize("copies", [True, False])
def test_the_newest_restore_test_of_any_of_them_outlives_their_files(copies: bool, tmp_path: Path) -> None:
    store = MemoryKeyStore()
    older, newer = Proven("2026-11-01T10:00:00+00:00", Proof.SERVED), Proven("2026-11-10T10:00:00+00:00", Proof.FAILED)
    both = [deleted(tmp_path / "a.db", OLD, tested=newer), deleted(tmp_path / "b.db", OLD, tested=older)]
    register.note_deleted(store, tmp_path / "main", both, at=AT, copies=copies)
    register.note_deleted(store, tmp_path / "main", [deleted(tmp_path / "c.db")], at=AT, copies=copies)
    assert [one.tested for one in store.backups()] == [newer]
