"""Processes of this machine as facts, from a /proc of our own making, and once from the real one."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from keyctl.audit.facts import About, Program, UndecidedError, Unread
from keyctl.audit.live import processes
from keyctl.findings import Evidence
from tests.unit.audit.given import facts as facts_of
from tests.unit.audit.given import judgement

NUL = "\0"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with the first process of a machine."""
    process(tmp_path, 1, "systemd", ["/sbin/init"])
    (tmp_path / "self").mkdir()
    return tmp_path


def process(proc: Path, number: int, comm: str, words: list[str], **environment: str) -> Path:
    folder = proc / str(number)
    folder.mkdir()
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cmdline").write_text("".join(word + NUL for word in words))
    (folder / "environ").write_text("".join(f"{name}={value}{NUL}" for name, value in environment.items()))
    return folder


def found(proc: Path) -> list[Program]:
    everything = list(processes.running(proc))
    assert all(isinstance(one, Program) for one in everything)
    return [one for one in everything if isinstance(one, Program)]


def test_only_the_two_programs_are_looked_at_and_their_flags_are_of_a_process(proc: Path) -> None:
    process(proc, 30, "kube-apiserver", ["/bin/kube-apiserver", "--secure-port=6443", "--authorization-mode", "RBAC"])
    process(proc, 4, "etcd", ["etcd", "--name=m1", "-client-cert-auth", "--trusted-ca-file", "/ca.crt"])
    process(proc, 5, "bash", ["bash", "-c", "etcd --name=no"])
    process(proc, 6, "kube-scheduler", ["kube-scheduler", "--kubeconfig=x"])
    first, second = found(proc)
    assert (first.about, first.location.endpoint, first.text("trusted-ca-file")) == (
        About.ETCD, "process etcd m1", "/ca.crt",
    )  # fmt: skip
    assert first.switched("client-cert-auth")
    assert (second.location.endpoint, second.text("authorization-mode")) == ("process kube-apiserver 6443", "RBAC")
    for one in (first, second):
        assert one.evidence is Evidence.E2
        assert {setting.evidence for setting in one.settings} == {Evidence.E2}
        assert not one.hidden


def test_of_etcds_environment_nothing_is_kept_but_its_own_variables(proc: Path) -> None:
    process(
        proc, 4, "etcd", ["etcd", "--cert-file=/a.crt"],
        ETCD_CERT_FILE="/b.crt", ETCD_NAME="m1", PASSWORD="hunter2", ETCDCTL_PASSWORD="hunter3", XETCD_X="no",
    )  # fmt: skip
    (one,) = found(proc)
    assert {setting.name for setting in one.settings} == {"cert-file", "name"}
    assert one.text("cert-file") == "/a.crt"
    assert "hunter" not in repr([(setting.name, setting.value) for setting in one.settings])


def test_the_environment_of_an_api_server_is_not_opened(proc: Path) -> None:
    (process(proc, 4, "kube-apiserver", ["kube-apiserver"]) / "environ").unlink()
    (one,) = found(proc)
    assert not one.hidden


def test_an_environment_that_may_not_be_read_makes_what_is_not_a_flag_unknown(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(proc, 4, "etcd", ["etcd", "--cert-file=/a.crt"])
    forbid(monkeypatch, "environ")
    (one,) = found(proc)
    assert one.text("cert-file") == "/a.crt"
    with pytest.raises(UndecidedError, match="its environment is not read: permission denied"):
        one.text("trusted-ca-file")


def test_a_command_line_that_may_not_be_read_is_unread(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(proc, 4, "etcd", ["etcd"])
    forbid(monkeypatch, "cmdline")
    (one,) = processes.running(proc)
    assert isinstance(one, Unread)
    assert (one.reason, one.about) == ("permission denied", frozenset({About.ETCD}))


def test_processes_that_are_hidden_from_us_are_unread(tmp_path: Path) -> None:
    process(tmp_path, 4, "bash", ["bash"])
    (one,) = processes.running(tmp_path)
    assert isinstance(one, Unread)
    assert one.about == {About.ETCD, About.API_SERVER}


def test_an_etcd_with_a_configuration_file_has_no_other_settings(proc: Path) -> None:
    process(proc, 4, "etcd", ["etcd", "--config-file=/etc/etcd.yaml", "--client-cert-auth=true"])
    process(proc, 5, "etcd", ["etcd"], ETCD_CONFIG_FILE="/etc/other.yaml")
    for one, file in zip(found(proc), ("/etc/etcd.yaml", "/etc/other.yaml"), strict=True):
        assert one.settings == ()
        with pytest.raises(UndecidedError, match=f"it reads {file} and looks at nothing else"):
            one.text("client-cert-auth")


def test_a_process_that_has_ended_is_none(proc: Path) -> None:
    process(proc, 4, "etcd", [])
    (process(proc, 5, "etcd", ["etcd"]) / "cmdline").unlink()
    shutil.rmtree(process(proc, 6, "etcd", ["etcd"]))
    (proc / "7").mkdir()
    assert found(proc) == []


def test_an_empty_word_is_a_value_and_not_left_out(proc: Path) -> None:
    process(proc, 4, "kube-apiserver", ["kube-apiserver", "--audit-log-path", "", "--encryption-provider-config=/e"])
    (one,) = found(proc)
    assert (one.text("audit-log-path"), one.text("encryption-provider-config")) == ("", "/e")


def test_what_a_process_is_told_is_judged_as_what_files_tell(proc: Path) -> None:
    process(proc, 4, "etcd", ["etcd", "--listen-client-urls=http://0.0.0.0:2379"], ETCD_AUTO_TLS="true")
    (one,) = judgement("KC-TLS-004", facts_of(*found(proc)))
    assert (one.status, one.evidence, one.location.endpoint) == ("fail", Evidence.E2, "process etcd")


def test_a_real_process_is_seen(tmp_path: Path) -> None:
    program = tmp_path / "etcd"
    shutil.copy("/bin/sleep", program)
    child = subprocess.Popen([program, "30"], env={"ETCD_NAME": "ours-alone", "SECRET": "x"})
    try:
        # Just after it was started the kernel shows neither its words nor its variables.
        until = time.monotonic() + 10
        while b"ours-alone" not in Path(f"/proc/{child.pid}/environ").read_bytes() and time.monotonic() < until:
            time.sleep(0.01)
        seen = [one for one in processes.running() if one.location.endpoint == "process etcd"]
        names = [setting.value for one in seen if isinstance(one, Program) for setting in one.settings]
        assert "ours-alone" in names
    finally:
        child.kill()
        child.wait()


def forbid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As for another user's process: tests run as root, who may read everything."""
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
