"""Registered snapshots whose file is gone: what forgetting them means for keys, and how many of them are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyctl.backup import register, sanitize_report
from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import KeyRef
from tests.support import seal
from tests.support.memory_store import MemoryKeyStore

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
