"""`keyctl config fix` and `migrate`: what is printed where, what is written, and how they end."""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path

import pytest

from keyctl.cli.commands.config import config
from keyctl.cli.commands.config_fix import fix
from keyctl.cli.commands.config_migrate import migrate
from keyctl.cli.main import run
from keyctl.encryption_config.decode import decode
from keyctl.encryption_config.judge import judge
from keyctl.errors import ExitCode
from tests.support.hints import wrong_commands, wrong_hints
from tests.unit.encryption_config.configs import keys_of
from tests.unit.encryption_config.repair.test_repairs import BODY, HEAD, KEY, LEGACY, SECRET, materials
from tests.unit.hosts.manifest_texts import ETCD, FLAG

MISINDENTED = (HEAD + BODY).replace("          secret:", "        secret:")
PLACEHOLDER = LEGACY + BODY.replace(SECRET, "<BASE 64 ENCODED SECRET>")
API_SERVER = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver}
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --secure-port=6443
    volumeMounts:
    - {mountPath: /etc/kubernetes/pki, name: pki}
  volumes:
  - name: pki
    hostPath: {path: /etc/kubernetes/pki}
"""


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(config.commands, "fix", fix)
    monkeypatch.setitem(config.commands, "migrate", migrate)
    monkeypatch.chdir(tmp_path)


def place(text: str, name: str = "enc.yaml") -> Path:
    path = Path(name)
    path.write_text(text)
    path.chmod(0o600)
    return path


def given_stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def fixed(*arguments: str) -> int:
    return run(["config", "fix", *arguments])


def test_the_repair_and_the_masked_diff_are_shown_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    path = place(MISINDENTED)
    assert fixed("enc.yaml") == ExitCode.OK
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "KC-CFG-112 enc.yaml:10: secret moved in by 2 columns"
    assert "-        secret: <secret 1>" in out
    assert "+          secret: <secret 1>" in out
    assert SECRET[:8] not in out + err
    assert err == "nothing was written: --write replaces the file\n"
    assert path.read_text() == MISINDENTED


def test_with_write_the_file_is_replaced_and_keeps_its_mode(capsys: pytest.CaptureFixture[str]) -> None:
    path = place(MISINDENTED)
    path.chmod(0o640)
    before = path.stat()
    assert fixed("enc.yaml", "--write") == ExitCode.OK
    assert path.read_text() == HEAD + BODY
    assert (path.stat().st_mode, path.stat().st_uid) == (before.st_mode, before.st_uid)
    assert path.stat().st_ino != before.st_ino
    assert [one.name for one in Path().iterdir()] == ["enc.yaml"]
    assert capsys.readouterr().err == "enc.yaml is written\n"
    assert fixed("enc.yaml", "--write") == ExitCode.OK
    assert capsys.readouterr().out == "enc.yaml: nothing to fix\n"


def test_a_link_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    place(MISINDENTED, "real.yaml")
    Path("enc.yaml").symlink_to("real.yaml")
    assert fixed("enc.yaml", "--write") == ExitCode.REFUSED
    assert "enc.yaml is a symbolic link" in capsys.readouterr().err
    assert Path("real.yaml").read_text() == MISINDENTED


def test_a_directory_that_cannot_be_written_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "enc.yaml")

    place(MISINDENTED)
    monkeypatch.setattr(os, "fchown", refuse)
    assert fixed("enc.yaml", "--write") == ExitCode.UNUSABLE
    assert "error: cannot write enc.yaml\n" in capsys.readouterr().err
    assert [one.name for one in Path().iterdir()] == ["enc.yaml"]


def test_what_is_left_goes_to_stderr_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    place(PLACEHOLDER)
    assert fixed("enc.yaml", "--write") == ExitCode.UNUSABLE
    out, err = capsys.readouterr()
    assert "left: KC-CFG-135 enc.yaml:11:19: " in err
    assert "a placeholder of 24 characters" in err
    assert "keyctl config fix enc.yaml --supply key1=KEYFILE" in err
    assert "enc.yaml would still be refused" in err
    assert "placeholder" not in out
    assert wrong_commands(err) == []
    assert "kind: EncryptionConfiguration\n" in Path("enc.yaml").read_text()


def test_a_supplied_key_makes_the_tutorials_file_one_that_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    place(PLACEHOLDER)
    Path("key1.b64").write_text(f"{SECRET}\n")
    assert fixed("enc.yaml", "--supply", "key1=key1.b64", "--write") == ExitCode.OK
    assert materials(Path("enc.yaml").read_bytes()) == [KEY]
    out, err = capsys.readouterr()
    assert SECRET[:8] not in out + err


def test_a_key_may_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    place(PLACEHOLDER)
    given_stdin(monkeypatch, SECRET)
    assert fixed("enc.yaml", "--supply", "key1=-", "--write") == ExitCode.OK
    assert materials(Path("enc.yaml").read_bytes()) == [KEY]


def test_a_generated_key_is_new_each_time_and_its_risk_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = set()
    for _ in range(2):
        place(PLACEHOLDER)
        assert fixed("enc.yaml", "--generate", "key1", "--write") == ExitCode.OK
        (material,) = materials(Path("enc.yaml").read_bytes())
        found.add(material)
        out, err = capsys.readouterr()
        assert base64.b64encode(material).decode()[:8] not in out + err
        assert "values that were stored under this name before need the old ones" in err
    assert {len(one) for one in found} == {32}
    assert len(found) == 2


def test_a_secret_encoded_twice_is_unwrapped_when_the_user_says_so() -> None:
    place(HEAD + BODY.replace(SECRET, base64.b64encode(SECRET.encode()).decode()))
    assert fixed("enc.yaml", "--write") == ExitCode.UNUSABLE
    assert fixed("enc.yaml", "--reencode", "key1", "--write") == ExitCode.OK
    assert materials(Path("enc.yaml").read_bytes()) == [KEY]


def test_a_key_that_nothing_could_be_done_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    place(HEAD + BODY.replace(SECRET, "bm8="))
    assert fixed("enc.yaml", "--reencode", "key1") == ExitCode.UNUSABLE
    assert "nothing was done for the key key1" in capsys.readouterr().err


def test_a_secret_that_is_accepted_is_refused_a_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    path = place(MISINDENTED)
    assert fixed("enc.yaml", "--generate", "key1", "--write") == ExitCode.REFUSED
    assert path.read_text() == MISINDENTED
    assert wrong_hints([capsys.readouterr().err]) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["enc.yaml", "--supply", "key1"], ExitCode.USAGE),
        (["enc.yaml", "--supply", "=k"], ExitCode.USAGE),
        (["enc.yaml", "--supply", "key1=k", "--supply", "key1=k"], ExitCode.USAGE),
        (["enc.yaml", "--supply", "key1=k", "--generate", "key1"], ExitCode.USAGE),
        (["enc.yaml", "--generate", "key1", "--generate", "key1"], ExitCode.USAGE),
        (["enc.yaml", "--generate", "key1", "--reencode", "key1"], ExitCode.USAGE),
        (["enc.yaml", "--generate", "key2"], ExitCode.USAGE),
        (["etcd.yaml", "--generate", "key1"], ExitCode.USAGE),
        (["-", "--supply", "key1=-"], ExitCode.USAGE),
        (["-", "--write"], ExitCode.USAGE),
        ([], ExitCode.USAGE),
        (["enc.yaml", "--kubernetes-version", "1.12"], ExitCode.USAGE),
        (["enc.yaml", "--supply", "key1=empty"], ExitCode.UNUSABLE),
        (["enc.yaml", "--supply", "key1=raw"], ExitCode.UNUSABLE),
        (["enc.yaml", "--supply", "key1=gone"], ExitCode.UNUSABLE),
        (["gone"], ExitCode.UNUSABLE),
        (["."], ExitCode.UNUSABLE),
        (["empty"], ExitCode.UNUSABLE),
    ],
)
def test_wrong_use_and_unusable_files_are_told_and_nothing_is_written(
    arguments: list[str], code: ExitCode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given_stdin(monkeypatch, "")
    path = place(PLACEHOLDER)
    place(ETCD, "etcd.yaml")
    Path("k").write_text(SECRET)
    Path("empty").touch()
    Path("raw").write_bytes(KEY)
    writing = [] if "-" in arguments else ["--write"]
    assert fixed(*arguments, *writing) == code
    assert path.read_text() == PLACEHOLDER
    assert wrong_hints([capsys.readouterr().err]) == []


def test_stdin_is_diffed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given_stdin(monkeypatch, MISINDENTED)
    assert fixed("-") == ExitCode.OK
    out = capsys.readouterr().out
    assert "+          secret: <secret 1>" in out
    assert SECRET[:8] not in out


def test_the_form_that_keyctl_does_not_read_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("enc.yaml").write_bytes((HEAD + BODY).encode("utf-16"))
    assert fixed("enc.yaml", "--write") == ExitCode.UNUSABLE
    assert "keyctl does not read this form" in capsys.readouterr().err


def test_several_copies_get_the_same_key_and_none_is_written_when_one_is_refused() -> None:
    first, second = place(PLACEHOLDER, "a.yaml"), place(PLACEHOLDER, "b.yaml")
    assert fixed("a.yaml", "b.yaml", "--generate", "key1", "--write") == ExitCode.OK
    assert first.read_bytes() == second.read_bytes()
    place(PLACEHOLDER, "a.yaml")
    assert fixed("a.yaml", "b.yaml", "--generate", "key1", "--write") == ExitCode.REFUSED
    assert first.read_text() == PLACEHOLDER


def test_the_flag_on_etcds_manifest_moves_to_the_api_server_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    etcd, server = place(ETCD, "etcd.yaml"), place(API_SERVER, "kube-apiserver.yaml")
    assert fixed("etcd.yaml", "--write") == ExitCode.OK
    out, err = capsys.readouterr()
    assert "kube-apiserver.yaml stands beside it and is looked at too" in err
    assert f"+    - {FLAG}" in out
    assert FLAG not in etcd.read_text()
    assert FLAG in server.read_text()
    assert fixed("etcd.yaml", "kube-apiserver.yaml") == ExitCode.OK


def test_the_flag_on_etcds_manifest_alone_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    place(ETCD, "etcd.yaml")
    assert fixed("etcd.yaml", "--write") == ExitCode.UNUSABLE
    assert "left: KC-FLAG-001" in capsys.readouterr().err
    assert Path("etcd.yaml").read_text() == ETCD


def test_migrate_changes_the_kind_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    path = place(LEGACY + BODY)
    assert run(["config", "migrate", "enc.yaml"]) == ExitCode.OK
    assert path.read_text() == LEGACY + BODY
    assert run(["config", "migrate", "enc.yaml", "--write"]) == ExitCode.OK
    assert decode(path.read_bytes(), name="e").config == decode((LEGACY + BODY).encode(), name="e").config
    assert not any(one.id == "KC-CFG-008" for one in judge(path.read_bytes(), name="e").findings)
    capsys.readouterr()
    assert run(["config", "migrate", "enc.yaml", "--write"]) == ExitCode.OK
    assert capsys.readouterr().out == "enc.yaml: nothing to fix\n"
    assert keys_of(decode(path.read_bytes(), name="e").config) == ["key1"]


def test_migrate_repairs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    path = place(MISINDENTED)
    assert run(["config", "migrate", "enc.yaml", "--write"]) == ExitCode.UNUSABLE
    assert path.read_text() == MISINDENTED
    given_stdin(monkeypatch, LEGACY + BODY)
    assert run(["config", "migrate", "-", "--write"]) == ExitCode.USAGE
