"""What every key store does; run on the fake and on the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.errors import RefusedError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.interface import KeyStore
from keyctl.keys.key import Key, KeyRef, Provider
from keyctl.keys.ledger import Moment
from tests.support import bao_store
from tests.support.memory_store import MemoryKeyStore

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_OTHER_BYTES = Key(Provider.AESCBC, "key1", bytes(32))
_SECOND = Key(Provider.SECRETBOX, "key1", bytes(range(32)))
_SNAPSHOT = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 117, (_KEY.ref,), "ab" * 32)
_HISTORY = Backup(BackupKind.HISTORY, "https://10.0.0.9:2379", "2026-11-21T10:00:00+00:00", 130, (_KEY.ref,))


def _file_store(directory: Path) -> KeyStore:
    return FileKeyStore(directory / "keys", cluster="prod", clock=lambda: datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC))


def _memory_store(directory: Path) -> KeyStore:
    return MemoryKeyStore(clock=lambda: datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC))


@pytest.fixture(params=[_memory_store, _file_store, None], ids=["memory", "file", "vault"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    make: Callable[[Path], KeyStore] | None = request.param
    if make is None:
        # NOTE: asked for by name, so that the others start no server.
        return bao_store.store(request.getfixturevalue("bao"), request.getfixturevalue("mount"), tmp_path)
    return make(tmp_path)


def test_an_empty_store_has_no_records_and_no_key(store: KeyStore) -> None:
    assert store.records() == ()
    assert store.get(_KEY.ref) is None


def test_a_key_comes_back_as_it_was_put(store: KeyStore) -> None:
    record = store.put(_KEY, origin="generated")
    assert store.get(_KEY.ref) == _KEY
    assert store.records() == (record,)
    assert (record.ref, record.fingerprint) == (_KEY.ref, _KEY.fingerprint)
    assert (record.state, record.origin) == ("pre-activation", "generated")
    assert record.created == "2026-11-21T10:00:05+00:00"


def test_an_imported_key_is_in_use_already(store: KeyStore) -> None:
    assert store.put(_KEY, origin="imported").state == "active"


def test_an_unknown_origin_is_a_mistake_of_the_programmer(store: KeyStore) -> None:
    with pytest.raises(ValueError, match="found"):
        store.put(_KEY, origin="found")
    assert store.records() == ()


def test_putting_the_same_key_again_changes_nothing(store: KeyStore) -> None:
    store.put(_KEY, origin="generated")
    store.note_state(_KEY.ref, "active")
    before = store.records()
    assert store.put(_KEY, origin="imported") == before[0]
    assert store.records() == before


def test_other_bytes_under_a_known_name_are_refused_and_the_old_ones_stay(store: KeyStore) -> None:
    store.put(_KEY, origin="generated")
    before = store.records()
    with pytest.raises(RefusedError) as caught:
        store.put(_OTHER_BYTES, origin="generated")
    assert caught.value.rule == "R5"
    assert store.get(_KEY.ref) == _KEY
    assert store.records() == before


def test_one_name_under_two_providers_is_two_keys_in_order_of_arrival(store: KeyStore) -> None:
    store.put(_SECOND, origin="generated")
    store.put(_KEY, origin="generated")
    assert [record.ref for record in store.records()] == [_SECOND.ref, _KEY.ref]
    assert store.get(_SECOND.ref) == _SECOND


def test_a_key_walks_through_its_life_and_the_ledger_remembers(store: KeyStore) -> None:
    store.put(_KEY, origin="generated")
    for state in ("active", "active", "deactivated"):
        assert store.note_state(_KEY.ref, state).state == state
    (record,) = store.records()
    assert [step.state for step in record.history] == ["pre-activation", "active", "deactivated"]
    assert store.get(_KEY.ref) == _KEY


def test_a_step_that_no_key_takes_is_refused_and_leaves_the_record(store: KeyStore) -> None:
    before = store.put(_KEY, origin="imported")
    with pytest.raises(RefusedError) as caught:
        store.note_state(_KEY.ref, "destroyed")
    assert caught.value.rule == "R4"
    assert store.records() == (before,)


def test_the_state_of_an_unknown_key_cannot_be_noted(store: KeyStore) -> None:
    with pytest.raises(UnusableInputError, match="aescbc/nobody"):
        store.note_state(KeyRef(Provider.AESCBC, "nobody"), "active")
    assert store.records() == ()


@pytest.mark.parametrize("last", ["deactivated", "compromised"])
def test_a_destroyed_key_is_gone_and_its_life_is_remembered(store: KeyStore, last: str) -> None:
    store.put(_KEY, origin="imported")
    store.put(_SECOND, origin="imported")
    store.note_state(_KEY.ref, last)
    record = store.destroy(_KEY.ref)
    assert [step.state for step in record.history] == ["active", last, "destroyed"]
    assert store.records()[0] == record
    assert store.get(_KEY.ref) is None
    assert store.get(_SECOND.ref) == _SECOND
    assert store.destroy(_KEY.ref) == record


def test_a_key_whose_destruction_is_noted_is_as_gone_as_one_that_was_destroyed(store: KeyStore) -> None:
    store.put(_KEY, origin="imported")
    store.note_state(_KEY.ref, "deactivated")
    assert store.note_state(_KEY.ref, "destroyed").state == "destroyed"
    assert store.get(_KEY.ref) is None


@pytest.mark.parametrize("state", ["active", "suspended"])
def test_a_key_that_is_not_out_of_use_is_not_destroyed(store: KeyStore, state: str) -> None:
    store.put(_KEY, origin="imported")
    before = store.note_state(_KEY.ref, state)
    with pytest.raises(RefusedError) as caught:
        store.destroy(_KEY.ref)
    assert caught.value.rule == "R4"
    assert store.records() == (before,)
    assert store.get(_KEY.ref) == _KEY


def test_a_backup_that_nobody_judged_keeps_its_key_from_being_destroyed(store: KeyStore) -> None:
    store.put(_KEY, origin="imported")
    before = store.note_state(_KEY.ref, "deactivated")
    other = replace(_SNAPSHOT, location="/backup/b.db", needs=(), fingerprints=((_SECOND.ref, _KEY.fingerprint),))
    store.note_backup(_SNAPSHOT)
    store.note_backup(replace(_SNAPSHOT, location="/backup/c.db", needs=(_SECOND.ref,)))
    judged = store.backups()
    store.note_backup(other)
    with pytest.raises(RefusedError, match="is not destroyed") as caught:
        store.destroy(_KEY.ref, judged=judged)
    assert caught.value.rule == "R4"
    assert "/backup/b.db, which needs it, was registered meanwhile" in (caught.value.cause or "")
    assert store.records() == (before,)
    assert store.get(_KEY.ref) == _KEY
    assert store.destroy(_KEY.ref, judged=(*judged, other)).state == "destroyed"
    assert store.destroy(_KEY.ref).state == "destroyed"


def test_the_register_keeps_what_plugins_call_their_keys(store: KeyStore) -> None:
    plugin = KeyRef(Provider.KMS, "vault")
    noted = replace(_SNAPSHOT, needs=(_KEY.ref, plugin), key_ids=((plugin, "id-1"), (plugin, "id-2")))
    store.note_backup(noted)
    assert store.backups() == (noted,)


def test_an_unknown_key_cannot_be_destroyed(store: KeyStore) -> None:
    with pytest.raises(UnusableInputError, match="aescbc/nobody"):
        store.destroy(KeyRef(Provider.AESCBC, "nobody"))


@pytest.mark.parametrize("again", [_KEY, _OTHER_BYTES], ids=["the same bytes", "other bytes"])
def test_the_name_of_a_destroyed_key_is_never_used_again(store: KeyStore, again: Key) -> None:
    store.put(_KEY, origin="imported")
    store.note_state(_KEY.ref, "deactivated")
    before = store.destroy(_KEY.ref)
    with pytest.raises(RefusedError, match="was destroyed") as caught:
        store.put(again, origin="imported")
    assert caught.value.rule == "R5"
    assert store.records() == (before,)
    assert store.get(_KEY.ref) is None


def test_backups_are_registered_in_order_of_arrival_and_forgotten_by_their_place(store: KeyStore) -> None:
    assert store.backups() == ()
    store.note_backup(_SNAPSHOT)
    store.note_backup(_HISTORY)
    store.note_backup(_SNAPSHOT)
    assert store.backups() == (_SNAPSHOT, _HISTORY)
    store.forget_backup(_SNAPSHOT.location)
    assert store.backups() == (_HISTORY,)
    store.note_backup(_SNAPSHOT)
    assert store.backups() == (_HISTORY, _SNAPSHOT)


def test_a_second_snapshot_at_one_place_takes_the_place_of_the_first(store: KeyStore) -> None:
    later = replace(_SNAPSHOT, revision=200, needs=(_SECOND.ref,), sha256="cd" * 32)
    store.note_backup(_SNAPSHOT)
    store.note_backup(later)
    assert store.backups() == (later,)


def test_what_two_rotations_left_in_one_etcd_is_needed_together(store: KeyStore) -> None:
    store.note_backup(_HISTORY)
    store.note_backup(replace(_HISTORY, revision=300, at="later", needs=(_SECOND.ref, _KEY.ref)))
    store.note_backup(replace(_HISTORY, revision=250, at="last", needs=()))
    assert store.backups() == (replace(_HISTORY, revision=300, at="last", needs=(_KEY.ref, _SECOND.ref)),)


def test_an_unknown_backup_cannot_be_forgotten(store: KeyStore) -> None:
    with pytest.raises(UnusableInputError, match=r"/backup/a\.db"):
        store.forget_backup(_SNAPSHOT.location)
    store.note_backup(_SNAPSHOT)
    with pytest.raises(UnusableInputError, match=r"/backup/b\.db") as caught:
        store.forget_backup("/backup/b.db")
    assert caught.value.hints == ("see them all: keyctl keys list -o json",)
    assert store.backups() == (_SNAPSHOT,)


def test_keys_without_a_name_and_keys_with_a_colon_come_back_in_the_needs_of_a_backup(store: KeyStore) -> None:
    needs = (KeyRef(Provider.IDENTITY, ""), KeyRef(Provider.AESGCM, "a:b"), KeyRef(Provider.KMS, "vault"))
    store.note_backup(replace(_SNAPSHOT, needs=needs))
    assert store.backups()[0].needs == needs


def test_nothing_that_the_store_hands_out_shows_key_bytes(store: KeyStore) -> None:
    record = store.put(_KEY, origin="generated")
    shown = f"{record!r} {store.records()!r} {store.get(_KEY.ref)!r} {store!r} {store.location}"
    assert "\\x01\\x02" not in shown
    assert "AAEC" not in shown


def test_what_a_rotation_has_proven_of_writes_is_kept_beside_the_states(store: KeyStore) -> None:
    store.put(_KEY, origin="imported")
    first, last = Moment(40, "2026-11-20T10:00:00+00:00"), Moment(80, "2026-11-21T09:00:00+00:00")
    assert store.note_writes(_KEY.ref, first=first).first_write == first
    store.note_state(_KEY.ref, "deactivated")
    store.note_writes(_KEY.ref, first=Moment(60, "later"), last=last)
    (record,) = store.records()
    assert (record.first_write, record.last_write, record.state) == (first, last, "deactivated")
    with pytest.raises(UnusableInputError, match="there is no key"):
        store.note_writes(_SECOND.ref, first=first)


def test_a_whole_life_is_restored_as_it_was_and_a_second_time_changes_nothing(store: KeyStore) -> None:
    other = MemoryKeyStore(clock=lambda: datetime(2025, 1, 1, tzinfo=UTC))
    other.put(_KEY, origin="generated")
    other.note_state(_KEY.ref, "active")
    other.put(_SECOND, origin="imported")
    other.note_state(_SECOND.ref, "deactivated")
    gone = other.destroy(_SECOND.ref)
    lived = other.note_writes(_KEY.ref, first=Moment(40, "2025-01-02T00:00:00+00:00"))
    for _ in range(2):
        assert store.restore(lived, _KEY) == lived
        assert store.restore(gone, None) == gone
    assert store.records() == (lived, gone)
    assert (store.get(_KEY.ref), store.get(_SECOND.ref)) == (_KEY, None)
    with pytest.raises(RefusedError, match="was destroyed"):
        store.put(_SECOND, origin="imported")


def test_another_life_of_a_key_is_not_restored_over_the_one_that_is_there(store: KeyStore) -> None:
    record = store.put(_KEY, origin="imported")
    other = MemoryKeyStore(clock=lambda: datetime(2025, 1, 1, tzinfo=UTC)).put(_OTHER_BYTES, origin="imported")
    with pytest.raises(RefusedError) as caught:
        store.restore(other, _OTHER_BYTES)
    assert caught.value.rule == "R5"
    assert (store.records(), store.get(_KEY.ref)) == ((record,), _KEY)


def test_what_opened_a_backup_and_what_a_test_has_proven_comes_back(store: KeyStore) -> None:
    prints = ((_KEY.ref, _KEY.fingerprint), (KeyRef(Provider.AESGCM, "a:b"), "00" * 16))
    tested = replace(_SNAPSHOT, fingerprints=prints, tested=Proven("2026-11-21T12:00:00+00:00", Proof.SERVED))
    escrow = replace(tested, kind=BackupKind.ESCROW, location="/mnt/keys.age", revision=0)
    for one in (tested, escrow):
        store.note_backup(one)
    assert store.backups() == (tested, escrow)
