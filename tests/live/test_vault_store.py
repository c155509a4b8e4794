"""The key store on a real OpenBao: killed at every request, raced, tampered with, restored to an earlier day."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from keyctl.errors import KeyctlError, RefusedError, UnreachableError, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind
from keyctl.keys.key import Key, Provider
from keyctl.keys.ledger import KeyRecord
from keyctl.keys.vault.settings import VaultServer
from keyctl.keys.vault.store import VaultKeyStore
from keyctl.keys.vault.transport import Answer, Transport, UnansweredError
from tests.support import bao_store
from tests.support.killed_calls import killed_at_every_call
from tests.support.openbao import RunningBao, fields, items

pytestmark = pytest.mark.live

_KEY = Key(Provider.AESCBC, "key1", bytes(range(32)))
_OTHER_BYTES = Key(Provider.AESCBC, "key1", bytes(32))
_BACKUP = Backup(BackupKind.SNAPSHOT, "/backup/a.db", "2026-11-21T10:00:00+00:00", 117, (_KEY.ref,), "ab" * 32)
_ENTRY = "clusters/prod/keys/aescbc.key1"
_LEDGER = "clusters/prod/ledger"


@pytest.fixture
def store(bao: RunningBao, mount: str, tmp_path: Path) -> VaultKeyStore:
    return bao_store.store(bao, mount, tmp_path)


def erase_all(bao: RunningBao, mount: str, folder: Path) -> None:
    for path in (_ENTRY, _LEDGER):
        bao.ask("DELETE", f"{mount}/metadata/{path}")
    (folder / "vault-ledger.json").unlink(missing_ok=True)


def entry(bao: RunningBao, mount: str, path: str = _ENTRY) -> dict[str, object]:
    return fields(bao.ask("GET", f"{mount}/data/{path}")["data"])


def test_a_put_killed_at_any_request_is_complete_or_undone_for_the_next_run(bao, mount, tmp_path):
    def act(transport: Callable[[VaultServer], Transport]) -> object:
        return bao_store.store(bao, mount, tmp_path, transport=transport).put(_KEY, origin="generated")

    kills, completed = 0, 0
    for moment in killed_at_every_call(act):
        kills += 1
        stored = bao.status_of("GET", f"{mount}/data/{_ENTRY}") == 200
        found = bao_store.store(bao, mount, tmp_path).records()
        assert [record.ref for record in found] == ([_KEY.ref] if stored else []), moment
        completed += stored
        record = bao_store.store(bao, mount, tmp_path).put(_KEY, origin="generated")
        again = bao_store.store(bao, mount, tmp_path)
        assert again.records() == (record,), moment
        assert again.get(_KEY.ref) == _KEY
        assert items(fields(entry(bao, mount, _LEDGER)["data"])["pending"]) == []
        assert fields(entry(bao, mount)["metadata"])["version"] == 1, moment
        annotated = fields(fields(bao.ask("GET", f"{mount}/metadata/{_ENTRY}")["data"])["custom_metadata"])
        assert annotated["fingerprint"] == _KEY.fingerprint, moment
        erase_all(bao, mount, tmp_path)
    assert kills > 12
    assert 2 < completed < kills


def test_a_destruction_killed_at_any_request_left_the_whole_key_or_is_finished_by_the_next_run(bao, mount, tmp_path):
    def ready() -> None:
        store = bao_store.store(bao, mount, tmp_path)
        store.put(_KEY, origin="imported")
        store.note_state(_KEY.ref, "deactivated")

    def act(transport: Callable[[VaultServer], Transport]) -> object:
        return bao_store.store(bao, mount, tmp_path, transport=transport).destroy(_KEY.ref)

    ready()
    seen = set()
    for moment in killed_at_every_call(act):
        store = bao_store.store(bao, mount, tmp_path)
        (record,) = store.records()
        seen.add(record.state)
        assert store.get(_KEY.ref) == (None if record.state == "destroyed" else _KEY), moment
        assert (bao.status_of("GET", f"{mount}/data/{_ENTRY}") == 200) == (record.state != "destroyed"), moment
        assert [step.state for step in store.destroy(_KEY.ref).history] == ["active", "deactivated", "destroyed"]
        assert bao.status_of("GET", f"{mount}/data/{_ENTRY}") == 404
        erase_all(bao, mount, tmp_path)
        ready()
    assert seen == {"deactivated", "destroyed"}


@pytest.mark.parametrize("what", ["state", "backup"])
def test_a_change_of_the_ledger_killed_at_any_request_happened_or_not_and_can_be_made_again(bao, mount, tmp_path, what):
    def change(store: VaultKeyStore) -> object:
        if what == "state":
            return store.note_state(_KEY.ref, "active")
        store.note_backup(_BACKUP)
        return None

    def ready() -> None:
        bao_store.store(bao, mount, tmp_path).put(_KEY, origin="generated")

    ready()
    kills = 0
    for moment in killed_at_every_call(
        lambda transport: change(bao_store.store(bao, mount, tmp_path, transport=transport))
    ):
        kills += 1
        store = bao_store.store(bao, mount, tmp_path)
        change(store)
        assert [step.state for step in store.records()[0].history][:1] == ["pre-activation"], moment
        assert len(store.records()[0].history) == (2 if what == "state" else 1)
        assert store.backups() == (() if what == "state" else (_BACKUP,))
        erase_all(bao, mount, tmp_path)
        ready()
    assert kills > 6


def test_of_many_who_put_other_bytes_under_one_name_exactly_one_wins(bao, mount, tmp_path):
    keys = [Key(Provider.AESCBC, "key1", bytes([number]) * 32) for number in range(1, 5)]
    won: list[KeyRecord] = []
    lost: list[KeyctlError] = []

    def put(key: Key) -> None:
        try:
            won.append(bao_store.store(bao, mount, tmp_path / key.fingerprint).put(key, origin="generated"))
        except RefusedError as error:
            lost.append(error)

    threads = [threading.Thread(target=put, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error.rule for error in lost] == ["R5"] * 3
    (record,) = won
    store = bao_store.store(bao, mount, tmp_path)
    assert store.records() == (record,)
    assert store.get(_KEY.ref) in keys


def test_an_entry_that_the_ledger_does_not_know_yet_decides_what_its_name_stands_for(bao, mount, tmp_path):
    bao_store.store(bao, mount, tmp_path / "first").put(_KEY, origin="imported")
    bao.ask("DELETE", f"{mount}/metadata/{_LEDGER}")
    second = bao_store.store(bao, mount, tmp_path / "second")
    with pytest.raises(RefusedError, match="already stored with other bytes") as caught:
        second.put(_OTHER_BYTES, origin="imported")
    assert caught.value.rule == "R5"
    assert [record.fingerprint for record in second.records()] == [_KEY.fingerprint]
    assert second.get(_KEY.ref) == _KEY


def test_many_who_change_the_ledger_at_once_lose_nothing_of_each_other(bao, mount, tmp_path):
    names = [f"/backup/{number}.db" for number in range(8)]
    noted = [replace(_BACKUP, location=name) for name in names]

    def note(backup: Backup) -> None:
        bao_store.store(bao, mount, tmp_path / backup.sha256[:2]).note_backup(backup)

    threads = [threading.Thread(target=note, args=(backup,)) for backup in noted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = bao_store.store(bao, mount, tmp_path).backups()
    assert sorted(backup.location for backup in found) == names


def test_a_ledger_that_others_keep_writing_is_left_alone_after_a_while(bao, mount, tmp_path, store):
    store.put(_KEY, origin="generated")
    content = fields(entry(bao, mount, _LEDGER)["data"])

    class Overtaken(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if method == "POST" and path.endswith("/ledger"):
                bao.ask("POST", f"{mount}/data/{_LEDGER}", {"data": content})
            return super().send(method, path, body, token=token)

    before = store.records()
    with pytest.raises(RefusedError, match="somebody else keeps changing"):
        bao_store.store(bao, mount, tmp_path / "other", transport=Overtaken).note_state(_KEY.ref, "active")
    assert store.records() == before


def test_a_write_whose_answer_was_lost_is_looked_for_and_not_made_twice(bao, mount, tmp_path):
    class Deaf(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            answer = super().send(method, path, body, token=token)
            if method == "POST" and "/data/" in path:
                raise UnansweredError("no answer")
            return answer

    record = bao_store.store(bao, mount, tmp_path, transport=Deaf).put(_KEY, origin="generated")
    assert bao_store.store(bao, mount, tmp_path).records() == (record,)
    assert fields(entry(bao, mount)["metadata"])["version"] == 1
    assert fields(entry(bao, mount, _LEDGER)["data"])["seq"] == 2


def test_a_write_that_never_arrived_is_an_error_and_leaves_nothing(bao, mount, tmp_path):
    class Cut(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if method == "POST" and "/data/" in path:
                raise UnansweredError("no answer")
            return super().send(method, path, body, token=token)

    with pytest.raises(UnansweredError):
        bao_store.store(bao, mount, tmp_path, transport=Cut).put(_KEY, origin="generated")
    assert bao_store.store(bao, mount, tmp_path).records() == ()


def test_an_intent_that_came_to_nothing_is_dropped_when_its_run_must_be_dead(bao, mount, tmp_path):
    class Cut(Transport):
        def send(
            self, method: str, path: str, body: Mapping[str, object] | None = None, *, token: str | None = None
        ) -> Answer:
            if method == "POST" and "/keys/" in path:
                raise UnansweredError("no answer")
            return super().send(method, path, body, token=token)

    with pytest.raises(UnansweredError):
        bao_store.store(bao, mount, tmp_path, transport=Cut).put(_KEY, origin="generated")
    for age, left in ((timedelta(minutes=59), 1), (timedelta(minutes=61), 0)):
        assert bao_store.store(bao, mount, tmp_path, now=bao_store.NOW + age).records() == ()
        assert len(items(fields(entry(bao, mount, _LEDGER)["data"])["pending"])) == left


def test_no_key_is_lost_where_the_engine_keeps_one_version_only(bao, tmp_path):
    mount = bao.engine(f"narrow-{tmp_path.name[-8:].strip('-_')}", max_versions=1)
    store = bao_store.store(bao, mount, tmp_path)
    keys = [Key(Provider.SECRETBOX, f"key{number}", bytes([number]) * 32) for number in range(12)]
    for key in keys:
        store.put(key, origin="imported")
        store.note_state(key.ref, "deactivated")
    assert [store.get(key.ref) for key in keys] == keys
    assert [len(record.history) for record in store.records()] == [2] * 12


def test_an_engine_that_lets_entries_expire_gets_no_key(bao, tmp_path):
    mount = bao.engine(f"fading-{tmp_path.name[-8:].strip('-_')}", delete_version_after="1h")
    with pytest.raises(RefusedError, match="expire") as caught:
        bao_store.store(bao, mount, tmp_path).put(_KEY, origin="generated")
    assert "delete_version_after=0s" in caught.value.hints[0]
    with pytest.raises(RefusedError, match="expire"):
        bao_store.store(bao, mount, tmp_path).note_backup(_BACKUP)
    assert [bao.status_of("GET", f"{mount}/data/{path}") for path in (_ENTRY, _LEDGER)] == [404, 404]


def test_an_entry_that_got_an_expiry_of_its_own_is_refused_when_it_is_written(bao, mount, tmp_path, store):
    store.put(_KEY, origin="generated")
    bao.ask("POST", f"{mount}/metadata/{_LEDGER}", {"delete_version_after": "1h"})
    with pytest.raises(RefusedError, match="expire"):
        store.note_state(_KEY.ref, "active")


def test_an_overwritten_key_is_noticed_and_the_hint_brings_it_back(bao, mount, store):
    store.put(_KEY, origin="imported")
    changed = {**fields(entry(bao, mount)["data"])}
    other = replace(_OTHER_BYTES)
    changed |= {"material": "AA" * 21 + "A=", "fingerprint": other.fingerprint}
    bao.ask("POST", f"{mount}/data/{_ENTRY}", {"data": changed, "options": {"cas": 1}})
    with pytest.raises(UnusableInputError, match="is damaged") as caught:
        store.get(_KEY.ref)
    assert "another key than the one in the ledger; it was written 2 times" in str(caught.value.cause)
    assert f"bao kv rollback -mount={mount} -version=1 {_ENTRY}" in caught.value.hints[0]
    first = fields(fields(bao.ask("GET", f"{mount}/data/{_ENTRY}?version=1")["data"])["data"])
    bao.ask("POST", f"{mount}/data/{_ENTRY}", {"data": first, "options": {"cas": 2}})
    assert store.get(_KEY.ref) == _KEY


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"material": "AAEC"}, "no whole key"),
        ({"material": "not base64 !"}, "no whole key"),
        ({"format": "keyctl/key/v9"}, "no whole key"),
        ({"name": "key2"}, "which has an entry of its own"),
        ({"fingerprint": "0" * 32}, "does not have the fingerprint"),
        ({"cluster": "test"}, "belongs to cluster"),
    ],
)
def test_a_tampered_entry_is_refused_without_a_word_of_the_key(bao, mount, store, change, says):
    store.put(_KEY, origin="imported")
    bao.ask(
        "POST",
        f"{mount}/data/{_ENTRY}",
        {"data": {**fields(entry(bao, mount)["data"]), **change}, "options": {"cas": 1}},
    )
    with pytest.raises(UnusableInputError) as caught:
        store.get(_KEY.ref)
    told = f"{caught.value} {caught.value.cause} {caught.value.hints} {caught.value.__context__!r}"
    assert says in told
    assert "AAECAwQF" not in told


def test_a_deleted_entry_says_how_to_bring_it_back(bao, mount, store):
    store.put(_KEY, origin="imported")
    bao.ask("DELETE", f"{mount}/data/{_ENTRY}")
    with pytest.raises(UnusableInputError, match="is deleted") as caught:
        store.get(_KEY.ref)
    assert f"bao kv undelete -mount={mount} -versions=1 {_ENTRY}" in caught.value.hints[0]
    with pytest.raises(UnusableInputError, match="is deleted"):
        store.put(_KEY, origin="imported")
    bao.ask("POST", f"{mount}/undelete/{_ENTRY}", {"versions": [1]})
    assert store.get(_KEY.ref) == _KEY


def test_an_entry_that_somebody_destroyed_is_told_from_one_that_is_deleted_or_missing(bao, mount, store):
    store.put(_KEY, origin="imported")
    bao.ask("POST", f"{mount}/destroy/{_ENTRY}", {"versions": [1]})
    with pytest.raises(UnusableInputError, match="is destroyed"):
        store.get(_KEY.ref)
    bao.ask("DELETE", f"{mount}/metadata/{_ENTRY}")
    with pytest.raises(UnusableInputError, match="is missing"):
        store.get(_KEY.ref)


def test_an_erased_entry_is_stored_again_from_the_same_bytes_and_from_no_others(bao, mount, store):
    record = store.put(_KEY, origin="imported")
    bao.ask("DELETE", f"{mount}/metadata/{_ENTRY}")
    with pytest.raises(RefusedError, match="other bytes"):
        store.put(_OTHER_BYTES, origin="imported")
    assert store.put(_KEY, origin="imported") == record
    assert store.get(_KEY.ref) == _KEY


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ledger": "{}\n"}, "is damaged"),
        ({"seq": "3"}, "is damaged"),
        ({"pending": [["aescbc"]]}, "is damaged"),
        ({"format": "other"}, "is damaged"),
        ({"cluster": "test"}, 'belongs to cluster "test"'),
    ],
)
def test_a_ledger_that_keyctl_would_not_have_written_is_refused(bao, mount, tmp_path, store, change, says):
    store.put(_KEY, origin="imported")
    content = {**fields(entry(bao, mount, _LEDGER)["data"]), **change}
    bao.ask("POST", f"{mount}/data/{_LEDGER}", {"data": content})
    with pytest.raises(UnusableInputError, match=says):
        bao_store.store(bao, mount, tmp_path / "elsewhere").records()


def test_a_ledger_that_is_deleted_or_destroyed_is_no_empty_one(bao, mount, store):
    store.put(_KEY, origin="imported")
    bao.ask("DELETE", f"{mount}/data/{_LEDGER}")
    with pytest.raises(UnusableInputError, match=r"ledger .* is deleted"):
        store.records()
    bao.ask("POST", f"{mount}/destroy/{_LEDGER}", {"versions": [2]})
    with pytest.raises(UnusableInputError, match=r"ledger .* is destroyed"):
        store.records()


def test_a_vault_of_an_earlier_day_is_refused_until_somebody_says_that_it_is_right(bao, mount, tmp_path, store):
    store.put(_KEY, origin="imported")
    earlier = fields(entry(bao, mount, _LEDGER)["data"])
    store.note_state(_KEY.ref, "deactivated")
    bao.ask("POST", f"{mount}/data/{_LEDGER}", {"data": earlier})
    for act in (store.records, lambda: store.put(_KEY, origin="imported"), store.backups):
        with pytest.raises(RefusedError, match="older than it was") as caught:
            act()
    assert caught.value.cause == "its key ledger is at write 2, and this machine has seen write 3"
    assert str(tmp_path / "vault-ledger.json") in caught.value.hints[1]
    (tmp_path / "vault-ledger.json").unlink()
    assert [record.state for record in store.records()] == ["active"]


def test_a_vault_whose_ledger_is_gone_is_one_of_an_earlier_day_too(bao, mount, store):
    store.put(_KEY, origin="imported")
    bao.ask("DELETE", f"{mount}/metadata/{_LEDGER}")
    with pytest.raises(RefusedError, match="older than it was"):
        store.records()


@pytest.mark.parametrize("on_top", [0, 1])
def test_a_ledger_with_another_past_is_refused(bao, mount, tmp_path, store, on_top):
    store.put(_KEY, origin="imported")
    other = bao_store.store(bao, mount, tmp_path / "other")
    earlier = fields(entry(bao, mount, _LEDGER)["data"])
    store.note_state(_KEY.ref, "suspended")
    bao.ask("POST", f"{mount}/data/{_LEDGER}", {"data": earlier})
    for state in ("deactivated", "compromised")[: 1 + on_top]:
        other.note_state(_KEY.ref, state)
    with pytest.raises(RefusedError, match="another past"):
        store.records()


def test_a_store_that_is_only_read_changes_nothing_here_or_there(bao, mount, tmp_path):
    reader = bao_store.store(bao, mount, tmp_path / "reader", only_read=True)
    assert reader.records() == ()
    bao_store.store(bao, mount, tmp_path).put(_KEY, origin="imported")
    assert reader.get(_KEY.ref) == _KEY
    assert not (tmp_path / "reader").exists()
    for act in (
        lambda: reader.put(_KEY, origin="imported"),
        lambda: reader.note_state(_KEY.ref, "active"),
        lambda: reader.note_backup(_BACKUP),
    ):
        with pytest.raises(RuntimeError, match="read only"):
            act()


def test_names_that_are_no_plain_paths_are_kept_apart_and_a_name_that_reads_like_a_key_shows_nowhere(bao, mount, store):
    names = ["../ledger", "a/b", "a b", "ä?#%", "", "A", "a", "x" * 300, "RGVjb2RlIG1lIGlmIHlvdSBjYW4gMTIzNDU2Nzg5MDE"]
    keys = [Key(Provider.AESGCM, name, bytes([number]) * 32) for number, name in enumerate(names, 1) if name]
    for key in keys:
        store.put(key, origin="imported")
    assert [store.get(key.ref) for key in keys] == keys
    listed = bao.ask("LIST", f"{mount}/metadata/clusters/prod/keys")
    assert len(items(fields(listed["data"])["keys"])) == len(keys)
    assert names[-1] not in json.dumps(listed)


def test_a_token_that_may_not_destroy_changes_nothing(bao, mount, tmp_path, store):
    store.put(_KEY, origin="imported")
    before = store.note_state(_KEY.ref, "deactivated")
    rules = f'path "{mount}/*" {{ capabilities = ["create", "update", "read"] }}\n'
    rules += f'path "{mount}/destroy/*" {{ capabilities = ["deny"] }}'
    weak = bao_store.store(bao, mount, tmp_path, token=bao.token(bao.policy(f"weak-{mount}", rules)))
    with pytest.raises(UnreachableError, match="may not destroy"):
        weak.destroy(_KEY.ref)
    assert store.records() == (before,)
    assert store.get(_KEY.ref) == _KEY


def test_no_log_of_anybody_has_a_key_or_a_token(bao, mount, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        store = bao_store.store(bao, mount, tmp_path)
        store.put(_KEY, origin="imported")
        store.get(_KEY.ref)
        bao.ask("DELETE", f"{mount}/data/{_ENTRY}")
        with pytest.raises(UnusableInputError):
            store.get(_KEY.ref)
    assert f"/v1/{mount}/data/{_ENTRY}" in caplog.text, "the logs of libraries are looked at, too"
    material = _KEY.material
    for secret in (base64.b64encode(material).decode(), material.hex(), repr(material)[2:-1], bao.root):
        assert secret not in caplog.text
