"""`keyctl audit --backups`: real files are read from end to end, opened with the keys at hand, and judged."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyctl.audit.facts import About, Placed, Unread
from keyctl.audit.inputs import InputFile
from keyctl.audit.live.backup_files import SnapshotRead, look_through
from keyctl.audit.live.backups import BackupPlace, RawKey, Snapshot
from keyctl.backup import manifest as manifests
from keyctl.backup.register import note_test
from keyctl.cli import audited_backups, auditing, main
from keyctl.errors import ExitCode, UnusableInputError
from keyctl.keys.backups import Backup, BackupKind, Proof, Proven
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key
from tests.support import seal
from tests.unit.backup.databases import Written, snapshot
from tests.unit.stored.test_lease_times import lease

NOW = datetime.now(UTC)
KEY, OTHER = seal.key("key1"), seal.key("key1", fill=2)
AT = b"/registry/secrets/default/a"
LEASE = b"/registry/leases/kube-system/a"
SEALED: list[Written] = [(AT, seal.seal(KEY, AT, seal.secret("a")), 2)]
RENEWED: Written = (LEASE, lease(int((NOW - timedelta(hours=1)).timestamp())), 3)
JUDGED = ("001", "002", "003", "005", "006", "007")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that everything is in; of the cluster only the key store is looked at."""
    monkeypatch.chdir(tmp_path)
    of_keys = [one for one in auditing._COLLECTORS if About.KEY in one.about]
    monkeypatch.setattr(auditing, "_COLLECTORS", of_keys)
    (tmp_path / "backups").mkdir()
    return tmp_path


def saved(name: str = "a.db", written: list[Written] | None = None) -> Path:
    return snapshot(Path("backups", name), SEALED if written is None else written)


def described(path: Path, hours: float = 1, **changes: object) -> Path:
    """The manifest beside `path`, saved so many `hours` ago."""
    size = path.stat().st_size
    document = {
        "apiVersion": manifests.API_VERSION, "kind": manifests.KIND, "size": size,
        "sha256": path.read_bytes()[-32:].hex(), "at": (NOW - timedelta(hours=hours)).isoformat(),
        "etcd": {"revision": 2}, "prefix": "/registry", "values": 1,
        "resources": [{"resource": "secrets", "values": 1, "plaintext": 0}],
    }  # fmt: skip
    beside = manifests.beside(path)
    beside.write_text(json.dumps(document | changes))
    return beside


def kept(*keys: Key) -> FileKeyStore:
    """The key store of the cluster file, with these keys in use."""
    store = FileKeyStore(Path("keys").absolute(), cluster="prod", clock=lambda: NOW)
    for key in keys:
        store.put(key, origin="imported")
    return store


def cluster() -> str:
    keys = {"store": "file", "directory": "keys"}
    etcd = {"endpoints": ["https://127.0.0.1:2379"]}
    document = {"apiVersion": "keyctl/v1", "kind": "Cluster", "name": "prod", "etcd": etcd, "apiServers": []}
    Path("keyctl.yaml").write_text(yaml.safe_dump(document | {"keys": keys}))
    return "keyctl.yaml"


def looked(*keys: Key) -> list[Placed]:
    def read(path: Path, at_hand: object) -> SnapshotRead:
        assert isinstance(at_hand, tuple)
        return audited_backups.read(path, at_hand, "/registry")

    return list(look_through([Path("backups")], read, keys=keys, now=NOW))


def one(*keys: Key) -> Snapshot:
    (found,) = (fact for fact in looked(*keys) if isinstance(fact, Snapshot))
    return found


def unread() -> dict[str | None, str]:
    return {fact.location.file: fact.reason for fact in looked() if isinstance(fact, Unread)}


def audited(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str]]:
    """The exit code, and the status of each check of backups."""
    code = main.run(["audit", "--backups", "backups", "--profile", "host", *arguments, "-o", "json"])
    shown = capsys.readouterr()
    checks = json.loads(shown.out)["checks"]
    return code, {check["id"][-3:]: check["status"] for check in checks if check["id"].startswith("KC-BKP")}


def test_a_good_backup_with_a_cluster_passes_everything(capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(written=[*SEALED, RENEWED])
    described(path, resources=[{"resource": n, "values": 1, "plaintext": 0} for n in ("secrets", "leases")], values=2,
              etcd={"revision": 3})  # fmt: skip
    store = kept(KEY)
    sha256 = path.read_bytes()[-32:].hex()
    store.note_backup(Backup(BackupKind.SNAPSHOT, str(path.absolute()), NOW.isoformat(), 3, (KEY.ref,), sha256))
    note_test(store, path, sha256, Proven(NOW.isoformat(), Proof.SERVED))
    code, found = audited(capsys, "--cluster", cluster())
    assert (code, found) == (ExitCode.OK, dict.fromkeys(JUDGED, "pass"))


def test_without_a_cluster_what_its_register_knows_is_unknown_and_the_rest_is_judged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    described(saved())
    code, found = audited(capsys)
    assert found == dict.fromkeys(JUDGED, "pass") | {"005": "unknown", "006": "unknown"}
    assert code is ExitCode.OK


def test_the_report_counts_and_names_what_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    described(saved())
    main.run(["audit", "--backups", "backups", "--profile", "host", "-o", "json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["filesLookedInto"] == 2
    assert [one["file"] for one in shown["inputs"]] == ["backups/a.db", "backups/a.db.keyctl.json"]


def test_a_directory_without_a_snapshot_is_not_clean(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = audited(capsys)
    assert (code, found["001"]) == (ExitCode.FINDINGS, "fail")
    assert "pass" not in found.values()


def test_what_another_tool_saved_is_dated_by_the_newest_lease_in_it() -> None:
    older: Written = (LEASE + b"2", lease(5), 4)
    saved(written=[*SEALED, RENEWED, older])
    found = one()
    assert (found.saved, found.renewed) == (None, (NOW - timedelta(hours=1)).replace(microsecond=0))


def test_a_manifest_of_another_file_dates_nothing_and_is_a_difference() -> None:
    path = saved()
    described(path, sha256="0" * 64)
    found = one()
    assert (found.manifest, found.saved) == (True, None)
    assert any("SHA-256" in said for said in found.wrong)


@pytest.mark.parametrize("at", ["", "yesterday", 5, None], ids=repr)
def test_a_manifest_without_a_time_dates_nothing(at: object) -> None:
    described(saved(), at=at)
    assert (one().wrong, one().saved) == ((), None)


@pytest.mark.parametrize(
    ("lost", "said"),
    [(700, "not a whole snapshot"), (1 << 30, "is empty"), (512, "")],
    ids=["cut", "emptied", "a page short"],
)
def test_a_truncated_snapshot_is_damaged_and_nothing_else_is_said_of_it(
    lost: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved()
    os.truncate(path, max(0, path.stat().st_size - lost))
    found = one()
    assert (found.content, found.saved) == (None, None)
    assert any(said in line for line in found.wrong)
    _, statuses = audited(capsys)
    assert {key: statuses[key] for key in ("001", "002", "003")} == {"001": "fail", "002": "fail", "003": "unknown"}


def test_a_changed_byte_is_damage() -> None:
    path = saved()
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert any("SHA-256" in said for said in one().wrong)


def test_plaintext_is_found_live_in_history_and_in_freed_pages(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot(Path("backups", "a.db"), [(AT, seal.secret("a"), 2), (AT, SEALED[0][1], 3)], free=[seal.secret("b")])
    main.run(["audit", "--backups", "backups", "--profile", "host"])
    shown = capsys.readouterr().out
    assert "1 value of secrets in plaintext in history" in shown
    assert "1 value of secrets in plaintext in freed pages" in shown
    saved(written=[(AT, seal.secret("a"), 2)])
    main.run(["audit", "--backups", "backups", "--profile", "host"])
    assert "1 value of secrets in plaintext, live" in capsys.readouterr().out


def test_the_key_store_opens_the_values_and_proves_which_key_they_need() -> None:
    saved()
    content = one(KEY).content
    assert content is not None
    assert [(need.ref, need.values, need.opened, need.fingerprint) for need in content.needs] == [
        (KEY.ref, 1, 1, KEY.fingerprint)
    ]
    wrong = one(OTHER).content
    assert wrong is not None
    assert [(need.opened, need.fingerprint) for need in wrong.needs] == [(0, None)]
    assert wrong.tried == {OTHER.fingerprint}


def test_a_key_of_the_same_name_that_opens_nothing_is_not_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    saved()
    kept(OTHER)
    _, found = audited(capsys, "--cluster", cluster())
    assert found["005"] == "fail"


@pytest.mark.parametrize("kind", ["configuration", "key file"])
def test_a_key_beside_the_backup_that_opens_it_is_found_by_its_bytes(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved()
    if kind == "configuration":
        Path("backups/etc").mkdir()
        Path("backups/etc/enc.yaml").write_text(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
            "- resources: [secrets]\n  providers:\n  - aescbc:\n"
            f"      keys: [{{name: key1, secret: {seal_text(KEY)}}}]\n"
        )
    else:
        FileKeyStore(Path("backups/keys").absolute(), cluster="prod", clock=lambda: NOW).put(KEY, origin="imported")
    (key,) = (fact for fact in looked() if isinstance(fact, RawKey))
    assert (key.ref, key.fingerprint) == (KEY.ref, KEY.fingerprint)
    kept(KEY)
    code, found = audited(capsys, "--cluster", cluster())
    assert (code, found["005"]) == (ExitCode.FINDINGS, "fail")
    assert seal_text(KEY) not in repr(looked())


def seal_text(key: Key) -> str:
    return base64.b64encode(key.material).decode()


@pytest.mark.parametrize("content", ["keyctl/key/v1", '{"format": "keyctl/key/v1"}', "[" * 9000 + "keyctl/key/v1"])
def test_what_only_speaks_of_a_key_file_is_none(content: str) -> None:
    Path("backups/x.json").write_text(content)
    assert [fact for fact in looked() if isinstance(fact, RawKey)] == []


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: etcd\n    command: [etcd, --data-dir=/x]\n",
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: '{{ later }}'\n",
    ],
    ids=["something else", "no configuration that a server takes"],
)
def test_a_file_beside_without_a_key_brings_none(text: str) -> None:
    Path("backups/x.yaml").write_text(text)
    assert [fact for fact in looked() if isinstance(fact, RawKey)] == []


def test_a_manifest_that_came_after_the_file_was_read_says_nothing_of_it() -> None:
    path = saved()
    described(path)
    sha256 = path.read_bytes()[-32:].hex()
    assert audited_backups._claims(path, sha256) is not None
    assert audited_backups._claims(path, "0" * 64) is None


def test_what_cannot_be_looked_into_makes_the_checks_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    described(saved())
    Path("backups/snap.db.gz").write_bytes(b"\x1f\x8b" + bytes(20))
    Path("backups/sealed.db").write_bytes(b"age-encryption.org/v1\n" + bytes(1000))
    Path("backups/pki.tar.gz").write_bytes(b"\x1f\x8b" + bytes(20))
    Path("backups/b.db.part").write_bytes(bytes(20))
    Path("elsewhere").mkdir()
    Path("backups/more").symlink_to(Path("elsewhere").absolute())
    assert {Path(str(file)).name for file in unread()} == {"snap.db.gz", "sealed.db", "b.db.part", "more"}
    _, found = audited(capsys)
    assert set(found.values()) == {"unknown"}


def refusing(name: str, really: Callable[..., Any]) -> Callable[..., Any]:
    """`really`, but for paths that end in `name`, which root is refused, too."""

    def call(path: Any, *arguments: Any, **named: Any) -> Any:
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path, *arguments, **named)

    return call


def test_a_file_that_cannot_be_opened_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    saved()
    monkeypatch.setattr(os, "open", refusing("a.db", os.open))
    assert unread() == {"backups/a.db": "permission denied"}


def test_a_folder_that_cannot_be_listed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("backups/x").mkdir()
    monkeypatch.setattr(os, "scandir", refusing("/x", os.scandir))
    assert unread() == {"backups/x": "permission denied"}


@pytest.mark.parametrize("directory", ["backups", "backups/", "."])
def test_a_directory_whose_files_cannot_be_looked_into_is_not_an_empty_one(
    directory: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("backups" if directory == "." else ".")
    Path("." if directory == "." else "backups", "snap.db.gz").write_bytes(b"\x1f\x8b" + bytes(20))
    main.run(["audit", "--backups", directory, "--profile", "host", "-o", "json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {one["status"] for one in findings if one["id"] == "KC-BKP-001"} == {"unknown"}


def test_a_directory_that_cannot_be_listed_is_not_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "scandir", refusing("backups", os.scandir))
    _, found = audited(capsys)
    assert found["001"] == "unknown"


def test_a_directory_that_nobody_may_look_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "stat", refusing("backups", os.stat))
    with pytest.raises(UnusableInputError, match="is no directory of backups"):
        looked()


def test_a_file_that_changes_while_it_is_read_is_not_judged() -> None:
    path = saved()

    def read(read_path: Path, _: object) -> SnapshotRead:
        with path.open("ab") as file:
            file.write(bytes(512))
        return SnapshotRead(sha256="x")

    found = list(look_through([Path("backups")], read, keys=(), now=NOW))
    assert [type(fact) for fact in found] == [Unread, BackupPlace]
    (changed,) = (fact for fact in found if isinstance(fact, Unread))
    assert changed.about == frozenset({About.BACKUP})
    assert "changed" in changed.reason


def test_one_file_under_two_names_is_read_once_and_a_link_to_nothing_is_no_backup() -> None:
    path = saved()
    Path("backups/latest.db").symlink_to(path.absolute())
    Path("backups/daily").symlink_to(Path("backups").absolute())
    Path("backups/gone.db").symlink_to("nothing")
    os.mkfifo("backups/pipe.db")
    found = looked()
    assert len([fact for fact in found if isinstance(fact, Snapshot)]) == 1
    assert [fact for fact in found if isinstance(fact, Unread)] == []


def test_a_directory_within_another_one_is_not_empty_for_that() -> None:
    Path("backups/new").mkdir()
    saved("new/a.db")
    found = look_through([Path("backups"), Path("backups/new")], lambda *_: SnapshotRead(), keys=(), now=NOW)
    assert [one.snapshots for one in found if isinstance(one, BackupPlace)] == [1, 1]


def test_a_snapshot_is_known_by_its_bytes_whatever_its_name() -> None:
    saved("etcd-snapshot-node-1758880000")
    assert one().location.file == "backups/etcd-snapshot-node-1758880000"


def test_every_file_that_was_read_is_named_with_its_whole_hash() -> None:
    path = saved()
    beside = described(path)
    hashes = {fact.location.file: (fact.sha256, fact.read) for fact in looked() if isinstance(fact, InputFile)}
    assert hashes == {
        str(file): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size) for file in (path, beside)
    }


@pytest.mark.parametrize("name", ["nowhere", "backups/a.db"])
def test_what_is_no_directory_is_refused(name: str) -> None:
    saved()
    with pytest.raises(UnusableInputError, match="no directory of backups"):
        audited_backups.looked_into([Path(name)], None)


def test_a_profile_that_judges_no_backups_reads_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["audit", "--backups", "backups"]) == ExitCode.USAGE
    assert "--profile host" in capsys.readouterr().err


def test_a_key_store_that_cannot_be_read_makes_all_of_it_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    described(saved())
    kept(KEY)
    Path("keys/ledger.jsonl").write_text("not a ledger\n")
    _, found = audited(capsys, "--cluster", cluster())
    assert set(found.values()) == {"unknown"}
