"""`keyctl snapshot` as a user meets it: a real etcd, the file, its manifest, and what is said of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from collections.abc import Generator
from pathlib import Path

import pytest
import trustme

from tests.support import seal
from tests.support.encryption_file import key_texts, leaks, write_config
from tests.support.etcd_process import RunningEtcd, running_etcd
from tests.support.etcd_writer import EtcdWriter
from tests.support.hints import wrong_hints
from tests.support.shell import Shell

pytestmark = pytest.mark.live

OLD, NEW = seal.key("old", fill=1), seal.key("new", fill=2)
SECRETS, PLAIN = 30, 5


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), trustme.CA()) as running:
        with EtcdWriter(running) as writer:
            writer.put(values().items())
            writer.put([(b"/bootstrap/abc", b"somebody else's")])
        yield running


def values() -> dict[bytes, bytes]:
    """Secrets under two keys, and ConfigMaps in plaintext."""
    found = {}
    for number in range(SECRETS):
        key = b"/registry/secrets/default/s%02d" % number
        found[key] = seal.seal(NEW if number % 3 else OLD, key, seal.secret(f"s{number:02}"))
    for number in range(PLAIN):
        found[b"/registry/configmaps/default/c%d" % number] = seal.config_map(f"c{number}")
    return found


@pytest.fixture
def shell(etcd: RunningEtcd, tmp_path: Path) -> Generator[Shell]:
    access = {"ENDPOINTS": etcd.url, "CACERT": etcd.tls.ca, "CERT": etcd.tls.cert, "KEY": etcd.tls.key}
    shell = Shell(tmp_path, {f"ETCDCTL_{name}": str(value) for name, value in access.items()})
    write_config(tmp_path / "enc.yaml", NEW, OLD)
    yield shell
    assert wrong_hints(shell.said) == []
    manifests = tmp_path.glob("*.keyctl.json")
    assert leaks(key_texts([tmp_path / "enc.yaml"]), shell.said, manifests) == []


def save(shell: Shell, name: str = "s.db") -> dict[str, object]:
    """Save with the configuration; the manifest as it stands beside the file."""
    ran = shell.keyctl("snapshot", "save", name, "--encryption-config", "enc.yaml")
    assert ran.code == 0, ran.stderr
    manifest = json.loads((shell.folder / f"{name}.keyctl.json").read_text())
    assert isinstance(manifest, dict)
    return manifest


def test_a_snapshot_is_saved_whole_with_a_manifest_that_tells_what_it_needs(
    etcd: RunningEtcd, shell: Shell, tmp_path: Path
) -> None:
    manifest = save(shell)
    path = tmp_path / "s.db"
    content = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "s.db.keyctl.json").stat().st_mode) == 0o600
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert manifest["sha256"] == content[-32:].hex()
    assert manifest["size"] == len(content)
    header = json.loads(etcd.etcdctl("get", "nothing", "-w", "json").stdout)["header"]
    told = manifest["etcd"]
    assert isinstance(told, dict)
    assert (int(told["clusterId"], 16), told["revision"]) == (header["cluster_id"], header["revision"])
    assert manifest["keys"] == [
        {"provider": "aescbc", "version": "v1", "name": key.name, "keyId": None, "fingerprint": key.fingerprint}
        | {"values": count, "opened": count}
        for key, count in ((NEW, 20), (OLD, 10))
    ]
    assert manifest["resources"] == [
        {"resource": "configmaps", "values": PLAIN, "plaintext": PLAIN},
        {"resource": "secrets", "values": SECRETS, "plaintext": 0},
    ]


def test_what_was_saved_is_verified_and_a_changed_byte_or_manifest_is_not(shell: Shell, tmp_path: Path) -> None:
    manifest = save(shell)
    right = shell.keyctl("snapshot", "verify", "s.db", "-o", "json")
    assert right.code == 0
    (told,) = json.loads(right.stdout)["snapshots"]
    assert (told["manifest"], told["integrity"], told["values"]) == ("matches", "sha256-ok", SECRETS + PLAIN + 1)

    raw = bytearray((tmp_path / "s.db").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "flipped.db").write_bytes(raw)
    (tmp_path / "cut.db").write_bytes(raw[:-4096])
    shutil.copy(tmp_path / "s.db", tmp_path / "moved.db")
    counts = [{"resource": "secrets", "values": SECRETS - 1, "plaintext": 0}]
    (tmp_path / "moved.db.keyctl.json").write_text(json.dumps(manifest | {"resources": counts}))
    wrong = shell.keyctl("snapshot", "verify", "flipped.db", "s.db", "cut.db", "moved.db", "nowhere.db", "-o", "json")
    assert wrong.code == 3
    report = json.loads(wrong.stdout)
    assert [one["sound"] for one in report["snapshots"]] == [False, True, False, False, False]
    assert {(one["id"], one["location"]["file"]) for one in report["findings"]} == {
        ("KC-SNAP-001", "flipped.db"),
        ("KC-SNAP-001", "cut.db"),
        ("KC-SNAP-001", "nowhere.db"),
        ("KC-SNAP-002", "moved.db"),
    }


def test_a_database_that_was_copied_from_a_disk_is_sound_and_said_to_have_no_digest(
    shell: Shell, tmp_path: Path
) -> None:
    save(shell)
    (tmp_path / "raw.db").write_bytes((tmp_path / "s.db").read_bytes()[:-32])
    ran = shell.keyctl("snapshot", "verify", "raw.db")
    assert ran.code == 0
    assert "without a SHA-256" in ran.stdout
    assert "KC-SNAP-004" in ran.stdout


def test_nothing_is_overwritten(shell: Shell, tmp_path: Path) -> None:
    for taken in ("a.db", "b.db.keyctl.json"):
        (tmp_path / taken).write_text("mine")
    for name in ("a.db", "b.db"):
        ran = shell.keyctl("snapshot", "save", name)
        assert ran.code == 5
        assert "exists already" in ran.stderr
    assert {(tmp_path / name).read_text() for name in ("a.db", "b.db.keyctl.json")} == {"mine"}
    assert not (tmp_path / "b.db").exists()


def test_a_snapshot_whose_values_do_not_open_stays_and_is_told_loudly(shell: Shell, tmp_path: Path) -> None:
    write_config(tmp_path / "other.yaml", NEW)
    ran = shell.keyctl("snapshot", "save", "s.db", "--encryption-config", "other.yaml", "-o", "json")
    assert ran.code == 12
    assert (tmp_path / "s.db").exists()
    report = json.loads(ran.stdout)
    assert report["unread"] == 10
    assert {key["name"]: key["fingerprint"] for key in report["manifest"]["keys"]} == {
        "new": NEW.fingerprint,
        "old": None,
    }


def test_a_prefix_under_which_nothing_stands_is_no_success(shell: Shell) -> None:
    ran = shell.keyctl("snapshot", "save", "s.db", "--etcd-prefix", "/elsewhere", "--encryption-config", "enc.yaml")
    assert ran.code == 10
    assert "/registry (35)" in ran.stdout


def test_what_is_in_a_snapshot_is_shown(etcd: RunningEtcd, shell: Shell, tmp_path: Path) -> None:
    save(shell)
    ran = shell.keyctl("snapshot", "inspect", "s.db", "--encryption-config", "enc.yaml", "-o", "json")
    assert ran.code == 0
    report = json.loads(ran.stdout)
    assert {key["name"]: (key["fingerprint"], key["values"], key["opened"]) for key in report["keys"]} == {
        "new": (NEW.fingerprint, 20, 20),
        "old": (OLD.fingerprint, 10, 10),
    }
    assert report["outsideOfPrefix"] == [{"prefix": "/bootstrap", "keys": 1}]
    assert [member["name"] for member in report["members"]] == ["one"]
    assert (report["compactRevision"], report["authEnabled"], report["plaintext"]) == (0, None, 0)
    assert report["coverage"]["history"] == report["coverage"]["freePages"] == "scanned"
    text = shell.keyctl("snapshot", "inspect", "s.db").stdout
    assert "no encryption configuration was given" in text
    assert "never compacted" in text


def test_users_and_roles_are_shown_without_the_hash(tmp_path: Path) -> None:
    with running_etcd(tmp_path, trustme.CA()) as etcd:
        etcd.etcdctl("user", "add", "ann:very-secret")
        etcd.etcdctl("role", "add", "reader")
        etcd.etcdctl("role", "grant-permission", "reader", "--prefix=true", "read", "/registry/")
        etcd.etcdctl("user", "grant-role", "ann", "reader")
        etcd.etcdctl("snapshot", "save", str(tmp_path / "s.db"))
    shell = Shell(tmp_path)
    report = json.loads(shell.keyctl("snapshot", "inspect", "s.db", "-o", "json").stdout)
    assert report["users"] == [{"name": "ann", "roles": ["reader"], "password": True}]
    assert report["roles"] == [
        {"name": "reader", "permissions": [{"type": "read", "key": "/registry/", "rangeEnd": "/registry0"}]}
    ]
    assert "$2a$" in (tmp_path / "s.db").read_bytes().decode(errors="replace")
    shell.keyctl("snapshot", "inspect", "s.db")
    assert not any("$2a$" in text for text in shell.said)


def test_an_etcd_for_some_resources_is_saved_beside_the_main_one(etcd: RunningEtcd, tmp_path: Path) -> None:
    def access(one: RunningEtcd) -> dict[str, object]:
        files = {"cacert": one.tls.ca, "cert": one.tls.cert, "key": one.tls.key}
        return {"endpoints": [one.url]} | {name: str(path) for name, path in files.items()}

    (tmp_path / "events").mkdir()
    with running_etcd(tmp_path / "events", trustme.CA()) as events:
        with EtcdWriter(events) as writer:
            writer.put([(b"/registry/events/default/e", seal.stored("v1", "Event", "e"))])
        cluster = {
            "apiVersion": "keyctl/v1",
            "kind": "Cluster",
            "name": "two",
            "etcd": access(etcd) | {"overrides": [{"resources": ["events"]} | access(events)]},
            "keys": {"store": "file", "directory": "keys"},
        }
        (tmp_path / "keyctl.yaml").write_text(json.dumps(cluster))
        write_config(tmp_path / "enc.yaml", NEW, OLD)
        shell = Shell(tmp_path)
        ran = shell.keyctl("snapshot", "save", "all.db", "--encryption-config", "enc.yaml", "-o", "json")
        assert ran.code == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert [(one["file"], one["manifest"]["values"]) for one in report["snapshots"]] == [
            ("all.db", SECRETS + PLAIN),
            ("all.events.db", 1),
        ]
        assert len({one["manifest"]["etcd"]["clusterId"] for one in report["snapshots"]}) == 2
        whole = shell.keyctl("snapshot", "verify", "all.db", "all.events.db", "-o", "json")
        assert {one["manifest"] for one in json.loads(whole.stdout)["snapshots"]} == {"matches"}
    gone = shell.keyctl("snapshot", "save", "half.db", "--encryption-config", "enc.yaml")
    assert gone.code == 6
    assert "events was NOT saved" in gone.stdout
    assert "KC-SNAP-007" in gone.stdout
    assert (tmp_path / "half.db").exists()
    assert not (tmp_path / "half.events.db").exists()
    assert wrong_hints(shell.said) == []
