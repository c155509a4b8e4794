"""Logging in to a real sshd: who is let in, who is believed to be there, and what is left when it ends."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyctl.errors import UnreachableError
from keyctl.hosts import ssh_connection
from keyctl.hosts.interface import HostUnreachableError
from keyctl.hosts.ssh import SshHost
from keyctl.hosts.ssh_connection import SshConnection
from keyctl.hosts.ssh_failures import ConnectionLostError
from tests.support.etcd_process import free_port
from tests.support.sshd import ADDRESS, Sshd, cut_connections, running_sshd

pytestmark = pytest.mark.live

_OLD, _NEW = b"old one", b"the new one: s3cret-bytes"

_SUDO = """\
#!/bin/sh
# Stands for sudo: takes what keyctl gives it, and refuses while the file `refuse` says how.
dir=${0%/*}
echo "$*" >>"$dir/sudo.log"
if [ -s "$dir/refuse" ]; then cat "$dir/refuse" >&2; exit 1; fi
[ "$1 $2" = "-n --" ] || exit 2
shift 2
exec "$@"
"""


def _hash(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs that a session there finds before the system's."""
    directory = tmp_path_factory.mktemp("tools")
    (directory / "sudo").write_text(_SUDO)
    (directory / "sudo").chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Iterator[Sshd]:
    # The login shell's own start-up files may set another PATH: HOME has none of them.
    home = str(tmp_path_factory.mktemp("home"))
    path = f"{tools}:{os.defpath}"
    with running_sshd(tmp_path_factory.mktemp("sshd"), environment={"PATH": path, "HOME": home}) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "enc.yaml"
    path.write_bytes(_OLD)
    path.chmod(0o600)
    return path


def _host(config: Path, *, user: str | None = None, sudo: bool = False, address: str = ADDRESS) -> SshHost:
    connection = SshConnection("cp1", address, user=user, config=config)
    return SshHost("cp1", connection, sudo=sudo, restart_command=None, restart_wait=5.0)


def _logins(server: Sshd) -> int:
    return server.log.read_text().count("Accepted publickey")


def _clients(socket: Path | None) -> list[int]:
    """The ssh clients that share the connection behind `socket`: the one that holds it, between calls."""
    told = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=1) for line in told.splitlines()]
    return [int(pid) for pid, words in lines if words.startswith("ssh") and str(socket) in words]


def test_all_calls_share_one_login_and_the_end_leaves_nothing(server: Sshd, path: Path) -> None:
    before = _logins(server)
    host = _host(server.config)
    for _ in range(5):
        found = host.read(str(path))
        assert found is not None
    host.write(str(path), _NEW, expected=_hash(_OLD))
    assert _logins(server) == before + 1
    socket = host._remote._socket  # type: ignore[attr-defined]  # its own place is a secret of the connection
    assert socket is not None
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert len(_clients(socket)) == 1
    del host
    gc.collect()
    assert not socket.parent.exists()
    deadline = time.monotonic() + 10
    while _clients(socket):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_unknown_host_is_not_believed_whatever_the_configuration_says(server: Sshd, path: Path) -> None:
    for strict in ("no", "accept-new", "ask"):
        known = server.directory / "nobody_known"
        config = server.client("unknown", UserKnownHostsFile=str(known), StrictHostKeyChecking=strict)
        with pytest.raises(HostUnreachableError, match="host cp1: its host key is not known") as caught:
            _host(config).read(str(path))
        assert "log in once by hand" in caught.value.hints[0]
        assert f"ssh -F {config} {ADDRESS}" in caught.value.hints[0]
        assert not known.exists()


def test_a_host_on_this_machine_is_not_believed_either(server: Sshd, path: Path) -> None:
    config = server.client("local", UserKnownHostsFile="/dev/null", NoHostAuthenticationForLocalhost="yes")
    with pytest.raises(HostUnreachableError, match="host key is not known"):
        _host(config).read(str(path))


def test_a_changed_host_key_is_its_own_error(server: Sshd, path: Path) -> None:
    other = (server.directory / "other_key.pub").read_text()
    known = server.directory / "other_known"
    known.write_text(f"[{ADDRESS}]:{server.port} {other}")
    config = server.client("changed", UserKnownHostsFile=str(known), StrictHostKeyChecking="no")
    with pytest.raises(HostUnreachableError, match="not the one in the known hosts file") as caught:
        _host(config).read(str(path))
    assert "find out who answers there" in caught.value.hints[0]


def test_somebody_who_is_not_let_in_is_told_so(server: Sshd, path: Path) -> None:
    config = server.client("stranger", IdentityFile=str(server.directory / "other_key"))
    with pytest.raises(HostUnreachableError, match="does not let this user in") as caught:
        _host(config).read(str(path))
    assert "Permission denied (publickey)" in str(caught.value.cause)
    with pytest.raises(HostUnreachableError, match="does not let this user in"):
        _host(server.config, user="no-such-user").read(str(path))


def test_a_host_that_does_not_answer_is_told_so(server: Sshd, path: Path) -> None:
    with pytest.raises(HostUnreachableError, match="cannot be reached") as caught:
        _host(server.client("nobody", Port=str(free_port()))).read(str(path))
    assert "Connection refused" in str(caught.value.cause)
    with pytest.raises(HostUnreachableError, match="ssh does not accept its own configuration"):
        _host(server.client("odd", NoSuchOption="yes")).read(str(path))


def test_without_a_client_there_is_no_login(server: Sshd, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_connection, "PROGRAM", "no-such-ssh")
    with pytest.raises(HostUnreachableError, match="cannot be started here") as caught:
        _host(server.config).read(str(path))
    assert "openssh-client" in caught.value.hints[0]


def test_with_sudo_the_whole_script_is_roots(server: Sshd, path: Path, tools: Path) -> None:
    (tools / "sudo.log").unlink(missing_ok=True)
    _host(server.config, sudo=True).write(str(path), _NEW, expected=_hash(_OLD))
    assert path.read_bytes() == _NEW
    log = (tools / "sudo.log").read_text()
    assert re.fullmatch(r"-n -- sh -c eval \"\$\(dd bs=1 count=[0-9]+ 2>/dev/null\)\"\n", log)


@pytest.mark.parametrize("says", ["sudo: a password is required", "nobody is not in the sudoers file."])
def test_a_sudo_that_would_ask_is_told_so(server: Sshd, path: Path, tools: Path, says: str) -> None:
    (tools / "refuse").write_text(f"{says}\n")
    try:
        with pytest.raises(HostUnreachableError, match="sudo asks for a password or refuses") as caught:
            _host(server.config, sudo=True).write(str(path), _NEW, expected=_hash(_OLD))
    finally:
        (tools / "refuse").unlink()
    assert caught.value.cause == says
    assert path.read_bytes() == _OLD


@pytest.mark.parametrize(("when", "holds"), [("before", _OLD), ("after", _NEW)])
def test_a_connection_cut_in_the_middle_of_a_write_is_told_and_the_next_look_decides(
    server: Sshd, path: Path, tools: Path, when: str, holds: bytes
) -> None:
    host = _host(server.config)
    assert host.read(str(path)) is not None
    cut_connections(tools, when)
    with pytest.raises(ConnectionLostError) as caught:
        host.write(str(path), _NEW, expected=_hash(_OLD))
    told = f"{caught.value!r} {caught.value.cause} {caught.value.hints}"
    assert "s3cret" not in told
    time.sleep(1.0)
    found = host.read(str(path))
    assert found is not None
    assert found.content == holds
    host.sweep(str(path))
    assert [entry.name for entry in path.parent.iterdir()] == ["enc.yaml"]


def test_a_shared_connection_that_died_is_opened_anew(server: Sshd, path: Path) -> None:
    host = _host(server.config)
    assert host.read(str(path)) is not None
    (master,) = _clients(host._remote._socket)  # type: ignore[attr-defined]  # as above
    os.kill(master, signal.SIGKILL)
    before = _logins(server)
    for _ in range(4):
        found = host.read(str(path))
        assert found is not None
        assert found.content == _OLD
    # One more at most for a call that came before the dead one was known to be dead.
    assert _logins(server) <= before + 2


def test_nothing_secret_stands_on_a_command_line_or_in_the_servers_log(
    server: Sshd, path: Path, tmp_path: Path, tools: Path
) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    watched = tools / "chmod"
    watched.write_text(f'#!/bin/sh\nps -ww -eo args >"{seen}/ps"\nexec {shutil.which("chmod")} "$@"\n')
    watched.chmod(0o755)
    try:
        _host(server.config).write(str(path), _NEW, expected=_hash(_OLD))
    finally:
        watched.unlink()
    lines = (seen / "ps").read_text()
    assert "StrictHostKeyChecking=yes" in lines
    assert "BatchMode=yes" in lines
    assert "s3cret" not in lines
    assert "s3cret" not in server.log.read_text()


def test_a_stuck_host_is_not_waited_for_without_end(
    server: Sshd, path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyctl.hosts.ssh._CALL_SECONDS", 2.0)
    (tools / "sha256sum").write_text("#!/bin/sh\nsleep 30\n")
    (tools / "sha256sum").chmod(0o755)
    host, begun = _host(server.config), time.monotonic()
    try:
        with pytest.raises(UnreachableError, match="no answer in time"):
            host.read(str(path))
    finally:
        (tools / "sha256sum").unlink()
    assert time.monotonic() - begun < 15
