"""`doctor` and `status` where much is missing or damaged: one clear line each, no green light, and nothing written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.cli import main, own_manifest, wiring
from keyctl.cli.checkup import subject
from keyctl.cli.options import Connection
from keyctl.cli.verification import target
from keyctl.errors import ExitCode
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from keyctl.rotation.journal import Journal
from tests.support.effects import tree
from tests.support.encryption_file import write_config
from tests.support.hints import wrong_hints

KEY = Key(Provider.AESCBC, "key1", hashlib.sha256(b"looking").digest())
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
NOTHING = Connection(None, None, None, None, None, None)
CLUSTER = """\
apiVersion: keyctl/v1
kind: Cluster
name: prod
etcd: {endpoints: ["https://127.0.0.1:1"], cacert: ca.crt, cert: c.crt, key: c.key}
keys: {store: file, directory: keys}
backups: {directory: backups}
"""
MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: kube-apiserver
    command: [kube-apiserver, --etcd-servers=https://127.0.0.1:1, FLAGS]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is everything of this machine: home, state, cluster file, key store and a server's file."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(folder))
    for name in ("KUBECONFIG", "KEYCTL_CLUSTER", "ETCDCTL_ENDPOINTS", "ETCDCTL_CACERT", "ETCDCTL_CERT", "ETCDCTL_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wiring, "MANIFEST", folder / "kube-apiserver.yaml")
    file = write_config(folder / "enc.yaml", KEY)
    servers = f'apiServers:\n- {{name: cp1, url: "https://127.0.0.1:1", encryptionConfig: {file}}}\n'
    (folder / "keyctl.yaml").write_text(CLUSTER + servers)
    return folder


def state(home: Path) -> Path:
    """The journal's folder."""
    folder = home / "keyctl" / "prod"
    folder.mkdir(parents=True)
    return folder


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def checks(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str, str]]:
    """By label: outcome, message and fix of the last check of each in doctor's JSON."""
    document = json.loads(capsys.readouterr().out)
    return {one["label"]: (one["outcome"], one["message"], one["fix"]) for one in document["checks"]}


# -- nothing is written


def test_neither_of_them_writes_a_byte_even_where_something_was_left_half_done(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FileKeyStore(home / "keys", cluster="prod", clock=lambda: NOW)
    store.put(KEY, origin="imported")
    append(home / "keys" / "ledger.jsonl", b'{"torn')
    (home / "keys" / ".keyctl-0123456789abcdef").write_bytes(b"half a fi")
    Journal(state(home)).append("begin", NOW, {"rotation": "r", "plan": {}})
    append(home / "keyctl" / "prod" / "journal.jsonl", b'{"torn')
    before = tree(home)
    for words in (["status"], ["status", "--no-scan"], ["doctor"], ["doctor", "-o", "json"], ["doctor", "-q"]):
        assert main.run(words) == ExitCode.UNREACHABLE
        assert tree(home) == before, words
    assert "1 key, as the ledger has them" in capsys.readouterr().out


def test_doctor_writes_what_it_was_asked_to_and_nothing_beside_it(home: Path) -> None:
    FileKeyStore(home / "keys", cluster="prod", clock=lambda: NOW).put(KEY, origin="imported")
    before = tree(home)
    assert main.run(["doctor", "--bundle", "b.tgz", "--union-config", "u.yaml"]) == ExitCode.UNREACHABLE
    after = tree(home)
    assert set(after) - set(before) == {"b.tgz", "u.yaml"}
    # The folder itself has two names more.
    assert {name for name in before if after[name] != before[name]} == {"."}


def test_a_folder_that_takes_no_writing_is_looked_at_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FileKeyStore(home / "keys", cluster="prod", clock=lambda: NOW).put(KEY, origin="imported")
    main.run(["doctor", "-o", "json"])
    usual = checks(capsys)
    real = os.open

    def read_only(path: str, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system", path)
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    main.run(["doctor", "-o", "json"])
    assert checks(capsys) == usual
    assert usual["key store"][0] == "ok"


# -- no green light


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_a_cluster_file_without_servers_is_no_agreement(
    command: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "keyctl.yaml").write_text(CLUSTER)
    assert main.run([command]) == ExitCode.UNREACHABLE
    said = capsys.readouterr().out
    assert "what the API servers have loaded is not known: the cluster file lists none" in said
    assert "every server has loaded" not in said
    assert "agree" not in said


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\0", b"[1]\n{}\n", b'{"kind": "begin"}\n', b'{"kind": "begin", "rotation": 7, "plan": [1]}\n'],
    ids=["no text", "no record", "no plan", "another plan"],
)
def test_a_damaged_journal_is_one_clear_line_and_what_is_under_way_is_not_known(
    content: bytes, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state(home) / "journal.jsonl").write_bytes(content)
    for command in ("status", "doctor"):
        assert main.run([command]) == ExitCode.UNREACHABLE
        said = capsys.readouterr().out
        assert said.count("KC-ROT-014") == 1
        assert "no rotation by keyctl is under way" not in said
        assert wrong_hints([said]) == []


def test_a_journal_that_cannot_be_read_is_no_reason_to_have_no_bundle(home: Path) -> None:
    (state(home) / "journal.jsonl").mkdir()
    assert main.run(["doctor", "--bundle", "b.tgz"]) == ExitCode.UNREACHABLE
    with tarfile.open(fileobj=io.BytesIO((home / "b.tgz").read_bytes())) as archive:
        journal = archive.extractfile("keyctl-bundle/journal.jsonl")
        assert journal is not None
        assert json.loads(journal.read()) == {"problem": "the journal was not read: UnusableInputError"}


def test_where_the_journal_was_looked_for_is_said_and_off_a_cluster_file_that_it_was_not(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.run(["doctor", "-o", "json"])
    assert checks(capsys)["journal"][:2] == (
        "ok",
        f"no rotation by keyctl is under way, as {home / 'keyctl' / 'prod'} has it",
    )
    (home / "keyctl.yaml").unlink()
    wiring.MANIFEST.write_text(MANIFEST.replace("FLAGS", f"--encryption-provider-config={home}/enc.yaml"))
    main.run(["doctor", "-o", "json"])
    outcome, message, _ = checks(capsys)["journal"]
    assert outcome == "not checked"
    assert "was not looked at" in message


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(lambda keys: keys.chmod(0o750), ExitCode.FINDINGS, id="open to others"),
        pytest.param(lambda keys: (keys / "ledger.jsonl").write_text("nonsense\n"), ExitCode.FINDINGS, id="damaged"),
        pytest.param(lambda keys: keys.rename(keys.with_name("gone")), ExitCode.UNREACHABLE, id="not there"),
    ],
)
def test_a_key_store_that_cannot_be_used_is_part_of_the_answer(
    spoil: object, code: ExitCode, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FileKeyStore(home / "keys", cluster="prod", clock=lambda: NOW).put(KEY, origin="imported")
    assert callable(spoil)
    spoil(home / "keys")
    assert main.run(["status", "--no-scan"]) == code
    assert ("KC-DOC-040" in capsys.readouterr().out) == (code is ExitCode.FINDINGS)


def test_what_was_not_asked_is_not_down_and_its_fix_is_the_one_that_helps(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.run(["status"])
    assert "? unknown" in capsys.readouterr().out
    main.run(["doctor", "-o", "json"])
    found = json.loads(capsys.readouterr().out)["checks"]
    fixes = {one["message"]: one["fix"] for one in found if one["outcome"] == "not checked"}
    assert "KUBECONFIG" in fixes["not asked: no kubeconfig"]
    flags = "its flags are not known: the cluster file names no manifest for it"
    assert "apiServers[].manifest of cp1" in fixes[flags]
    assert [message for message in fixes if "flags" in message] == [flags]


def test_what_a_killed_save_left_is_shown_with_the_command_that_takes_it_away(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "backups").mkdir(mode=0o700)
    left = home / "backups" / ".a b.db.k3x_9a1z.part"
    left.write_bytes(b"x")
    main.run(["doctor", "-o", "json"])
    outcome, message, fix = checks(capsys)["snapshots"]
    assert (outcome, fix) == ("warning", f"rm '{left}'")
    assert "left of a save that was killed" in message


# -- this machine's own manifest


@pytest.fixture
def no_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    """An etcd that is built and never asked."""
    monkeypatch.setattr(wiring, "etcd", lambda settings: io.BytesIO())


def own(home: Path, *flags: str) -> None:
    (home / "keyctl.yaml").unlink(missing_ok=True)
    files = [f"--etcd-{name}={home}/{name}" for name in ("cafile", "certfile", "keyfile")]
    wiring.MANIFEST.write_text(MANIFEST.replace("FLAGS", ", ".join(f'"{flag}"' for flag in (*files, *flags))))


@pytest.mark.parametrize(
    ("given", "prefix"),
    [((), "/registry"), (("--etcd-prefix=kubernetes.io/",), "/kubernetes.io"), (("--etcd-prefix=/x",), "/x")],
)
def test_all_commands_read_the_prefix_of_a_manifest_as_kube_apiserver_does(
    given: tuple[str, ...], prefix: str, home: Path, no_etcd: None
) -> None:
    own(home, *given)
    assert subject.find(NOTHING).prefix == prefix
    with target(NOTHING, None, revision=0) as found:
        assert found.prefix == prefix


def test_an_etcd_that_several_resources_are_kept_in_is_looked_at_once(home: Path, no_etcd: None) -> None:
    second, main_again = "https://127.0.0.1:2", "https://127.0.0.1:1"
    own(home, f"--etcd-servers-overrides=/events#{second},/leases#{second},/pods#{main_again}")
    assert [name for name, _ in subject.find(NOTHING).connections] == ["", "events"]
    found = own_manifest.find()
    assert found is not None
    (other,) = found.etcd.others
    assert other.resources == ("events", "leases")
    with target(NOTHING, None, revision=0) as read:
        assert read.names == ("main", "events")
