"""How the file store erases a key, and how it keeps its register of backups."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from tests.support.effects import noted, open_descriptors

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_BACKUP = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 117, (_KEY.ref,), "ab" * 32)


def _store(directory: Path, cluster: str = "prod") -> FileKeyStore:
    return FileKeyStore(directory, cluster=cluster, clock=lambda: datetime(2026, 11, 21, 10, tzinfo=UTC))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A store with one deactivated key."""
    place = tmp_path / "keys"
    _store(place).put(_KEY, origin="imported")
    _store(place).note_state(_KEY.ref, "deactivated")
    return place


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _key_file(directory: Path) -> Path:
    return directory / "aescbc.key1.key.json"


def test_the_ledger_says_destroyed_before_the_bytes_are_overwritten_and_then_unlinked(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = noted(monkeypatch)
    _store(directory).destroy(_KEY.ref)
    append = ["write", "fsync file", "fsync directory"]
    assert done == [*append, "write", "fsync file", "unlink", "fsync directory"]


def test_the_bytes_are_overwritten_where_they_lie(directory: Path) -> None:
    other_name = directory.parent / "same file"
    os.link(_key_file(directory), other_name)
    size = other_name.stat().st_size
    _store(directory).destroy(_KEY.ref)
    assert other_name.read_bytes() == bytes(size)
    assert not _key_file(directory).exists()


def test_bytes_that_the_ledger_calls_destroyed_are_erased_by_whoever_opens_the_store(directory: Path) -> None:
    kept = _key_file(directory).read_bytes()
    _store(directory).destroy(_KEY.ref)
    _key_file(directory).write_bytes(kept)
    _key_file(directory).chmod(0o600)
    assert _store(directory).get(_KEY.ref) is None
    assert not _key_file(directory).exists()


def test_an_erasure_that_fails_is_our_own_error_and_is_finished_later(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", failing)
        with pytest.raises(UnreachableError) as caught:
            _store(directory).destroy(_KEY.ref)
    assert "Read-only file system" in str(caught.value.cause)
    assert _store(directory).records()[0].state == "destroyed"
    assert not _key_file(directory).exists()


def test_no_file_of_the_store_holds_a_destroyed_key(directory: Path) -> None:
    _store(directory).destroy(_KEY.ref)
    left = sorted(path.name for path in directory.iterdir())
    assert left == [".lock", "ledger.jsonl"]
    assert base64.b64encode(_KEY.material) not in (directory / "ledger.jsonl").read_bytes()


def test_a_link_in_the_place_of_a_destroyed_key_is_not_followed(directory: Path, tmp_path: Path) -> None:
    _store(directory).destroy(_KEY.ref)
    stranger = tmp_path / "stranger"
    stranger.write_text("another's")
    _key_file(directory).symlink_to(stranger)
    with pytest.raises(UnusableInputError, match="is a symbolic link"):
        _store(directory).records()
    assert stranger.read_text() == "another's"


def test_the_register_is_private_and_only_appended_to(directory: Path, open_umask: None) -> None:
    register = directory / "backups.jsonl"
    _store(directory).note_backup(_BACKUP)
    first, inode = register.read_bytes(), register.stat().st_ino
    _store(directory).note_backup(_BACKUP)
    assert register.read_bytes() == first
    _store(directory).forget_backup(_BACKUP.location)
    assert register.read_bytes().startswith(first)
    assert register.read_bytes().count(b"\n") == 2
    assert register.stat().st_ino == inode
    assert stat.S_IMODE(register.stat().st_mode) == 0o600


def test_a_register_may_begin_before_the_first_key(tmp_path: Path) -> None:
    store = _store(tmp_path / "new")
    store.note_backup(_BACKUP)
    assert store.backups() == (_BACKUP,)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_noted_backup_is_on_the_disk(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = noted(monkeypatch)
    _store(directory).note_backup(_BACKUP)
    assert done == ["write", "fsync file", "fsync directory"]


def test_a_torn_last_line_of_the_register_is_repaired(directory: Path) -> None:
    _store(directory).note_backup(_BACKUP)
    register = directory / "backups.jsonl"
    whole = register.read_bytes()
    register.write_bytes(whole + b'{"format": "keyctl/ba')
    assert _store(directory).backups() == (_BACKUP,)
    assert register.read_bytes() == whole


def test_a_damaged_register_is_named_and_left_as_it_is(directory: Path) -> None:
    _store(directory).note_backup(_BACKUP)
    register = directory / "backups.jsonl"
    damaged = b"{}\n" + register.read_bytes()
    register.write_bytes(damaged)
    for use in (_store(directory).backups, lambda: _store(directory).note_backup(_BACKUP)):
        with pytest.raises(UnusableInputError, match=r"backups\.jsonl:1"):
            use()
    assert register.read_bytes() == damaged


def test_a_register_that_others_can_read_is_refused(directory: Path) -> None:
    _store(directory).note_backup(_BACKUP)
    register = directory / "backups.jsonl"
    register.chmod(0o640)
    with pytest.raises(UnusableInputError, match="can be used by others") as caught:
        _store(directory).backups()
    assert caught.value.hints == (f"chmod 600 {register}",)


def test_the_register_of_another_cluster_is_not_ours(tmp_path: Path) -> None:
    _store(tmp_path / "keys", "test").note_backup(_BACKUP)
    with pytest.raises(UnusableInputError, match='belongs to cluster "test", not "prod"'):
        _store(tmp_path / "keys").backups()


def test_no_file_stays_open(directory: Path) -> None:
    before = open_descriptors()
    store = _store(directory)
    store.note_backup(_BACKUP)
    store.forget_backup(_BACKUP.location)
    store.destroy(_KEY.ref)
    assert open_descriptors() <= before
