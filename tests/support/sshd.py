"""A real sshd on a loopback port of its own, and a client configuration that leads there.

The program is the system's, or Debian's package unpacked into the cache: nothing is installed. Without either a test is
skipped, and fails in CI: there a skip must not pass for a result.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import debian_packages, do_without
from tests.support.etcd_process import free_port

ADDRESS = "127.0.0.1"
# The server, a library that it links to and no client has, and one by which a process of root's finds the user sshd.
_PACKAGES = ("openssh-server", "libwrap0", "libnss-wrapper")
_PATIENCE = 20.0
_MV = """\
#!/bin/sh
[ ! -e DIRECTORY/after ] || REAL "$@"
if [ -e DIRECTORY/before ] || [ -e DIRECTORY/after ]; then
  pid=$$
  while read -r name <"/proc/$pid/comm" && [ "$name" != sshd ]; do pid=$(ps -o ppid= -p "$pid" | tr -d ' '); done
  rm -f DIRECTORY/before DIRECTORY/after
  kill -9 "$pid"
  sleep 0.5
  exit 1
fi
exec REAL "$@"
"""


@dataclass(frozen=True, slots=True)
class Sshd:
    """A server that runs: everything of it is below `directory`."""

    directory: Path
    port: int

    @property
    def config(self) -> Path:
        """The configuration of a client that may log in, and knows the host key."""
        return self.directory / "client_config"

    @property
    def known_hosts(self) -> Path:
        """The known hosts file of that client."""
        return self.directory / "known_hosts"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.directory / "sshd.log"

    def client(self, name: str, **options: str) -> Path:
        """Another configuration, with `options` in place of the same ones."""
        path = self.directory / name
        path.write_text(_client(self.directory, self.port, options))
        return path


@contextlib.contextmanager
def running_sshd(directory: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[Sshd]:
    """An sshd that takes the key of a client of its own; `environment` is what its sessions have besides."""
    directory.mkdir(mode=0o700, exist_ok=True)
    for name in ("host_key", "user_key", "other_key"):
        if not (directory / name).exists():
            _keygen(directory / name)
    server = Sshd(directory, free_port(ADDRESS))
    host_key = (directory / "host_key.pub").read_text().rsplit(" ", 1)[0]
    server.known_hosts.write_text(f"[{ADDRESS}]:{server.port} {host_key}\n")
    (directory / "authorized_keys").write_text((directory / "user_key.pub").read_text())
    (directory / "sshd_config").write_text(_server(directory, server.port, environment or {}))
    server.client("client_config")
    program, settings = _sshd()
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", directory / "sshd_config"], env=os.environ | settings, stdout=log, stderr=log
        )
    try:
        _await(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def cut_connections(tools: Path, when: str) -> None:
    """Break the next connection that a file is put in place through, "before" or "after" that is done.

    `tools` are programs that its sessions find before the system's.
    """
    program = tools / "mv"
    program.write_text(_MV.replace("REAL", shutil.which("mv") or "").replace("DIRECTORY", str(tools)))
    program.chmod(0o755)
    (tools / when).touch()


def _server(directory: Path, port: int, environment: Mapping[str, str]) -> str:
    lines = {
        "Port": port,
        "ListenAddress": ADDRESS,
        "HostKey": directory / "host_key",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "PidFile": directory / "sshd.pid",
        "UsePAM": "no",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "MaxStartups": "50:30:100",
    }
    text = "".join(f"{name} {value}\n" for name, value in lines.items())
    settings = " ".join(f'"{name}={value}"' for name, value in environment.items())
    return text + (f"SetEnv {settings}\n" if settings else "")


def _client(directory: Path, port: int, options: Mapping[str, str]) -> str:
    lines = {
        "Port": str(port),
        "User": getpass.getuser(),
        "IdentityFile": str(directory / "user_key"),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": str(directory / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
    }
    return "Host *\n" + "".join(f"  {name} {value}\n" for name, value in (lines | dict(options)).items())


def _keygen(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)


def _await(server: Sshd, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, server.port), timeout=1):
            return
        assert process.poll() is None, f"sshd ended:\n{server.log.read_text()}"
        assert time.monotonic() < deadline, f"sshd does not answer:\n{server.log.read_text()}"
        time.sleep(0.05)


@functools.cache
def _sshd() -> tuple[str, dict[str, str]]:
    """The program, and what its environment needs. Skips the test where it cannot be had, but not in CI."""
    installed = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin")
    if installed and not _lacks_its_user():
        _privilege_directory()
        return installed, {}
    unpacked = debian_packages("sshd", _PACKAGES)
    if unpacked is None:
        do_without("no sshd, and no apt-get to fetch Debian's package with (install openssh-server)")
    return _wrapped(installed or str(unpacked / "usr" / "sbin" / "sshd"), unpacked)


def _wrapped(program: str, unpacked: Path) -> tuple[str, dict[str, str]]:
    libraries = [str(path) for path in (*unpacked.glob("lib/*-linux-*"), *unpacked.glob("usr/lib/*-linux-*"))]
    settings = {"LD_LIBRARY_PATH": ":".join(libraries)}
    if _lacks_its_user():
        # NOTE: sshd, run by root, drops what it can to the user of that name; this is one for this process alone.
        users = unpacked / "passwd"
        users.write_text(Path("/etc/passwd").read_text() + "sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin\n")
        settings |= {
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_PASSWD": str(users),
            "NSS_WRAPPER_GROUP": "/etc/group",
        }
    _privilege_directory()
    return program, settings


def _lacks_its_user() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        pwd.getpwnam("sshd")
    except KeyError:
        return True
    return False


def _privilege_directory() -> None:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
