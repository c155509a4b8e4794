"""A key store that is only looked at: it says what it would after mending, and stays as it is to the last byte."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.keys import private_files
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from keyctl.keys.ledger import KeyState
from tests.support.effects import tree

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_SECOND = Key(Provider.AESCBC, "key2", bytes(32))
_GONE = Key(Provider.AESCBC, "key3", bytes(range(1, 33)))
_SNAPSHOT = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 117, (_KEY.ref,), "ab" * 32)


def _store(directory: Path, *, only_read: bool = False) -> FileKeyStore:
    now = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
    return FileKeyStore(directory, cluster="prod", clock=lambda: now, only_read=only_read)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A store in which every kind of run was cut off half-way."""
    directory = tmp_path / "keys"
    store = _store(directory)
    for key in (_KEY, _GONE):
        store.put(key, origin="generated")
    store.note_backup(_SNAPSHOT)
    # A destruction that did not come to its erasure.
    bytes_of_gone = (directory / "aescbc.key3.key.json").read_bytes()
    for state in (KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.DESTROYED):
        store.note_state(_GONE.ref, state)
    _write(directory / "aescbc.key3.key.json", bytes_of_gone)
    # A put that did not reach the ledger, one that did not come to its name, and two torn lines.
    before = (directory / "ledger.jsonl").read_bytes()
    store.put(_SECOND, origin="generated")
    _write(directory / "ledger.jsonl", before + b'{"format": "keyctl/led')
    _write(directory / "backups.jsonl", (directory / "backups.jsonl").read_bytes() + b'{"form')
    _write(directory / ".keyctl-0123456789abcdef", b"half a fi")
    return directory


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def test_it_says_what_it_would_after_mending_and_mends_nothing(directory: Path) -> None:
    before = tree(directory)
    store = _store(directory, only_read=True)
    records, backups = store.records(), store.backups()
    assert (store.get(_KEY.ref), store.get(_SECOND.ref), store.get(_GONE.ref)) == (_KEY, _SECOND, None)
    assert tree(directory) == before
    mended = _store(directory)
    assert (records, backups) == (mended.records(), mended.backups())
    assert tree(directory) != before


def test_no_lock_is_made_where_there_is_none_and_one_that_is_there_is_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = directory / ".lock"
    monkeypatch.setattr(private_files, "LOCK_SECONDS", 0.1)
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        begun = time.monotonic()
        with pytest.raises(UnreachableError, match="in use by another process"):
            _store(directory, only_read=True).records()
        assert time.monotonic() - begun < 5
    lock.unlink()
    before = tree(directory)
    assert len(_store(directory, only_read=True).records()) == 3
    assert tree(directory) == before


def test_two_readers_are_not_in_each_others_way(directory: Path) -> None:
    with (directory / ".lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert len(_store(directory, only_read=True).records()) == 3


def test_a_medium_that_takes_no_writing_is_read_all_the_same(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def read_only(path: str, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", path)
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    assert len(_store(directory, only_read=True).records()) == 3
    with pytest.raises(UnreachableError, match="cannot be used"):
        _store(directory).records()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put(_KEY, origin="generated"),
        lambda store: store.note_state(_KEY.ref, KeyState.ACTIVE),
        lambda store: store.destroy(_KEY.ref),
        lambda store: store.note_backup(_SNAPSHOT),
        lambda store: store.forget_backup("/backup/a.db"),
    ],
    ids=["put", "note-state", "destroy", "note-backup", "forget-backup"],
)
def test_whoever_changes_it_has_made_a_mistake(directory: Path, change: Callable[[FileKeyStore], object]) -> None:
    before = tree(directory)
    with pytest.raises(RuntimeError, match="read only"):
        change(_store(directory, only_read=True))
    assert tree(directory) == before
