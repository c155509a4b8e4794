"""What stands in an escrow, and what is made of one that is not what it should be."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keyctl.errors import RefusedError, UnreachableError, UnusableInputError
from keyctl.keys import escrow, escrow_place
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import Key, Provider
from tests.support.kill_points import kill_points
from tests.support.memory_store import MemoryKeyStore

OTHER = bytes(range(32, 64))


def random_key(name: str, provider: Provider = Provider.AESCBC) -> Key:
    return Key(provider, name, os.urandom(32))


def store_at(directory: Path, *, cluster: str = "prod") -> FileKeyStore:
    return FileKeyStore(directory, cluster=cluster, clock=lambda: datetime(2026, 11, 21, 10, tzinfo=UTC))


def filled(store: KeyStore) -> tuple[Key, Key, Key]:
    """One key in use, one taken out of use, one destroyed."""
    keys = random_key("key1"), random_key("key0", Provider.SECRETBOX), random_key("gone")
    for key in keys:
        store.put(key, origin="imported")
    for key in keys[1:]:
        store.note_state(key.ref, "deactivated")
    store.destroy(keys[2].ref)
    return keys


def made(store: KeyStore) -> escrow.Escrow:
    return escrow.of_store(store, cluster="prod", at="2026-11-21T12:00:00+00:00")


def parsed(content: bytes, cluster: str = "prod") -> escrow.Escrow:
    return escrow.parse(content, cluster=cluster, name="k.age")


def test_what_is_put_in_comes_out_and_shows_no_key() -> None:
    store = MemoryKeyStore()
    keys = filled(store)
    one = made(store)
    assert parsed(escrow.content(one)) == one
    assert one.keys == keys[:2], "a destroyed key is in the ledger only"
    assert "material" not in repr(one)


def test_an_empty_key_store_has_nothing_to_put_in() -> None:
    with pytest.raises(UnusableInputError, match="there is no key"):
        made(MemoryKeyStore())


def _swap(document: dict[str, Any]) -> None:
    first, second = document["keys"]
    first["material"], second["material"] = second["material"], first["material"]


def _add(document: dict[str, Any]) -> None:
    document["keys"].append({**document["keys"][0], "name": "foisted"})


@pytest.mark.parametrize(
    "tamper",
    [
        _swap,
        _add,
        lambda document: document["keys"].pop(),
        lambda document: document["keys"].append(document["keys"][0]),
        lambda document: document.update(format="keyctl/escrow/v2"),
        lambda document: document.update(ledger=document["ledger"].replace("imported", "found")),
        lambda document: document.update(register=[]),
        lambda document: document["keys"][0].update(material="not base64"),
        lambda document: document.pop("at"),
    ],
)
def test_one_that_is_not_whole_is_damaged_and_its_text_does_not_show(tamper: Callable[[dict[str, Any]], None]) -> None:
    store = MemoryKeyStore()
    filled(store)
    document = json.loads(escrow.content(made(store)))
    tamper(document)
    content = json.dumps(document).encode()
    with pytest.raises(UnusableInputError, match="is damaged") as told:
        parsed(content)
    materials = [key["material"] for key in document["keys"]]
    assert not [text for text in materials if text in f"{told.value} {told.value.cause}"]
    assert told.value.__cause__ is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"format": "keyctl/escrow/v1"}', b"[" * 100_000])
def test_anything_else_is_damaged(content: bytes) -> None:
    with pytest.raises(UnusableInputError, match="is damaged"):
        parsed(content)


def test_a_key_store_is_compared_by_fingerprint_and_destroyed_keys_are_not_missed() -> None:
    store = MemoryKeyStore()
    first, second, _ = filled(store)
    one = made(store)
    assert escrow.compare(store, one) == escrow.Comparison((), ())
    other = MemoryKeyStore()
    other.put(Key(first.provider, first.name, OTHER), origin="imported")
    other.put(second, origin="imported")
    late = random_key("late")
    other.put(late, origin="generated")
    assert escrow.compare(other, one) == escrow.Comparison((late.ref,), (first.ref,))


def test_a_restore_that_is_killed_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    source = MemoryKeyStore()
    keys = filled(source)
    one = made(source)
    number = 0

    def bring_back() -> None:
        escrow.restore(store_at(tmp_path / str(number)), one)

    for _ in kill_points(bring_back):
        store = store_at(tmp_path / str(number))
        escrow.restore(store, one)
        assert store.records() == source.records()
        assert [store.get(key.ref) for key in keys] == [*keys[:2], None]
        number += 1
    assert number > 10


def test_a_restore_that_is_cut_off_leaves_no_key_that_its_backups_do_not_hold_back(tmp_path: Path) -> None:
    store = MemoryKeyStore()
    keys = filled(store)
    store.note_backup(Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21", 9, (keys[1].ref,)))
    target = tmp_path / "keys"
    for _ in kill_points(lambda: escrow.restore(store_at(target), made(store))):
        left = store_at(target)
        if left.records():
            assert left.backups() == store.backups()
        shutil.rmtree(target, ignore_errors=True)


def test_what_is_registered_by_now_is_newer_than_the_escrow(tmp_path: Path) -> None:
    store = MemoryKeyStore()
    keys = filled(store)
    noted = Backup(BackupKind.SNAPSHOT, "/backup/mon.db", "2026-11-01", 9, (keys[1].ref,))
    store.note_backup(noted)
    one, again = made(store), store_at(tmp_path / "keys")
    newer = replace(noted, at="2026-11-21", needs=(keys[0].ref,))
    again.note_backup(newer)
    escrow.restore(again, one)
    assert again.backups() == (newer,)


def test_nothing_is_changed_where_the_store_has_a_key_that_the_escrow_does_not_know(tmp_path: Path) -> None:
    source, store = MemoryKeyStore(), store_at(tmp_path / "keys")
    filled(source)
    store.put(random_key("mine"), origin="generated")
    before = {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    with pytest.raises(RefusedError, match="is not empty"):
        escrow.restore(store, made(source))
    assert {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_a_file_system_that_the_backups_have_for_themselves_is_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("backups", "keys", "usb", "nas"):
        (tmp_path / name).mkdir()
    devices = {"backups": 7, "nas": 7, "keys": 1, "usb": 1}
    monkeypatch.setattr(escrow_place, "_device", lambda directory: devices[directory.name])

    def check(name: str) -> None:
        escrow_place.check_place(tmp_path / name / "k.age", backups=[tmp_path / "backups"], keys=tmp_path / "keys")

    with pytest.raises(RefusedError, match="on the file system that has the backups"):
        check("nas")
    check("usb")
    devices.update(backups=1, nas=1)
    check("nas")


def test_what_could_not_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> None:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(escrow_place, "write_and_close", full)
    with pytest.raises(UnreachableError, match="cannot be written") as told:
        escrow_place.write(tmp_path / "k.age", b"sealed")
    assert told.value.cause == "No space left on device"
    assert list(tmp_path.iterdir()) == []
