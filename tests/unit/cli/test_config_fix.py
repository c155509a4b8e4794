"""`keyctl config fix` on configurations: what is printed where, what is written, and how they end."""

from __future__ import annotations

import base64
import io
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from keyctl.cli.main import run
from keyctl.errors import ExitCode
from tests.support.hints import wrong_commands, wrong_hints
from tests.unit.encryption_config.repair.test_repairs import BODY, HEAD, KEY, LEGACY, SECRET, materials
from tests.unit.hosts.manifest_texts import ETCD

SHADOWING = """\
  - resources:
    - configmaps
    providers:
    - identity: {}
"""
MISINDENTED = (HEAD + BODY).replace("          secret:", "        secret:")
PLACEHOLDER = LEGACY + BODY.replace(SECRET, "<BASE 64 ENCODED SECRET>")


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
    assert "left: critical KC-CFG-135 enc.yaml:11:19: " in err
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


def test_a_copy_that_has_the_key_already_is_to_be_copied_and_gets_no_brother_of_that_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place(PLACEHOLDER, "a.yaml")
    place(PLACEHOLDER, "b c.yaml")
    assert fixed("a.yaml", "--generate", "key1", "--write") == ExitCode.OK
    capsys.readouterr()
    for order in (["a.yaml", "b c.yaml"], ["b c.yaml", "a.yaml"]):
        assert fixed(*order, "--generate", "key1", "--write") == ExitCode.REFUSED
        err = capsys.readouterr().err
        assert "a.yaml has the key key1 already, and b c.yaml would get other bytes under that name [R5]" in err
        assert "hint: cp -p a.yaml 'b c.yaml', if it is a copy\n" in err
        assert "keyctl config fix 'b c.yaml' --supply key1=KEYFILE --write" in err
    assert Path("b c.yaml").read_text() == PLACEHOLDER


def fail_at_rename(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    renames: list[Path] = []
    rename = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        renames.append(target)
        if len(renames) == number:
            raise PermissionError(1, "Operation not permitted", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replaced)


def test_after_one_of_two_copies_got_a_new_key_the_hint_makes_the_other_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place(PLACEHOLDER, "a.yaml")
    place(PLACEHOLDER, "b.yaml")
    fail_at_rename(2, monkeypatch)
    assert fixed("a.yaml", "b.yaml", "--generate", "key1", "--write") == ExitCode.STOPPED
    err = capsys.readouterr().err
    assert "error: a.yaml is written, b.yaml is not\n" in err
    assert "hint: mend that, then: cp -p a.yaml b.yaml\n" in err
    assert "keyctl config fix b.yaml" not in err
    assert len(materials(Path("a.yaml").read_bytes())) == 1
    assert Path("b.yaml").read_text() == PLACEHOLDER


def test_after_one_of_two_different_files_got_a_new_key_the_other_is_to_be_supplied_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place(PLACEHOLDER, "a.yaml")
    place(f"# other\n{PLACEHOLDER}", "b.yaml")
    fail_at_rename(2, monkeypatch)
    assert fixed("a.yaml", "b.yaml", "--generate", "key1", "--write") == ExitCode.STOPPED
    err = capsys.readouterr().err
    assert "the secret that a.yaml has" in err
    assert "keyctl config fix b.yaml --supply key1=KEYFILE --write" in err
    assert "cp -p" not in err
    (key,) = materials(Path("a.yaml").read_bytes())
    Path("KEYFILE").write_text(base64.b64encode(key).decode())
    assert fixed("b.yaml", "--supply", "key1=KEYFILE", "--write") == ExitCode.OK
    assert materials(Path("b.yaml").read_bytes()) == [key]


def test_after_one_of_two_files_was_written_the_hint_is_the_command_for_the_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place(PLACEHOLDER, "a.yaml")
    place(PLACEHOLDER, "b c.yaml")
    Path("k 1").write_text(SECRET)
    fail_at_rename(2, monkeypatch)
    options = ["--supply", "key1=k 1", "--kubernetes-version", "1.30", "--kms-v1"]
    assert fixed("a.yaml", "b c.yaml", *options, "--write") == ExitCode.STOPPED
    command = "keyctl config fix 'b c.yaml' --kubernetes-version 1.30 --kms-v1 --supply 'key1=k 1' --write"
    assert f"hint: mend that, then: {command}\n" in capsys.readouterr().err
    assert run(shlex.split(command)[1:]) == ExitCode.OK
    assert materials(Path("a.yaml").read_bytes()) == materials(Path("b c.yaml").read_bytes()) == [KEY]


def test_a_key_under_two_providers_gets_other_bytes_under_each_and_one_can_be_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = PLACEHOLDER.replace(
        "    - identity", "    - aesgcm:\n        keys:\n        - name: key1\n          secret: ''\n    - identity"
    )
    place(both)
    assert fixed("enc.yaml", "--generate", "key1", "--write") == ExitCode.OK
    first, second = materials(Path("enc.yaml").read_bytes())
    assert first != second
    out, _ = capsys.readouterr()
    assert out.count("the secret of key1 is the base64 of 32 new bytes") == 2
    assert "supplied" not in out
    place(both)
    assert fixed("enc.yaml", "--generate", "aescbc:key1") == ExitCode.UNUSABLE
    err = capsys.readouterr().err
    assert err.count("left: critical") == 1
    assert "left: critical KC-CFG-134 enc.yaml:15:" in err
    assert fixed("enc.yaml", "--generate", "aescbc:key1", "--generate", "aesgcm:key1") == ExitCode.OK
    capsys.readouterr()
    assert fixed("enc.yaml") == ExitCode.UNUSABLE
    err = capsys.readouterr().err
    assert "--supply aescbc:key1=KEYFILE" in err
    assert "--generate aesgcm:key1" in err
    assert wrong_commands(err) == []
    assert fixed("enc.yaml", "--generate", "secretbox:key1") == ExitCode.USAGE
    assert "enc.yaml has no key secretbox:key1" in capsys.readouterr().err
    assert fixed("enc.yaml", "--generate", "key1", "--reencode", "aescbc:key1") == ExitCode.USAGE


def test_serious_findings_that_fix_cannot_mend_are_shown_and_are_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    plaintext = HEAD + BODY.replace("- secrets", "- configmaps")
    path = place(plaintext)
    assert fixed("enc.yaml", "--write") == ExitCode.FINDINGS
    out, err = capsys.readouterr()
    assert out == "enc.yaml: nothing that fix can mend; see what is left\n"
    assert re.search(r"^left: (critical|high) KC-CFG-002 enc\.yaml:", err, re.MULTILINE)
    assert err.endswith("enc.yaml: what is left is serious, although nothing refuses it\n")
    assert path.read_text() == plaintext


def test_the_exit_code_is_that_of_the_file_as_it_would_be_and_the_last_line_says_that_nothing_was_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for text, code in (
        (MISINDENTED, ExitCode.OK),
        (MISINDENTED.replace("- secrets", "- configmaps"), ExitCode.FINDINGS),
        (PLACEHOLDER, ExitCode.UNUSABLE),
    ):
        path = place(text)
        assert fixed("enc.yaml") == code
        assert capsys.readouterr().err.splitlines()[-1] == "nothing was written: --write replaces the file"
        assert path.read_text() == text
        assert fixed("enc.yaml", "--write") == code
        assert path.read_text() != text
        capsys.readouterr()


def test_a_finding_of_medium_is_shown_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    place((HEAD + BODY).replace("    - secrets\n", "    - secrets\n    - configmaps\n") + SHADOWING)
    assert fixed("enc.yaml") == ExitCode.OK
    out, err = capsys.readouterr()
    assert out == "enc.yaml: nothing that fix can mend; see what is left\n"
    assert "left: medium KC-CFG-007 " in err


def test_a_file_of_more_than_4096_bytes_is_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    path = place(PLACEHOLDER)
    Path("large").write_text(SECRET + "\n" * 4096)
    assert fixed("enc.yaml", "--supply", "key1=large", "--write") == ExitCode.UNUSABLE
    assert "it has more than 4096 bytes" in capsys.readouterr().err
    Path("large").write_text(SECRET + "\n" * (4096 - len(SECRET)))
    assert fixed("enc.yaml", "--supply", "key1=large", "--write") == ExitCode.OK
    assert path.read_text() != PLACEHOLDER


def test_a_file_name_that_a_shell_would_take_apart_is_quoted_and_stdin_is_called_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place(PLACEHOLDER, "my enc.yaml")
    assert fixed("my enc.yaml") == ExitCode.UNUSABLE
    assert "keyctl config fix 'my enc.yaml' --supply key1=KEYFILE" in capsys.readouterr().err
    given_stdin(monkeypatch, PLACEHOLDER)
    assert fixed("-") == ExitCode.UNUSABLE
    err = capsys.readouterr().err
    assert "keyctl config fix FILE --supply key1=KEYFILE" in err
    assert "keyctl config fix <stdin>" not in err
