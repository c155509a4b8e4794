"""`keyctl config fix` on static pod manifests: what is written in which order, and what is to be seen to first."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from keyctl.cli.main import run
from keyctl.errors import ExitCode
from tests.support.hints import wrong_hints
from tests.unit.cli.test_config_fix import MISINDENTED, fail_at_rename, fixed, given_stdin, place
from tests.unit.encryption_config.repair.test_repairs import BODY, HEAD
from tests.unit.hosts.manifest_texts import ETCD, ETCD_AFTER, FILE, FLAG, SERVER, SERVER_AFTER


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def at(path: Path, text: str) -> str:
    """A manifest whose encryption configuration is the file `path`."""
    return text.replace(FILE, str(path)).replace("/etc/kubernetes/enc", str(path.parent))


def pair() -> None:
    place(ETCD, "etcd.yaml")
    place(SERVER, "kube-apiserver.yaml")


def test_the_flag_on_etcds_manifest_moves_to_the_api_server_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    pair()
    assert fixed("etcd.yaml", "--write") == ExitCode.OK
    out, err = capsys.readouterr()
    assert "kube-apiserver.yaml stands beside it and is looked at too" in err
    assert f"+    - {FLAG}" in out
    assert Path("etcd.yaml").read_text() == ETCD_AFTER
    assert Path("kube-apiserver.yaml").read_text() == SERVER_AFTER
    assert fixed("etcd.yaml", "kube-apiserver.yaml") == ExitCode.OK
    assert capsys.readouterr() == ("etcd.yaml: nothing to fix\nkube-apiserver.yaml: nothing to fix\n", "")


def test_every_word_of_a_manifest_that_is_no_password_is_readable_in_the_diff(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place(ETCD.replace("registry.example/etcd", "registry.k8s.example/etcd"), "etcd.yaml")
    place(SERVER, "kube-apiserver.yaml")
    assert fixed("etcd.yaml") == ExitCode.OK
    out = capsys.readouterr().out
    assert "secret" not in out
    assert "     image: registry.k8s.example/etcd:3.7.3-0\n" in out
    assert "+      type: DirectoryOrCreate\n" in out


def test_the_flag_on_etcds_manifest_alone_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    place(ETCD, "etcd.yaml")
    assert fixed("etcd.yaml", "--write") == ExitCode.UNUSABLE
    err = capsys.readouterr().err
    assert "left: critical KC-FLAG-001" in err
    assert "etcd.yaml: its program would still not start" in err
    assert Path("etcd.yaml").read_text() == ETCD


def test_the_server_gets_the_flag_first_and_when_etcd_cannot_be_written_the_flag_is_nowhere_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair()
    fail_at_rename(2, monkeypatch)
    assert fixed("etcd.yaml", "--write") == ExitCode.STOPPED
    err = capsys.readouterr().err
    assert "error: kube-apiserver.yaml is written, etcd.yaml is not\n" in err
    assert Path("kube-apiserver.yaml").read_text() == SERVER_AFTER
    assert Path("etcd.yaml").read_text() == ETCD
    command = next(line for line in err.splitlines() if line.startswith("hint: ")).partition("then: ")[2]
    assert command == "keyctl config fix kube-apiserver.yaml etcd.yaml --write"
    assert run(shlex.split(command)[1:]) == ExitCode.OK
    assert Path("etcd.yaml").read_text() == ETCD_AFTER
    assert Path("kube-apiserver.yaml").read_text() == SERVER_AFTER


@pytest.mark.parametrize("spoiled", ["etcd.yaml", "kube-apiserver.yaml"])
def test_when_one_manifest_is_a_link_neither_is_written(spoiled: str, capsys: pytest.CaptureFixture[str]) -> None:
    pair()
    Path(spoiled).rename("real.yaml")
    Path(spoiled).symlink_to("real.yaml")
    assert fixed("etcd.yaml", "kube-apiserver.yaml", "--write") == ExitCode.REFUSED
    assert f"{spoiled} cannot be replaced, so no file was written" in capsys.readouterr().err
    assert Path("etcd.yaml").read_text() == ETCD
    assert Path("kube-apiserver.yaml").read_text() == SERVER
    assert len(list(Path().iterdir())) == 3


def test_beside_a_manifest_from_stdin_nothing_is_looked_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place(SERVER, "kube-apiserver.yaml")
    given_stdin(monkeypatch, ETCD)
    assert fixed("-") == ExitCode.UNUSABLE
    out, err = capsys.readouterr()
    assert "kube-apiserver.yaml" not in out + err


def test_beside_a_manifest_without_a_flag_nothing_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    place(ETCD_AFTER, "etcd.yaml")
    place(SERVER, "kube-apiserver.yaml")
    assert fixed("etcd.yaml") == ExitCode.OK
    assert capsys.readouterr() == ("etcd.yaml: nothing to fix\n", "")


def test_an_api_server_without_the_flag_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    place(SERVER, "kube-apiserver.yaml")
    assert fixed("kube-apiserver.yaml") == ExitCode.FINDINGS
    out, err = capsys.readouterr()
    assert out == "kube-apiserver.yaml: nothing that fix can mend; see what is left\n"
    assert "left: critical KC-FLAG-008 kube-apiserver.yaml:5:" in err
    assert "keyctl enable" in err


def test_a_pod_of_another_kind_is_unusable(capsys: pytest.CaptureFixture[str]) -> None:
    place("kind: Pod\nspec: {containers: [{name: nginx, image: nginx}]}\n", "nginx.yaml")
    assert fixed("nginx.yaml") == ExitCode.UNUSABLE
    assert "nginx.yaml:1:1: not the manifest of a control-plane program" in capsys.readouterr().err


RENAMED = SERVER_AFTER.replace("--encryption-provider-config=", "--experimental-encryption-provider-config=")


@pytest.mark.parametrize("how", ["moved", "renamed"])
@pytest.mark.parametrize("writing", [["--write"], []])
def test_what_must_be_seen_to_before_the_server_reads_the_file_is_told(
    how: str, writing: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a b" / "enc.yaml"
    if how == "moved":
        place(at(file, ETCD), "etcd.yaml")
        place(SERVER, "kube-apiserver.yaml")
    else:
        place(at(file, RENAMED), "kube-apiserver.yaml")
    names = ["etcd.yaml"] if how == "moved" else ["kube-apiserver.yaml"]
    assert fixed(*names, *writing) == ExitCode.OK
    err = capsys.readouterr().err
    assert "next: every API server must be able to read what this one will write" in err
    assert "keyctl enable does it in a safe order" in err
    assert f"before the kubelet restarts kube-apiserver: keyctl config validate '{file}'\n" in err
    assert f"{file} does not exist on this machine: where it is missing, kube-apiserver does not start\n" in err
    assert wrong_hints([err]) == []
    last = err.splitlines()[-1]
    assert last.endswith("is written") if writing else last.startswith("nothing was written: ")


@pytest.mark.parametrize("writing", [["--write"], []])
def test_no_server_is_given_the_flag_for_a_file_that_it_would_refuse(
    writing: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys" / "enc.yaml"
    file.parent.mkdir()
    file.write_text(MISINDENTED)
    etcd = at(file, ETCD)
    place(etcd, "etcd.yaml")
    place(SERVER, "kube-apiserver.yaml")
    assert fixed("etcd.yaml", *writing) == ExitCode.REFUSED
    out, err = capsys.readouterr()
    assert f"error: kube-apiserver 1.37 would refuse {file}, which kube-apiserver.yaml would name" in err
    assert f"cause: {file}:10: " in err
    assert f"hint: keyctl config fix {file}\n" in err
    assert "+    - --encryption-provider-config=" in out
    assert Path("etcd.yaml").read_text() == etcd
    assert Path("kube-apiserver.yaml").read_text() == SERVER
    # A server before 1.31 passes over the field at the wrong place, and refuses the key without a secret.
    assert fixed("etcd.yaml", "--kubernetes-version", "1.30") == ExitCode.REFUSED
    assert "kube-apiserver 1.30 would refuse" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + BODY, "kube-apiserver 1.37 accepts {} as it is on this machine\n"),
        (
            (HEAD + BODY).replace("- secrets", "- configmaps"),
            "kube-apiserver 1.37 accepts {} as it is on this machine, and something serious is wrong with it\n",
        ),
        ("%YAML 1.2\n---\n" + HEAD + BODY, "{}: keyctl does not read its form"),
    ],
)
def test_the_file_is_judged_where_it_is_on_this_machine(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys" / "enc.yaml"
    file.parent.mkdir()
    file.write_text(text)
    place(at(file, RENAMED), "kube-apiserver.yaml")
    assert fixed("kube-apiserver.yaml", "--write") == ExitCode.OK
    assert said.format(file) in capsys.readouterr().err
    assert Path("kube-apiserver.yaml").read_text() == at(file, SERVER_AFTER)


def test_a_file_that_cannot_be_read_here_is_said_to_be_unjudged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys" / "enc.yaml"
    file.mkdir(parents=True)
    place(at(file, RENAMED), "kube-apiserver.yaml")
    assert fixed("kube-apiserver.yaml", "--write") == ExitCode.OK
    assert f"{file} was not judged: Is a directory\n" in capsys.readouterr().err


def test_a_file_that_the_same_command_repairs_is_judged_as_repaired_and_written_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys" / "enc.yaml"
    file.parent.mkdir()
    file.write_text(MISINDENTED)
    place(at(file, ETCD), "etcd.yaml")
    place(SERVER, "kube-apiserver.yaml")
    order: list[str] = []
    rename = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        order.append(target.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    assert fixed("etcd.yaml", "keys/enc.yaml", "--write") == ExitCode.OK
    assert order == ["enc.yaml", "kube-apiserver.yaml", "etcd.yaml"]
    assert file.read_text() == HEAD + BODY
    assert f"kube-apiserver 1.37 accepts {file} as this command mends it\n" in capsys.readouterr().err


def test_a_file_whose_place_cannot_be_told_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    place(RENAMED.replace(FILE, "enc.yaml"), "kube-apiserver.yaml")
    assert fixed("kube-apiserver.yaml") == ExitCode.FINDINGS
    assert "kube-apiserver.yaml: which file of its host it will read cannot be told\n" in capsys.readouterr().err


def test_two_files_that_messages_would_call_alike_are_not_mixed_up(capsys: pytest.CaptureFixture[str]) -> None:
    long = Path(*["d" * 100] * 3)
    long.mkdir(parents=True)
    for name in ("a.yaml", "b.yaml"):
        place(ETCD, str(long / name))
    assert fixed(str(long / "a.yaml"), str(long / "b.yaml")) == ExitCode.USAGE
    assert "two FILEs that messages would call alike" in capsys.readouterr().err
