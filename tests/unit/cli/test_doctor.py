"""`doctor` and `status` without a cluster: what they refuse, what the bundle leaves out, how checks decide the code."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import stat
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyctl.cli import main, wiring
from keyctl.cli.checkup import bundle, examine, given, hosts, keeping, rules, subject
from keyctl.cli.checkup.item import Area, Checks, exit_code_of
from keyctl.cli.checkup.report import closing, sections, to_report
from keyctl.cli.checkup.writing import write_new
from keyctl.cli.options import Connection
from keyctl.cluster_file.settings import ApiServerSettings
from keyctl.errors import ExitCode, RefusedError, UnreachableError, UnusableInputError
from keyctl.findings import Severity, Status
from keyctl.keys.file_store import FileKeyStore
from keyctl.keys.key import Key, Provider
from keyctl.reports.checklist import Mark
from keyctl.rotation.diagnosis.look import Place, keys_in, look_at
from keyctl.rotation.diagnosis.values import Trial
from keyctl.rotation.journal import Journal
from tests.support import seal
from tests.support.encryption_file import write_config
from tests.support.hints import wrong_hints
from tests.support.memory_host import MemoryHost

KEY = Key(Provider.AESCBC, "key1", hashlib.sha256(b"one").digest())
OTHER = Key(Provider.AESCBC, "key2", hashlib.sha256(b"two").digest())
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
CHECKS = Checks(Area.ETCD)
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver}
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --etcd-servers=https://127.0.0.1:1
    - --etcd-cafile=ca.crt
    - --etcd-certfile=c.crt
    - --etcd-keyfile=c.key
    - --advertise-address=127.0.0.1
    - --secure-port=1
    - --basic-auth-password=hunter2hunter2
    - --audit-endpoint=https://auditor:hunter2hunter2@127.0.0.1:3
    - --encryption-provider-config=FILE
    volumeMounts:
    - {name: enc, mountPath: DIRECTORY}
  volumes:
  - {name: enc, hostPath: {path: DIRECTORY}}
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster file, no manifest, no kubeconfig of this machine."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(folder))
    for name in ("KUBECONFIG", "KEYCTL_CLUSTER", "ETCDCTL_ENDPOINTS", "ETCDCTL_CACERT", "ETCDCTL_CERT", "ETCDCTL_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wiring, "MANIFEST", folder / "none.yaml")


def on_a_node(folder: Path, monkeypatch: pytest.MonkeyPatch, *keys: Key) -> Path:
    """This machine gets an API server's manifest and its file."""
    file = write_config(folder / "enc.yaml", *keys)
    manifest = folder / "kube-apiserver.yaml"
    manifest.write_text(MANIFEST.replace("FILE", str(file)).replace("DIRECTORY", str(folder)))
    monkeypatch.setattr(wiring, "MANIFEST", manifest)
    return file


# -- finding the cluster


@pytest.mark.parametrize("command", ["doctor", "status"])
def test_without_a_cluster_file_and_off_a_node_it_says_what_to_do(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([command]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "no cluster file, and no API server's manifest on this machine" in said
    assert wrong_hints([said]) == []


def test_on_a_node_everything_is_taken_from_the_manifest_and_what_is_not_looked_at_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_node(tmp_path, monkeypatch, KEY)
    assert main.run(["doctor", "-o", "json"]) == ExitCode.UNREACHABLE
    document = json.loads(capsys.readouterr().out)
    checks = {(check["label"], check["id"]): check for check in document["checks"]}
    assert checks["cluster file", "KC-DOC-001"]["outcome"] == "not checked"
    assert checks["key store", "KC-DOC-041"]["outcome"] == "not checked"
    assert checks["etcd", "KC-DOC-010"]["outcome"] == "failed"
    assert any("SHA-256" in check["message"] for check in document["checks"] if check["label"] == "this API server")
    assert document["values"] is None
    assert main.run(["status"]) == ExitCode.UNREACHABLE
    screen = capsys.readouterr().out
    assert "? unknown" in screen
    assert "down" not in screen
    assert "not everything could be looked at" in screen


def test_a_broken_cluster_file_is_an_error_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keyctl.yaml"
    file.write_text("apiVersion: keyctl/v1\nkind: Cluster\nnme: x\n")
    assert main.run(["doctor", "--cluster", str(file)]) == ExitCode.UNUSABLE
    assert f"{file}:3" in capsys.readouterr().err


# -- how checks decide


def test_the_exit_code_is_that_of_what_weighs_most() -> None:
    good = CHECKS.ok(rules.ETCD_REACH, "a", "fine")
    warning = CHECKS.bad(rules.ETCD_SPACE, "a", "nearly full")
    gap = CHECKS.out_of_reach(rules.ETCD_REACH, "a", "refused")
    unknown = CHECKS.unknown(rules.FILE, "a", "not read")
    wrong = CHECKS.bad(rules.ETCD_HEALTH, "a", "no leader")
    assert [item.mark for item in (good, warning, gap, unknown, wrong)] == [
        Mark.OK,
        Mark.WARNING,
        Mark.FAILED,
        Mark.NOT_CHECKED,
        Mark.FAILED,
    ]
    assert exit_code_of([good, warning]) is ExitCode.OK
    assert exit_code_of([good, gap]) is ExitCode.UNREACHABLE
    assert exit_code_of([good, unknown]) is ExitCode.UNREACHABLE
    assert exit_code_of([gap, unknown, wrong]) is ExitCode.FINDINGS


def test_an_error_of_a_check_is_told_with_its_cause_and_what_mends_it() -> None:
    error = UnreachableError("etcd does not answer", cause="tcp: refused\nmore", hint=("start it", "keyctl doctor"))
    item = CHECKS.of_error(rules.ETCD_REACH, "a", error)
    assert (item.finding.message, item.finding.fix) == (
        "etcd does not answer (tcp: refused)",
        "start it; keyctl doctor",
    )
    assert item.gap
    assert not CHECKS.of_error(rules.STORE, "a", RefusedError("no")).gap


# -- files on hosts


def look(host: MemoryHost, path: str = "/enc.yaml") -> list[tuple[str, Mark, str]]:
    found = look_at(Place("cp1", path, None, host=host))
    items = hosts.look_at_hosts((found,), (ApiServerSettings("cp1", "https://10.0.0.1:6443", path),))
    return [(item.finding.id, item.mark, item.finding.message) for item in items]


def test_a_file_that_others_can_read_fails_with_the_command_that_mends_it(tmp_path: Path) -> None:
    host = MemoryHost("cp1")
    host.place("/enc.yaml", write_config(tmp_path / "enc.yaml", KEY).read_bytes(), mode=0o644)
    assert ("KC-DOC-032", Mark.FAILED, "/enc.yaml has mode 0644") in look(host)


def test_a_symbolic_link_and_a_refused_file_are_told(tmp_path: Path) -> None:
    host = MemoryHost("cp1")
    host.links.add("/enc.yaml")
    assert any(mark is Mark.FAILED and "symbolic link" in message for _, mark, message in look(host))
    host = MemoryHost("cp1")
    host.place("/enc.yaml", b"kind: Nonsense\n")
    assert any(one.startswith("KC-CFG-1") or "refuse" in message for one, _, message in look(host) if _ is Mark.FAILED)


def test_a_full_disk_is_a_warning_and_a_missing_file_without_flags_is_unknown() -> None:
    host = MemoryHost("cp1")
    assert ("KC-DOC-030", Mark.NOT_CHECKED) in [one[:2] for one in look(host)]
    host.place("/enc.yaml", b"x")
    host.free = 1000
    assert any(one == "KC-DOC-033" and mark is Mark.WARNING for one, mark, _ in look(host))


# -- keys


def test_a_key_of_a_file_that_the_store_lacks_is_named(tmp_path: Path) -> None:
    store = FileKeyStore(tmp_path / "keys", cluster="prod", clock=lambda: NOW)
    store.put(KEY, origin="imported")
    host = MemoryHost("cp1")
    host.place("/enc.yaml", write_config(tmp_path / "enc.yaml", KEY, OTHER).read_bytes())
    seen = look_at(Place("cp1", "/enc.yaml", None, host=host)).seen
    assert seen.file is not None
    known, problems = keys_in(store)
    assert problems == ()
    items = list(keeping.look_at_keys(known, (seen.file,)))
    assert [(item.label, item.mark) for item in items] == [("aescbc/key2", Mark.WARNING)]
    store.put(OTHER, origin="imported")
    assert [item.mark for item in keeping.look_at_keys(keys_in(store)[0], (seen.file,))] == [Mark.OK]


# -- what the user gives


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(base64.b64encode(KEY.material) + b"\n", id="base64"),
        pytest.param(KEY.material, id="bytes"),
        pytest.param(json.dumps({"material": base64.b64encode(KEY.material).decode()}).encode(), id="key file"),
    ],
)
def test_a_single_key_is_read_in_each_form(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "old.key"
    file.write_bytes(content)
    (known,) = given.read((), (file,)).keys
    assert known.key.material == KEY.material
    assert known.origin == str(file)


def test_a_file_without_a_key_is_refused_and_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "old.key"
    file.write_bytes(b"c2VjcmV0 not a key")
    with pytest.raises(UnusableInputError) as caught:
        given.read((), (file,))
    assert "c2VjcmV0" not in f"{caught.value}{caught.value.cause}{caught.value.hints}"


def test_an_old_copy_that_no_server_takes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "enc.yaml.old"
    file.write_text("kind: Nonsense\n")
    with pytest.raises(UnusableInputError, match="cannot be used"):
        given.read((file,), ())


# -- files that are written


def test_what_is_written_is_private_and_never_over_another(tmp_path: Path) -> None:
    file = tmp_path / "union.yaml"
    write_new(file, b"x", "the union configuration")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(RefusedError, match="exists already"):
        write_new(file, b"y", "the union configuration")
    assert file.read_bytes() == b"x"


@pytest.mark.parametrize("flag", ["--bundle", "--union-config"])
def test_a_file_that_is_there_is_refused_before_anything_is_looked_at(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "there"
    file.write_text("mine")
    assert main.run(["doctor", flag, str(file)]) == ExitCode.REFUSED
    assert "exists already" in capsys.readouterr().err


def test_the_union_goes_to_stdout_only_when_asked_and_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_node(tmp_path, monkeypatch, KEY)
    assert main.run(["doctor", "--union-config", "-", "-o", "json"]) == ExitCode.USAGE
    capsys.readouterr()
    main.run(["doctor", "--union-config", "-"])
    said = capsys.readouterr()
    assert said.out.startswith("# The union of all configurations")
    assert base64.b64encode(KEY.material).decode() in said.out
    assert base64.b64encode(KEY.material).decode() not in said.err
    main.run(["doctor"])
    assert base64.b64encode(KEY.material).decode() not in capsys.readouterr().out


# -- the bundle


def planted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[examine.Examination, list[str]]:
    """A node with keys where they belong and where they do not; and every form of theirs."""
    file = on_a_node(folder, monkeypatch, KEY, OTHER)
    forms = [form for key in (KEY, OTHER) for form in bundle.forms(key.material)]
    content = file.read_text()
    file.write_text(f"# the old one was {KEY.material.hex()} {forms[0]}\n" + content)
    state = wiring.state_directory("this cluster")
    Journal(state).append("state", NOW, {"rotation": "r", "note": forms[0], "other": KEY.material.hex()})
    found = examine.examine(
        examine.see(subject.find(Connection(None, None, None, None, None, None)), examine.Given()), union=True
    )
    described = replace(found, seen=replace(found.seen, subject=replace(found.seen.subject, described=True)))
    return described, forms


def test_the_bundle_holds_no_key_in_any_encoding_and_no_secrets_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, forms = planted(tmp_path, monkeypatch)
    file = tmp_path / "bundle.tar.gz"
    bundle.write(file, found, to_report(found))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as archive:
        members = {entry.name: archive.extractfile(entry) for entry in archive.getmembers()}
        texts = {name: content.read() for name, content in members.items() if content is not None}
    assert {name.partition("/")[2].partition("/")[0] for name in texts} == {
        "README.txt",
        "report.txt",
        "report.json",
        "versions.json",
        "configs",
        "flags",
        "journal.jsonl",
    }
    everything = b"\n".join(texts.values())
    for key in (KEY, OTHER):
        assert key.material not in everything
    assert [form for form in forms if form.encode("latin-1", "replace") in everything] == []
    assert b"hunter2" not in everything
    assert b"--audit-endpoint=https://<left out>@127.0.0.1:3" in everything
    config = texts["keyctl-bundle/configs/this_API_server.yaml"].decode()
    assert KEY.fingerprint in config
    assert "name: key1" in config
    assert b"--etcd-servers=https://127.0.0.1:1" in texts["keyctl-bundle/flags/this_API_server.txt"]
    assert b'"rotation": "r"' in texts["keyctl-bundle/journal.jsonl"]


def test_contents_of_secrets_never_come_near_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = planted(tmp_path, monkeypatch)
    password = "the-password-of-somebody"
    stored = seal.secret("db", filler=password.encode())
    trial = Trial(b"/registry", found.seen.facts.keys)
    where = b"/registry/secrets/default/db"
    trial.add([(where, seal.seal(KEY, where, stored), 1), (where + b"2", stored, 1)])
    facts = replace(found.seen.facts, values=trial.groups())
    seen = replace(found, seen=replace(found.seen, facts=facts))
    file = tmp_path / "bundle.tar.gz"
    bundle.write(file, seen, to_report(seen))
    with tarfile.open(file) as archive:
        everything = b"".join(
            content.read() for entry in archive.getmembers() if (content := archive.extractfile(entry)) is not None
        )
    assert password.encode() not in everything
    assert base64.b64encode(password.encode())[:-4] not in everything


def test_a_key_that_every_other_guard_let_through_stops_the_bundle(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("x")
        entry.size = len(KEY.material)
        archive.addfile(entry, io.BytesIO(KEY.material))
    with pytest.raises(RuntimeError, match="a key is in the bundle"):
        bundle._require_clean(packed.getvalue(), [KEY])


# -- the screen


def test_the_screen_has_every_area_once_and_ends_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = planted(tmp_path, monkeypatch)
    titles = [section.title for section in sections(found)]
    assert titles == [area for area in Area if area in titles]
    text = closing(found, 80)
    assert text.startswith("not everything could be looked at")
    assert max(map(len, text.splitlines())) <= 80
    assert wrong_hints([closing(found)]) == []


def test_no_check_that_was_left_out_counts_as_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = planted(tmp_path, monkeypatch)
    left_out = [item for item in found.items if item.finding.status is Status.UNKNOWN]
    assert left_out
    assert all(item.mark is Mark.NOT_CHECKED for item in left_out)
    weighty = [item for item in left_out if item.finding.severity in (Severity.HIGH, Severity.CRITICAL)]
    assert exit_code_of(weighty[:1]) is ExitCode.UNREACHABLE
